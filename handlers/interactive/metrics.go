package interactive

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the interactive lane. No label holds anything that a requester
// chose: operations and codes are closed lists.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	rows     *prometheus.CounterVec
	refused  prometheus.Counter
	inFlight prometheus.Gauge

	dropped    prometheus.Counter
	unanswered prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_requests_total", Help: "Requests answered, by operation and error code (ok for none).",
		}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crmbridge_request_duration_seconds", Help: "Time from receipt to the last reply, in seconds.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"operation"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_rows_total", Help: "Rows delivered, by operation.",
		}, []string{"operation"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crmbridge_refused_reply_subjects_total",
			Help: "Requests not executed because their reply subject is missing or not allowed.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crmbridge_requests_in_flight", Help: "Requests being worked on.",
		}),
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "crmbridge_nats_dropped_messages_total",
		Help: "Requests that the NATS client threw away because they came faster than they were read.",
	})
	m.unanswered = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "crmbridge_unanswered_requests_total", Help: "Requests that were neither executed nor answered, " +
			"because refusals came faster than NATS took them.",
	})
	registry.MustRegister(m.requests, m.duration, m.rows, m.refused, m.inFlight, m.dropped, m.unanswered)
	return m
}

// watch adds what is read when somebody asks: load is the backlog's messages and bytes.
func (m *metrics) watch(registry prometheus.Registerer, load func() (backlog, bytes int)) {
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crmbridge_backlog_messages", Help: "Requests that wait for their turn.",
		}, func() float64 { n, _ := load(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "crmbridge_backlog_bytes", Help: "Bytes of the requests that wait for their turn.",
		}, func() float64 { _, n := load(); return float64(n) }),
	)
}
