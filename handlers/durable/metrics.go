package durable

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the durable lane. No label holds anything that somebody else chose, and none
// names a connection.
type metrics struct {
	runMetrics
	claims    *prometheus.CounterVec
	takeovers prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, l *Lane) *metrics {
	m := &metrics{runMetrics: newRunMetrics(registry),
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_jobs_claims_total",
			Help: "Attempts to claim a job, by what became of them: claimed, taken_over, lost (another process was " +
				"first), gone, ended, later, newer, another_job (its id was used, nothing was run), error.",
		}, []string{"outcome"}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crmbridge_jobs_takeovers_total",
			Help: "Jobs that were taken over from a process that did not keep its claim alive.",
		}),
	}
	registry.MustRegister(m.claims, m.takeovers, &depths{
		lane: l,
		pending: prometheus.NewDesc("crmbridge_jobs_pending",
			"Jobs that wait. Every process exports the same: use max(), not sum().", nil, nil),
		runnable: prometheus.NewDesc("crmbridge_jobs_runnable",
			"Jobs that more processes could run now: of each connection whose user Dataverse has not blocked those "+
				"that wait, at most USER_CONCURRENCY. Every process exports the same: use max(), not sum().", nil, nil),
		oldest: prometheus.NewDesc("crmbridge_jobs_oldest_seconds",
			"Age of the job that has waited longest, in seconds; 0 where none waits. Every process exports the same: use "+
				"max(), not sum().", nil, nil),
		connections: prometheus.NewDesc("crmbridge_jobs_connections",
			"Connections with jobs that wait. Every process exports the same: use max(), not sum().", nil, nil),
	})
	for _, verdict := range []verdictOfClaim{claimMade, claimOver, claimLost, claimGone, claimEnded, claimLater,
		claimNewer, claimOther, claimError} {
		m.claims.WithLabelValues(string(verdict))
	}
	return m
}

// depths are the gauges of what waits. They are of one moment.
type depths struct {
	lane                                   *Lane
	pending, runnable, oldest, connections *prometheus.Desc
}

// Describe sends the descriptions of the gauges.
func (d *depths) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{d.pending, d.runnable, d.oldest, d.connections} {
		to <- desc
	}
}

// Collect sends the gauges' present values.
func (d *depths) Collect(to chan<- prometheus.Metric) {
	now := d.lane.board.depth(d.lane.now())
	age := 0.0
	if now.pending > 0 {
		age = now.age.Seconds()
	}
	for _, gauge := range []struct {
		desc  *prometheus.Desc
		value float64
	}{
		{d.pending, float64(now.pending)}, {d.runnable, float64(now.runnable)}, {d.oldest, age},
		{d.connections, float64(now.connections)},
	} {
		to <- prometheus.MustNewConstMetric(gauge.desc, prometheus.GaugeValue, gauge.value)
	}
}
