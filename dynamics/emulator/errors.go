package emulator

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The Web API's codes that are used more than once.
const (
	codeQuery        = "0x80060888" // OData syntax, and what the service does not support
	codeMetaFunction = "0x8006088a"
	codeNotExist     = "0x80040217"
	codeAttribute    = "0x80041103"
	codeArgument     = "0x80040203"
	codePayload      = "0x80048d19"
)

// fault is an answer of the Web API that is not the one asked for.
type fault struct {
	status  int
	code    string
	message string
	header  http.Header
}

func (f *fault) Error() string { return fmt.Sprintf("%d %s %s", f.status, f.code, f.message) }

func badRequest(format string, a ...any) *fault {
	return &fault{status: http.StatusBadRequest, code: codeQuery, message: fmt.Sprintf(format, a...)}
}

func noSegment(name string) *fault {
	return &fault{status: http.StatusNotFound, code: codeQuery,
		message: fmt.Sprintf("Resource not found for the segment '%s'.", name)}
}

func noRow(t *table, id guid) *fault {
	name := t.logical
	if t.logical == "systemuser" {
		name = "SystemUser" // 4.2: the texts differ by table
	} else if t.logical != "account" {
		name = "Entity '" + t.logical + "'"
	}
	return &fault{status: http.StatusNotFound, code: codeNotExist, message: fmt.Sprintf("%s With Id = %s Does Not Exist",
		name, id)}
}

// methodRefused is the 405 of a path that exists for another verb.
func methodRefused(method string) *fault {
	return &fault{status: http.StatusMethodNotAllowed, code: "",
		message: fmt.Sprintf("The requested resource does not support http method '%s'.", method),
		header:  http.Header{"Allow": {"OPTIONS,GET,HEAD,POST"}}}
}

// write sends the error.
func (f *fault) write(w http.ResponseWriter, p preferences) {
	for k, v := range f.header {
		w.Header()[k] = v
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(f.body(p)) // the client may be gone
}

// body is that of section 9.1; the details are added when the caller asked for such annotations.
func (f *fault) body(p preferences) []byte {
	b := []byte(`{"error":{"code":`)
	b = appendString(b, f.code)
	b = append(b, `,"message":`...)
	b = appendString(b, f.message)
	detail := func(name, value string) {
		if p.annotates(name) {
			b = append(b, ',')
			b = appendString(b, "@"+name)
			b = append(b, ':')
			b = appendString(b, value)
		}
	}
	detail("Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus", "0")
	detail("Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode", "0")
	detail("Microsoft.PowerApps.CDS.HelpLink",
		"http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a"+
			strings.TrimPrefix(f.code, "0x")+"&client=platform")
	detail("Microsoft.PowerApps.CDS.TraceText", "")
	detail("Microsoft.PowerApps.CDS.InnerError.Message", f.message)
	return append(b, "}}"...)
}

// appendString appends s as a JSON string; invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // its error only reports the replacement
	return dst
}
