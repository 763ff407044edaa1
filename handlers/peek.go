package handlers

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// peek finds the connection that a body names, before the body is decoded: whether
// a request can be taken in hand at all depends on it. "" where it names none; what
// is wrong with such a body is found when it is decoded.
func peek(body []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return ""
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return ""
		}
		if name.String() != "connection" {
			if d.SkipValue() != nil {
				return ""
			}
			continue
		}
		value, err := d.ReadToken()
		if err != nil || value.Kind() != '"' || !messages.ValidConnection(value.String()) {
			return ""
		}
		return value.String()
	}
	return ""
}
