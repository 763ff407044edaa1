package dynamics

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// outgoing is what a request's head consists of. Each attempt has its own: the transport
// may look at that of an attempt which has ended.
type outgoing struct {
	request               http.Request
	url                   url.URL
	id, prefer, authorize [1]string
}

// Values that all heads share. Nobody changes them: a transport must not.
var (
	acceptJSON   = []string{"application/json"}
	odataVersion = []string{"4.0"}
	noneMatch    = []string{"null"}
	gzipEncoding = []string{"gzip"}
)

func (c *Client) build(ctx context.Context, r *request, token, id string) (*http.Request, error) {
	scheme, host, ok := strings.Cut(r.origin, "://")
	path, err := url.PathUnescape(r.path)
	if !ok || err != nil {
		return nil, refuse(r.op, "", "the request has no valid address")
	}
	out := &outgoing{id: [1]string{id}, prefer: [1]string{r.prefer},
		// RawPath and RawQuery go over the wire as they are, which a nextLink needs.
		url: url.URL{Scheme: scheme, Host: host, Path: path, RawPath: r.path, RawQuery: r.query}}
	header := make(http.Header, headSize)
	header["Accept"] = acceptJSON
	header["Odata-Version"] = odataVersion
	header["Odata-Maxversion"] = odataVersion
	header["If-None-Match"] = noneMatch
	header["User-Agent"] = c.userAgent
	header["X-Ms-Client-Request-Id"] = out.id[:]
	if r.zips() {
		header["Accept-Encoding"] = gzipEncoding
	}
	if r.prefer != "" {
		header["Prefer"] = out.prefer[:]
	}
	if token != "" {
		out.authorize[0] = c.bearer(r.redact.use(token), token)
		if out.authorize[0] == "" {
			return nil, refuse(r.op, "", "the access token holds a character that no header may hold")
		}
		header["Authorization"] = out.authorize[:]
	}
	out.request = *(&http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: host,
		URL: &out.url, Header: header,
	}).WithContext(ctx)
	return &out.request, nil
}

// headSize is how many headers a request for a short page has; a map of up to 8 is one
// piece.
const headSize = 8

// bearer is the Authorization header for a token, "" where no header may hold it.
func (c *Client) bearer(use tokenUse, token string) string {
	return c.bearers.of(use, maxBearers, func() string {
		for i := range len(token) {
			if token[i] <= ' ' || token[i] > '~' {
				return ""
			}
		}
		return "Bearer " + token
	})
}

// maxBearers bounds the headers that are kept; one is as long as its token.
const maxBearers = 512
