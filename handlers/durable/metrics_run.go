package durable

import "github.com/prometheus/client_golang/prometheus"

// runMetrics count what executions do.
type runMetrics struct {
	pages     prometheus.Counter
	ends      *prometheus.CounterVec
	fullWaits prometheus.Counter
}

func newRunMetrics(registry prometheus.Registerer) runMetrics {
	m := runMetrics{
		pages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crmbridge_jobs_pages_total", Help: "Messages of results that were stored, ends among them.",
		}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_jobs_ended_total", Help: "Jobs that ended, by error code (ok for none).",
		}, []string{"code"}),
		fullWaits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crmbridge_jobs_full_stream_waits_total",
			Help: "Waits of jobs for room in the stream of results, or in their connection's share of it.",
		}),
	}
	registry.MustRegister(m.pages, m.ends, m.fullWaits)
	return m
}
