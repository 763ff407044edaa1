package emulator

import (
	"fmt"
	"net/http"
	"time"
)

// entraError is one of Entra's refusals, with the AADSTS number that comes first in error_codes.
type entraError struct {
	status   int // 0 means 400, or 401 for invalid_client
	kind     string
	number   int
	text     string
	suberror string
	claims   string // JSON, as the claims parameter takes it
}

func refuse(kind string, number int, format string, a ...any) *entraError {
	return &entraError{kind: kind, number: number, text: fmt.Sprintf(format, a...)}
}

func missingField(name string) *entraError {
	return refuse("invalid_request", 900144, "The request body must contain the following parameter: '%s'.", name)
}

func (e *entraError) code() int {
	switch {
	case e.status != 0:
		return e.status
	case e.kind == "invalid_client":
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

// trace identifies one answer in Entra's logs.
type trace struct {
	id, correlation, at string
}

func newTrace(r *http.Request, now time.Time) trace {
	t := trace{id: randomGUID().String(), correlation: randomGUID().String(), at: now.UTC().Format("2006-01-02 15:04:05Z")}
	if g, ok := parseGUID(r.Header.Get("client-request-id")); ok {
		t.correlation = g.String()
	}
	return t
}

func (e *entraError) description(t trace) string {
	return fmt.Sprintf("AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", e.number, e.text, t.id,
		t.correlation, t.at)
}

type entraErrorBody struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	URI           string `json:"error_uri"`
	Suberror      string `json:"suberror,omitempty"`
	Claims        string `json:"claims,omitempty"`
}

// write sends the JSON of the token endpoint.
func (e *entraError) write(w http.ResponseWriter, authority string, t trace) {
	writeJSON(w, e.code(), entraErrorBody{
		Error: e.kind, Description: e.description(t), Codes: []int{e.number}, Timestamp: t.at,
		TraceID: t.id, CorrelationID: t.correlation, URI: fmt.Sprintf("%s/error?code=%d", authority, e.number),
		Suberror: e.suberror, Claims: e.claims,
	})
}

// entraHeaders are on every answer of the sign-in service.
func entraHeaders(w http.ResponseWriter, r *http.Request, t trace) {
	h := w.Header()
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("P3P", `CP="DSP CUR OTPi IND OTRi ONL FIN"`)
	h.Set("x-ms-request-id", t.id)
	h.Set("x-ms-ests-server", "2.1.0 - EMULATOR")
	if r.Header.Get("return-client-request-id") == "true" {
		h.Set("client-request-id", t.correlation)
	}
}
