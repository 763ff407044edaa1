package emulator

import (
	"bytes"
	"mime"
	"net/http"
	"net/textproto"
	"strings"
)

// The bounds of a batch. A thousand operations and 65,536 characters per URL are documented (2.6,
// 11); the others only keep this server from reading for ever.
const (
	maxOperations  = 1000
	maxBatchURL    = 65536
	maxBatchBody   = 96 << 20
	maxPartHeaders = 100
)

// batchPart is one operation, or a change set of several.
type batchPart struct {
	op        operation
	changeSet []operation // nil where the part is one operation
	isSet     bool
}

// operation is one request within a batch.
type operation struct {
	method, target string
	header         http.Header
	body           []byte
	contentID      string // of an operation in a change set
}

// unreadable is the answer to a body whose framing is broken, bare line feeds above all (11).
func unreadable() *fault { return payloadFault("Stream was not readable.") }

func payloadFault(message string) *fault {
	return &fault{status: http.StatusBadRequest, code: codePayload, message: message}
}

// boundaryOf reads the Content-Type of a batch or of a change set. The words are those of
// Microsoft's OData library, which the service is built on; that they come through unchanged is not
// documented.
func boundaryOf(contentType string) (string, *fault) {
	if contentType == "" {
		return "", payloadFault(`The batch request must have a "Content-Type" header.`)
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/mixed" {
		return "", payloadFault("The batch request must have 'multipart/mixed' as the media type.")
	}
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > 70 {
		return "", payloadFault(`The batch request must have a boundary specification in the "Content-Type" header.`)
	}
	return boundary, nil
}

// parseBatch reads a whole body: the library reads all operations before it runs the first.
func parseBatch(body []byte, boundary string) ([]batchPart, *fault) {
	raw, fail := splitParts(body, boundary)
	if fail != nil {
		return nil, fail
	}
	var out []batchPart
	n := 0
	for _, text := range raw {
		p, fail := parsePart(text)
		if fail != nil {
			return nil, fail
		}
		if n += max(1, len(p.changeSet)); n > maxOperations {
			return nil, payloadFault("The current batch message contains too many parts. Only batch messages with a maximum number of '1000' query operations and change sets are allowed.")
		}
		out = append(out, p)
	}
	return out, nil
}

// splitParts cuts at the boundary lines. Each line must end in CRLF, the CRLF before a boundary
// belongs to it, and the last boundary must be there.
func splitParts(body []byte, boundary string) ([][]byte, *fault) {
	delimiter := []byte("--" + boundary)
	var out [][]byte
	begun := false
	for at := 0; ; {
		end, next, last, ok := nextBoundary(body, at, delimiter)
		if !ok {
			return nil, unreadable()
		}
		if begun {
			out = append(out, body[at:end])
		}
		if last {
			return out, nil
		}
		if len(out) > maxOperations {
			return out, nil // the count is refused by the caller
		}
		at, begun = next, true
	}
}

// nextBoundary finds the boundary line at or after a place: where the text before it ends, where
// the text after it begins, and whether it is the last.
func nextBoundary(body []byte, from int, delimiter []byte) (end, next int, last, ok bool) {
	for at := from; ; {
		i := bytes.Index(body[at:], delimiter)
		if i < 0 {
			return 0, 0, false, false
		}
		start := at + i
		at = start + len(delimiter)
		end = start - 2
		switch {
		case start == from: // an empty part, or the very beginning
			end = start
		case end < from || body[end] != '\r' || body[end+1] != '\n':
			continue // not at the beginning of a line
		}
		rest := body[at:]
		if bytes.HasPrefix(rest, []byte("--")) {
			return end, len(body), true, true
		}
		rest = bytes.TrimLeft(rest, " \t")
		if bytes.HasPrefix(rest, []byte("\r\n")) {
			return end, len(body) - len(rest) + 2, false, true
		}
		// A longer word that begins like the boundary is text.
	}
}

// parsePart reads the headers of a part and what it holds.
func parsePart(text []byte) (batchPart, *fault) {
	h, rest, fail := parseHeader(text)
	if fail != nil {
		return batchPart{}, fail
	}
	kind := strings.TrimSpace(h.Get("Content-Type"))
	if media, _, err := mime.ParseMediaType(kind); err == nil && media == "multipart/mixed" {
		return parseChangeSet(kind, rest)
	}
	op, fail := parseOperation(h, rest)
	return batchPart{op: op}, fail
}

func parseChangeSet(contentType string, body []byte) (batchPart, *fault) {
	boundary, fail := boundaryOf(contentType)
	if fail != nil {
		return batchPart{}, fail
	}
	raw, fail := splitParts(body, boundary)
	if fail != nil {
		return batchPart{}, fail
	}
	p := batchPart{isSet: true}
	seen := map[string]bool{}
	for _, text := range raw {
		h, rest, fail := parseHeader(text)
		if fail != nil {
			return p, fail
		}
		if media, _, err := mime.ParseMediaType(h.Get("Content-Type")); err == nil && media == "multipart/mixed" {
			return p, payloadFault("Nested change sets in a batch payload are not supported.")
		}
		op, fail := parseOperation(h, rest)
		if fail != nil {
			return p, fail
		}
		op.contentID = h.Get("Content-ID")
		switch {
		case op.method == http.MethodGet || op.method == http.MethodHead:
			return p, payloadFault("An invalid HTTP method '" + op.method +
				"' was detected for a request in a change set. Requests in change sets only support the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'.")
		case op.contentID == "": // 0x80060888 is documented, the words are not
			return p, badRequest("The header with name 'Content-ID' was not present in the header collection of the batch operation.")
		case seen[op.contentID]:
			return p, badRequest("The content ID '%s' was found more than once in the same change set. Content IDs have to be unique across all operations of a change set.", op.contentID)
		}
		seen[op.contentID] = true
		p.changeSet = append(p.changeSet, op)
	}
	return p, nil
}

// parseOperation reads a request of HTTP/1.1 out of a part.
func parseOperation(part http.Header, text []byte) (operation, *fault) {
	media, _, err := mime.ParseMediaType(part.Get("Content-Type"))
	switch {
	case part.Get("Content-Type") == "":
		return operation{}, payloadFault("The 'Content-Type' header is missing. The 'Content-Type' header must be specified for each MIME part of a batch message.")
	case err != nil || media != "application/http",
		!strings.EqualFold(strings.TrimSpace(part.Get("Content-Transfer-Encoding")), "binary"):
		return operation{}, payloadFault("The 'Content-Type' and 'Content-Transfer-Encoding' headers of an operation in a batch must be 'application/http' and 'binary'.")
	}
	line, rest, ok := cutLine(text)
	if !ok {
		return operation{}, unreadable()
	}
	// The library cuts at the first and at the last blank, so that blanks within the URL are no error.
	first, last := strings.IndexByte(line, ' '), strings.LastIndexByte(line, ' ')
	if first <= 0 || last-first <= 1 || last == len(line)-1 {
		return operation{}, payloadFault("The request line '" + clip(line) +
			"' is invalid. The request line at the start of each operation must be of the format 'HttpMethod RequestUrl HttpVersion'.")
	}
	op := operation{method: line[:first], target: strings.TrimSpace(line[first+1 : last])}
	if v := line[last+1:]; v != "HTTP/1.1" {
		return op, payloadFault("The HTTP version '" + clip(v) +
			"' used in a batch operation request or response is not valid. The value must be 'HTTP/1.1'.")
	}
	if len(op.target) > maxBatchURL {
		return op, payloadFault("Invalid URI: The Uri string is too long.")
	}
	var fail *fault
	op.header, op.body, fail = parseHeader(rest)
	return op, fail
}

// parseHeader reads lines up to an empty one. Where a part has no body, the empty line is the one that ends the part.
func parseHeader(text []byte) (http.Header, []byte, *fault) {
	h := http.Header{}
	for n := 0; len(text) > 0; n++ {
		line, rest, ok := cutLine(text)
		if !ok || n > maxPartHeaders {
			return nil, nil, unreadable()
		}
		text = rest
		if line == "" {
			return h, text, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, nil, payloadFault("The message header '" + clip(line) +
				"' is invalid. The header value must be of the format '<header name>: <header value>'.")
		}
		h.Add(textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value))
	}
	return h, nil, nil
}

// cutLine takes a line that ends in CRLF and holds no other line break.
func cutLine(text []byte) (line string, rest []byte, ok bool) {
	i := bytes.IndexByte(text, '\n')
	if i < 1 || text[i-1] != '\r' || bytes.IndexByte(text[:i-1], '\r') >= 0 {
		return "", nil, false
	}
	return string(text[:i-1]), text[i+1:], true
}

func clip(s string) string { return s[:min(len(s), 200)] }
