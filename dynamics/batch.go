package dynamics

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// A query longer than a URL may be goes as the one part of a batch; see
// "Execute batch operations using the Web API",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api.
// A batch of one GET changes nothing and may be repeated like the GET.

// buildBatch makes POST $batch with r as its only part. Lines end in CRLF: with
// LF alone Dataverse answers "Stream was not readable". The URL is not copied
// into a header or parsed, so that a nextLink stays as it is byte for byte.
func (c *Client) buildBatch(ctx context.Context, r *request, token, id string) (*http.Request, error) {
	target := r.url()
	if strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return nil, refuse(r.op, "", "the request has no valid address")
	}
	boundary := "batch_" + uuid.NewString()
	lines := []string{
		"--" + boundary,
		"Content-Type: application/http",
		"Content-Transfer-Encoding: binary",
		"",
		"GET " + target + " HTTP/1.1",
		"Accept: application/json",
		"OData-Version: 4.0",
		"OData-MaxVersion: 4.0",
		"If-None-Match: null",
	}
	if r.prefer != "" {
		lines = append(lines, "Prefer: "+r.prefer)
	}
	lines = append(lines, "", "", "--"+boundary+"--", "")
	content := strings.Join(lines, "\r\n")

	outer := request{op: r.op, origin: r.origin, path: c.root() + "$batch", expected: r.expected}
	req, err := c.build(ctx, &outer, token, id)
	if err != nil {
		return nil, err
	}
	req.Method = http.MethodPost
	req.Header.Set("Content-Type", `multipart/mixed; boundary="`+boundary+`"`)
	req.ContentLength = int64(len(content))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	req.Body, err = req.GetBody()
	return req, err
}

// batched reads the answer to a batch: its part is read as the answer to the
// request itself would be, in the same pass. An answer that is not multipart is
// one to the batch as a whole: a 401, a 429, a gateway's page. Where the part
// failed the batch has its status and is multipart all the same.
func batched(r *request, resp *http.Response, b *body) error {
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" || params["boundary"] == "" {
		switch resp.StatusCode {
		case http.StatusOK:
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			e := tooLong(r.op)
			e.Status, e.Message = resp.StatusCode,
				"the query is too long for a URL, and the environment takes no $batch"
			return e
		default:
			return refusal(r, resp, b)
		}
		return unusable(r.op, "the answer to a batch is not multipart/mixed", nil)
	}
	return b.consume(&request{op: r.op, read: func(b *body) error { return readBatch(r, resp, params["boundary"], b) }})
}

// maxBatchHead bounds what stands in front of the part's body in bytes: the
// part's headers, the status line and the answer's headers.
const maxBatchHead = 64 << 10

var errBatchHead = errors.New("the headers of a batch's part are too long")

// gate lets no more than left bytes through, until it is opened.
type gate struct {
	from io.Reader
	left int
}

func (g *gate) Read(p []byte) (int, error) {
	if g.left <= 0 {
		return 0, errBatchHead
	}
	n, err := g.from.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

func (g *gate) open() { g.left = math.MaxInt }

// readBatch reads the one part of a batch's answer and insists that there is
// nothing after it but the end of the batch.
func readBatch(r *request, outer *http.Response, boundary string, b *body) error {
	limit := &gate{from: b, left: maxBatchHead}
	parts := multipart.NewReader(limit, boundary)
	part, err := parts.NextRawPart()
	if err != nil {
		return unusable(r.op, "the batch's answer has no part", err)
	}
	inner, err := http.ReadResponse(bufio.NewReader(part), nil)
	if err != nil {
		return unusable(r.op, "the part of the batch's answer is not an HTTP answer", err)
	}
	// inner.Body stays open: closing would read it to its end, and the whole answer
	// is closed by who opened it.
	limit.open()
	from := &body{ctx: b.ctx, from: inner.Body, header: inner.Header, most: b.most, work: b.work, kept: b.kept,
		left: b.left + maxBatchHead} // some of it is read already: the bound is b's
	if inner.StatusCode != http.StatusOK {
		for _, name := range []string{"Retry-After", "Www-Authenticate", "X-Ms-Service-Request-Id", "Req_id"} {
			if inner.Header.Get(name) == "" && outer.Header.Get(name) != "" {
				inner.Header[name] = outer.Header[name] // the part has it or the batch has
			}
		}
		return refusal(r, inner, from)
	}
	if outer.StatusCode != http.StatusOK {
		return unusable(r.op, "the batch failed and its only part did not", nil)
	}
	if hint := outer.Header.Get(hintHeader); hint != "" && inner.Header.Get(hintHeader) == "" {
		inner.Header.Set(hintHeader, hint)
	}
	if err := r.answered(from); err != nil {
		if e, ok := errors.AsType[*Error](from.err); ok {
			return e
		}
		if from.err != nil { // the part ended where its body did not
			return unusable(r.op, "the part of the batch's answer is cut off", err)
		}
		return err
	}
	if _, err := io.Copy(io.Discard, inner.Body); err != nil {
		return unusable(r.op, "the part of the batch's answer is cut off", err)
	}
	switch _, err := parts.NextRawPart(); err {
	case io.EOF: // as it is; wrapped, it says that the closing boundary is missing
		return nil
	case nil:
		return unusable(r.op, "the batch's answer has a second part", nil)
	default:
		return unusable(r.op, "the batch's answer is cut off", err)
	}
}
