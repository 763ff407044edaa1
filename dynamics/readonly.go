package dynamics

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
)

// readOnly is the last door before the network. It lets out what reads: GET, and
// POST to $batch with nothing but GETs in it. Anything else is a defect of this
// package and is not sent, whatever the grant would allow: Microsoft's only
// delegated permission, user_impersonation, is to read and to write
// (https://learn.microsoft.com/power-apps/developer/data-platform/authenticate-oauth).
type readOnly struct{ next http.RoundTripper }

// maxGuarded bounds a batch's body in bytes.
const maxGuarded = 1 << 20

// RoundTrip sends r, or returns an [Error] of kind Defect.
func (g readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := readsOnly(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, &Error{Kind: Defect, Message: "a request that does not only read was not sent: " + err.Error()}
	}
	if body == nil {
		return g.next.RoundTrip(r)
	}
	sent := r.Clone(r.Context()) // what was looked at is what goes out
	sent.ContentLength = int64(len(body))
	sent.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	sent.Body, _ = sent.GetBody() // which does not fail
	return g.next.RoundTrip(sent)
}

// methodHeaders change a request's method for some servers.
var methodHeaders = [...]string{"X-Http-Method", "X-Http-Method-Override", "X-Method-Override"}

// readsOnly checks r and returns its body, nil where it has none. Its errors hold
// nothing of the request.
func readsOnly(r *http.Request) ([]byte, error) {
	for _, name := range methodHeaders {
		if len(r.Header[name]) > 0 {
			return nil, errors.New("it has a header that changes its method")
		}
	}
	switch {
	case r.Method == http.MethodGet && (r.Body == nil || r.Body == http.NoBody):
		return nil, nil
	case r.Method == http.MethodGet:
		return nil, errors.New("a GET with a body")
	case r.Method != http.MethodPost || r.Body == nil:
		return nil, errors.New("its method is neither GET nor POST")
	case !strings.HasPrefix(r.URL.Path, "/api/data/v") || !strings.HasSuffix(r.URL.Path, "/$batch") ||
		strings.Count(r.URL.Path, "/") != 4 || r.URL.RawQuery != "":
		return nil, errors.New("a POST to another place than $batch")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxGuarded+1))
	if err != nil || len(body) > maxGuarded {
		return nil, errors.New("a batch that is too long")
	}
	if err := r.Body.Close(); err != nil {
		return nil, errors.New("a batch that cannot be read")
	}
	return body, batchReadsOnly(r.Header.Get("Content-Type"), body)
}

// batchReadsOnly checks that every part of a batch is one GET without a body. A
// change set, the only place where Dataverse takes changes in a batch apart from single
// requests, is a multipart of its own and thereby refused.
func batchReadsOnly(contentType string, body []byte) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/mixed" || params["boundary"] == "" {
		return errors.New("a batch that is not multipart/mixed")
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF && n > 0 {
			return nil
		}
		if err != nil {
			return errors.New("a batch without an end or without parts")
		}
		if part.Header.Get("Content-Type") != "application/http" {
			return errors.New("a part of a batch that is no request")
		}
		if err := partReadsOnly(bufio.NewReader(part)); err != nil {
			return err
		}
	}
}

// partReadsOnly checks one part. Its URL is not parsed: it may be one of Dataverse's
// own, which stays as it is.
func partReadsOnly(part *bufio.Reader) error {
	from := textproto.NewReader(part)
	line, err := from.ReadLine()
	words := strings.Split(line, " ")
	if err != nil || len(words) != 3 || words[0] != http.MethodGet || words[2] != "HTTP/1.1" {
		return errors.New("a part of a batch that is no GET")
	}
	header, err := from.ReadMIMEHeader()
	if err != nil || header.Get("Content-Length") != "" || header.Get("Transfer-Encoding") != "" {
		return errors.New("a part of a batch whose headers are not those of a GET")
	}
	if _, err := readsOnly(&http.Request{Method: words[0], Header: http.Header(header)}); err != nil {
		return err
	}
	if rest, err := io.ReadAll(part); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("a part of a batch with something after its headers")
	}
	return nil
}
