package route_test

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/handlers/route"
)

// The ids for the log are those that W3C's own reader finds, whatever a requester sends.
func TestTraceIDsOfARequest(t *testing.T) {
	const traceID, spanID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	const right = "00-" + traceID + "-" + spanID + "-01"
	for text, ok := range map[string]bool{
		right: true, "01" + right[2:] + "-more": true, "00-" + traceID + "-" + spanID + "-00": true,
		"": false, right[:54]: false, right + "-more": false, "ff" + right[2:]: false,
		strings.ToUpper(right):                                  false,
		"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01":  false,
		"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01": false,
		strings.Replace(right, "-b7", "xb7", 1):                 false,
		"00-" + traceID[:30] + "\"}-" + spanID + "-01":          false,
	} {
		kept := route.Trace(route.Header{"Traceparent": {text}})
		gotTrace, gotSpan := route.TraceIDs(nil, kept)
		if (gotTrace == traceID && gotSpan == spanID) != ok || !ok && gotTrace+gotSpan != "" {
			t.Errorf("%q: %q, %q", text, gotTrace, gotSpan)
		}
		if of := route.Remote(kept); of.IsValid() != ok || ok && of.TraceID().String() != gotTrace {
			t.Errorf("%q: OpenTelemetry reads %v", text, of)
		}
		if n := testing.AllocsPerRun(100, func() { route.TraceIDs(nil, kept) }); n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}
