package dynamics

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// clientRequestIDs is the namespace of ids that are made from others (RFC 9562,
// version 5).
var clientRequestIDs = uuid.MustParse("6c1f6a0e-5d0f-4f0b-9b36-3d1f4a5b7c02")

type requestIDKey struct{}

// WithRequestID gives the calls that are made with the context the id of the work
// that they are for. Each is sent with [ClientRequestID] of it as
// x-ms-client-request-id, by which Microsoft's support finds them.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, ClientRequestID(id))
}

// RequestIDKey is the key under which a context of a kind of its own returns what has a
// method ClientRequestID() string, which is asked for the id in place of [WithRequestID].
func RequestIDKey() any { return requestIDKey{} }

// ClientRequestID is the id under which Dataverse sees the work of id. The header
// takes GUIDs only, without braces
// (https://github.com/microsoft/api-guidelines, x-ms-client-request-id): a GUID is
// taken as it is, in lower case; of another id one is made, always the same.
func ClientRequestID(id string) string {
	if guid, ok := canonicalGUID(id); ok {
		return guid
	}
	return uuid.NewSHA1(clientRequestIDs, []byte(id)).String()
}

// clientRequestID is that of the context, or a fresh one.
func clientRequestID(ctx context.Context) string {
	switch of := ctx.Value(requestIDKey{}).(type) {
	case string:
		return of
	case interface{ ClientRequestID() string }:
		return of.ClientRequestID()
	}
	return uuid.NewString()
}

// requestID takes Dataverse's id for its support: a GUID, or two joined by a comma,
// of which the first is kept. What has another form is no id of Dataverse's.
func (h redaction) requestID(header http.Header) string {
	for _, name := range requestIDHeaders {
		text := first(header, name)
		if text == "" {
			continue
		}
		one, other, two := strings.Cut(text, ",")
		id, ok := canonicalGUID(strings.TrimSpace(one))
		if two {
			_, also := canonicalGUID(strings.TrimSpace(other))
			ok = ok && also
		}
		if ok && !h.echoes(id) {
			return id
		}
	}
	return ""
}

var requestIDHeaders = [...]string{"X-Ms-Service-Request-Id", "Req_id"}

// first is header.Get of a name that is written as Go writes it.
func first(header http.Header, name string) string {
	if values := header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
