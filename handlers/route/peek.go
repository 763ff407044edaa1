package route

import (
	"bytes"

	"github.com/crmbridge/crmbridge/messages"
)

// peekedBytes is how far a body is looked into before it is decoded: the look is part
// of receiving, and a body can be as long as the server's max_payload.
const peekedBytes = 4 << 10

// PeekConnection finds the connection that a body names near its beginning, before the body is
// decoded: which connection's turn it takes depends on it. "" where it names none
// there; what is wrong with such a body is found when it is decoded.
func PeekConnection(body []byte) string {
	body = body[:min(len(body), peekedBytes)]
	depth, name := 0, ""
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			if depth++; depth == 1 && body[i] == '[' {
				return ""
			}
			name = ""
		case '}', ']':
			depth--
			name = ""
		case ',':
			name = ""
		case '"':
			text, end := quoted(body[i:])
			if end == 0 || depth == 0 {
				return ""
			}
			i += end - 1
			if depth != 1 {
				continue
			}
			if name == "connection" {
				if id := string(text); messages.ValidConnection(id) {
					return id
				}
				return ""
			}
			name = ""
			if rest := bytes.TrimLeft(body[i+1:], " \t\r\n"); len(rest) > 0 && rest[0] == ':' &&
				string(text) == "connection" {
				name = "connection"
			}
		}
	}
	return ""
}

// quoted is the text of a string at the beginning of body and the bytes that it takes
// with its quotes, 0 where it does not end. An escape stays as it is: no connection's
// id has one.
func quoted(body []byte) (text []byte, size int) {
	for i := 1; i < len(body); i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return body[1:i], i + 1
		}
	}
	return nil, 0
}
