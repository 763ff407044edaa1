package dynamics

import (
	"net/http"
	"strings"
)

// kindOf is the kind of an answer that is not 200.
func kindOf(status int, code string, raw []byte) Kind {
	if c := codeOf(code); c.decides(status) {
		return c.Kind
	}
	switch status {
	case http.StatusBadRequest:
		return Invalid
	case http.StatusUnauthorized:
		return Unauthorized
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound:
		return notFound(code, raw)
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
		return TooLarge
	case http.StatusTooManyRequests:
		return Throttled
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	}
	return Upstream
}

// notFound tells a missing row from an unknown route or a proxy's 404, which do not mean
// that the row is gone.
func notFound(code string, raw []byte) Kind {
	switch strings.ToLower(code) {
	case "", "0x0":
		if message := strings.TrimSpace(string(raw)); strings.HasPrefix(message, `{"error"`) &&
			!strings.Contains(message, "No HTTP resource") {
			return NotFound
		}
	}
	return Upstream
}
