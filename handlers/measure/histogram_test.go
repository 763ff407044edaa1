package measure_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/messages"
)

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

func header(parent string) map[string][]string {
	return map[string][]string{messages.HeaderTraceParent: {parent}}
}

func TestTraceID(t *testing.T) {
	for _, c := range []struct{ parent, want string }{
		{"00-" + traceID + "-00f067aa0ba902b7-01", traceID},
		{"cc-" + traceID + "-00f067aa0ba902b7-01", traceID},
		{"cc-" + traceID + "-00f067aa0ba902b7-01-later", traceID},
		{"00-" + traceID + "-00f067aa0ba902b7-01-later", ""},
		{"cc-" + traceID + "-00f067aa0ba902b7-01later", ""},
		{"ff-" + traceID + "-00f067aa0ba902b7-01", ""},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", ""},
		{"00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
		{"00-" + traceID + "-0000000000000000-01", ""},
		{"00-customer@example.com-and-so-on-and-so-1-00f067aa0ba902b7-01", ""},
		{"", ""},
	} {
		if got := measure.TraceID(header(c.parent)); got != c.want {
			t.Errorf("%q: %q", c.parent, got)
		}
	}
	if got := measure.TraceID(nil); got != "" {
		t.Errorf("without: %q", got)
	}
}

// A bucket has the trace of one that fell into it, and takes no other for a while.
func TestHistogramHasExemplars(t *testing.T) {
	bounds := []float64{.1, 1}
	made := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: bounds})
	h := measure.NewHistogram(made, bounds)
	other := "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
	h.Observe(200*time.Millisecond, header("00-"+traceID+"-00f067aa0ba902b7-01"))
	h.Observe(300*time.Millisecond, header(other))
	h.Observe(time.Minute, header(other))
	h.Observe(time.Millisecond, nil)
	h.Observe(time.Millisecond, header("none"))
	got := buckets(t, made)
	want := []string{`0.1"} 2`, `1.0"} 4{trace_id="` + traceID + `"}`,
		`+Inf"} 5{trace_id="0af7651916cd43dd8448eb211c80319c"}`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// buckets are those of a histogram as a scrape sees them, each with its exemplar.
func buckets(t *testing.T, of prometheus.Collector) (got []string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(of)
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(page, request)
	for line := range strings.Lines(page.Body.String()) {
		if bucket, ok := strings.CutPrefix(line, `h_bucket{le="`); ok {
			bucket, exemplar, _ := strings.Cut(bucket, " # ")
			exemplar, _, _ = strings.Cut(exemplar, " ")
			got = append(got, strings.TrimSpace(bucket)+exemplar)
		}
	}
	return got
}
