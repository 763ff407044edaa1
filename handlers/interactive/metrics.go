package interactive

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// metrics of the interactive lane. No label holds anything that a requester
// chose: operations and codes are closed lists.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	rows     *prometheus.CounterVec
	inFlight prometheus.Gauge

	refusals   map[string]prometheus.Counter // by reason
	dropped    prometheus.Counter
	unanswered prometheus.Counter
}

// durations are the buckets of an answer's. Each costs a series an operation.
var durations = []float64{.005, .025, .1, .5, 1, 2.5, 10, 60}

// Reasons for which a request is not executed, besides the codes of an admission's verdicts.
const (
	forReplySubject = "reply_subject"
	forMemory       = "memory"
)

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_requests_total", Help: "Requests answered, by operation and error code (ok for none).",
		}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crmbridge_request_duration_seconds", Help: "Time from receipt to the last reply, in seconds.",
			Buckets: durations,
		}, []string{"operation"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_rows_total", Help: "Rows delivered, by operation.",
		}, []string{"operation"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crmbridge_requests_in_flight", Help: "Requests being worked on.",
		}),
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crmbridge_requests_refused_total",
		Help: "Requests not executed, by reason: reply_subject (missing or not allowed, so that there is no answer), " +
			"overloaded (too many wait), memory, deadline_exceeded (while it waited), unavailable (the process stops).",
	}, []string{"reason"})
	m.refusals = map[string]prometheus.Counter{}
	for _, reason := range []string{forReplySubject, forMemory, string(messages.Overloaded),
		string(messages.DeadlineExceeded), string(messages.Unavailable)} {
		m.refusals[reason] = refused.WithLabelValues(reason)
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "crmbridge_nats_dropped_messages_total",
		Help: "Requests that the NATS client threw away because they came faster than they were read: they have no answer.",
	})
	m.unanswered = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "crmbridge_unanswered_requests_total", Help: "Requests that were neither executed nor answered, " +
			"because refusals came faster than NATS took them.",
	})
	registry.MustRegister(m.requests, m.duration, m.rows, refused, m.inFlight, m.dropped, m.unanswered)
	return m
}

// refuse counts a request that is not executed.
func (m *metrics) refuse(reason string) {
	if counter := m.refusals[reason]; counter != nil {
		counter.Inc()
	}
}

// watch adds what is read when somebody asks: load is the backlog's messages and bytes,
// refused how many subscriptions the server refuses.
func (m *metrics) watch(registry prometheus.Registerer, load func() (backlog, bytes int), refused func() int) {
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crmbridge_requests_waiting", Help: "Requests that wait for their turn.",
		}, func() float64 { n, _ := load(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crmbridge_backlog_bytes", Help: "Bytes of the requests that wait for their turn.",
		}, func() float64 { _, n := load(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crmbridge_nats_refused_subscriptions",
			Help: "Subscriptions that the NATS server refuses at present: requests on their subjects do not come here.",
		}, func() float64 { return float64(refused()) }),
	)
}

// begin makes all that the endpoint's requests are counted by, so that each is there, with 0,
// before the first.
func (c *counts) begin(of messages.Operation, m *metrics) {
	c.operation, c.metrics, c.byCode = of, m, map[string]prometheus.Counter{}
	for _, code := range route.Codes(of) {
		c.first(code)
	}
	c.duration = measure.NewHistogram(m.duration.WithLabelValues(string(of)), durations)
	switch _, verb, _ := strings.Cut(string(of), "."); messages.Verb(verb) {
	case messages.VerbSearch, messages.VerbGet, messages.VerbChanges:
		c.rows = m.rows.WithLabelValues(string(of))
	}
}
