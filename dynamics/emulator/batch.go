package emulator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// $batch (section 11): every operation is answered as if it had come alone, in order, with its own
// headers; those of the batch say who is calling and whether to go on after a failure. Faults of
// [Control.Fail] strike the batch as a whole, under its own route.
//
// Nobody may write here, so no operation of a change set succeeds: a change set is answered by the
// refusal of its first operation, in a change set response of one part, as Microsoft's OData
// library does for one that failed.

const maxBatchAnswer = 256 << 20

func (c *call) batch(segments []segment) (*answer, *fault) {
	if len(segments) > 1 || segments[0].hasKey {
		return nil, noSegment(segments[0].name)
	}
	if c.method != http.MethodPost {
		return nil, methodRefused(c.method)
	}
	if c.within {
		return nil, badRequest("A batch request cannot contain other batch requests.")
	}
	boundary, fail := boundaryOf(c.r.Header.Get("Content-Type"))
	if fail != nil {
		return nil, fail
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxBatchBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &fault{status: http.StatusRequestEntityTooLarge, code: "", message: "The request entity is too large."}
	} else if err != nil {
		return nil, unreadable()
	}
	parts, fail := parseBatch(body, boundary)
	if fail != nil {
		return nil, fail
	}
	on := slices.ContainsFunc(c.r.Header.Values("Prefer"), func(line string) bool {
		return slices.ContainsFunc(splitOutsideQuotes(line, ','), func(s string) bool {
			return strings.EqualFold(strings.TrimSpace(s), "odata.continue-on-error")
		})
	})
	return c.runBatch(parts, on), nil
}

// runBatch answers the parts in order. Without continue-on-error the first failure is the last
// answer and its status that of the whole.
func (c *call) runBatch(parts []batchPart, continueOnError bool) *answer {
	id := "batchresponse_" + randomGUID().String()
	out := &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"multipart/mixed; boundary=" + id}},
		batch: true}
	for _, p := range parts {
		if c.r.Context().Err() != nil {
			break // the client is gone
		}
		out.body = append(out.body, "--"+id+"\r\n"...)
		var status int
		if p.isSet {
			out.body, status = c.runChangeSet(out.body, p.changeSet)
		} else {
			out.body, status = c.run(out.body, p.op)
		}
		if status >= 400 && !continueOnError {
			out.status = status
			break
		}
	}
	out.body = append(out.body, "--"+id+"--\r\n"...)
	return out
}

func (c *call) runChangeSet(b []byte, ops []operation) ([]byte, int) {
	id, status := "changesetresponse_"+randomGUID().String(), http.StatusOK
	b = append(b, "Content-Type: multipart/mixed; boundary="+id+"\r\n\r\n"...)
	if len(ops) > 0 {
		b = append(b, "--"+id+"\r\n"...)
		b, status = c.run(b, ops[0])
	}
	return append(b, "--"+id+"--\r\n"...), status
}

// run appends one answer with the headers of its part.
func (c *call) run(b []byte, op operation) ([]byte, int) {
	b = append(b, "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"...)
	if op.contentID != "" {
		b = append(b, "Content-ID: "+op.contentID+"\r\n"...)
	}
	inner, a, fail := c.perform(op)
	if len(b) > maxBatchAnswer {
		fail = &fault{status: http.StatusBadRequest, code: "0x80040216",
			message: "The answer to the batch is larger than this emulator makes."}
	}
	if fail != nil {
		b = fmt.Appendf(b, "\r\nHTTP/1.1 %d %s\r\nREQ_ID: %s\r\n", fail.status, http.StatusText(fail.status), randomGUID())
		b = append(b, "Content-Type: "+contentType(inner.r)+"\r\nOData-Version: 4.0\r\n"...)
		b = appendHeader(b, fail.header)
		return append(append(append(b, "\r\n"...), fail.body(inner.prefs)...), "\r\n"...), fail.status
	}
	b = fmt.Appendf(b, "\r\nHTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	kind := contentType(inner.r) + "; odata.streaming=true"
	if a.plain {
		kind = "text/plain"
	}
	b = append(b, "Content-Type: "+kind+"\r\nOData-Version: 4.0\r\n"...)
	b = appendHeader(b, a.header)
	for _, p := range inner.prefs.applied {
		if line := appliedPreference(p, a.tracked); line != "" {
			b = append(b, "Preference-Applied: "+line+"\r\n"...)
		}
	}
	b = append(b, "\r\n"...)
	if op.method != http.MethodHead {
		b = append(b, a.body...)
	}
	return append(b, "\r\n"...), a.status
}

func appendHeader(b []byte, h http.Header) []byte {
	for k, values := range h {
		for _, v := range values {
			b = append(b, k+": "+v+"\r\n"...)
		}
	}
	return b
}

var contentReference = regexp.MustCompile(`^(?:[^?]*/)?(\$[0-9]+)(?:[/?].*)?$`)

// perform answers an operation as if it had come alone; the call that it comes back with is never nil.
func (c *call) perform(op operation) (*call, *answer, *fault) {
	r := &http.Request{Method: op.method, Host: c.r.Host, TLS: c.r.TLS, Header: op.header, URL: &url.URL{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	inner := &call{s: c.s, r: r.WithContext(c.r.Context()), user: c.user, v: c.s.data.view(), base: c.base,
		prefs: parsePreferences(op.header), method: op.method, within: true}
	if m := contentReference.FindStringSubmatch(op.target); m != nil && op.contentID != "" { // nothing before it has succeeded
		return inner, nil, badRequest("Content-ID Reference: '%s' does not exist in the batch context.", m[1])
	}
	u, fail := c.resolve(op.target)
	if fail != nil {
		return inner, nil, fail
	}
	inner.r.URL, inner.r.RequestURI = u, u.RequestURI()
	segments, fail := inner.path()
	c.s.countData(routeName(segments))
	if fail != nil {
		return inner, nil, fail
	}
	a, fail := inner.dispatch(segments)
	return inner, a, fail
}

// resolve takes an absolute URL of this environment, a rooted path, or one that is relative to the
// service root, and refuses what does not lie below the service root that the batch was sent to.
func (c *call) resolve(target string) (*url.URL, *fault) {
	foreign := badRequest("The URI '%s' is not valid because it is not based on '%s'.", clip(target), c.base)
	text := target
	if at := strings.Index(text, "://"); at > 0 && !strings.ContainsAny(text[:at], "/?") {
		slash := strings.IndexAny(text[at+3:], "/?")
		if slash < 0 || !sameEnvironment(text[:at+3+slash], origin(c.r)) {
			return nil, foreign
		}
		text = text[at+3+slash:]
	} else if !strings.HasPrefix(text, "/") {
		text = strings.TrimPrefix(c.base, origin(c.r)) + text
	}
	root := strings.TrimPrefix(c.base, origin(c.r))
	if !strings.HasPrefix(text, root) && text != strings.TrimSuffix(root, "/") {
		return nil, foreign
	}
	text, _, _ = strings.Cut(text, "#")
	u, err := url.ParseRequestURI(text)
	if err != nil || slices.ContainsFunc(strings.Split(u.Path, "/"),
		func(s string) bool { return s == "." || s == ".." }) {
		return nil, badRequest("Error in query syntax.")
	}
	return u, nil
}
