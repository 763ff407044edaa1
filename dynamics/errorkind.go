package dynamics

import (
	"net/http"
	"strings"
)

// sqlTimeout is the code of a query that ran longer than its database lets it.
const sqlTimeout = "0x80044151"

// costlyQuery is what a code says of one query alone, whatever its status, which is
// not documented; 0 for every other code. The names are DataEngineQueryThrottling,
// DataEngineLeadingWildcardQueryThrottling, DataEngineComputedColumnQueryThrottling,
// DataEnginePerformanceValidationIssuesQueryThrottling; LeadingWildcardCauseTimeout,
// ComputedColumnCauseTimeout, PerformanceValidationIssuesCauseTimeout.
func costlyQuery(code string) Kind {
	switch strings.ToLower(code) {
	case "0x80048544", "0x80048644", "0x80048744", "0x80048745":
		return Throttled
	case "0x80048573", "0x80048574", "0x80048575":
		return Unavailable
	}
	return 0
}

func kindOf(status int, code string, raw []byte) Kind {
	if k := costlyQuery(code); k != 0 {
		return k
	}
	switch strings.ToLower(code) {
	case "0x8004e023":
		return AggregateLimit
	case "0x80072322", "0x80072321", "0x80072326", "0x8005f103", "0x80060308":
		return Throttled
	case sqlTimeout, "0x80044150":
		return Unavailable
	case "0x80040220", "0x80040225", "0x80042f09", "0x8004a104", "0x8004a113", "0x8004d24b", "0x80048306", "0x80072560", "0x80095ffc":
		if status != http.StatusUnauthorized { // the status of some of them is not documented
			return Forbidden
		}
	case "0x80044352": // ExpiredVersionStamp; the status that it comes with is not documented
		return Expired
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

// notFound tells a missing row from a missing road: an unknown segment or a
// proxy's page is 404 too, and does not mean that the row is gone.
func notFound(code string, raw []byte) Kind {
	switch strings.ToLower(code) {
	case "0x80040217", "0x80060891":
		return NotFound
	case "", "0x0":
		if message := strings.TrimSpace(string(raw)); strings.HasPrefix(message, `{"error"`) && !strings.Contains(message, "No HTTP resource") {
			return NotFound
		}
	}
	return Upstream
}

// mayRetry reports whether another attempt may help. Dataverse lets a part of the
// tries of a query through that it holds back; one that ran until it timed out would
// cost the same again.
func mayRetry(status int, code string) bool {
	if k := costlyQuery(code); k != 0 {
		return k == Throttled
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusInternalServerError:
		return strings.EqualFold(code, sqlTimeout) || strings.EqualFold(code, "0x80044150")
	}
	return false
}

// lacksPrivilege reports whether a code says that a privilege, or its reach, is missing.
func lacksPrivilege(code string) bool {
	switch strings.ToLower(code) {
	case "0x80040220", "0x80048306":
		return true
	}
	return false
}
