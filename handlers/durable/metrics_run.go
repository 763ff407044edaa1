package durable

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// runMetrics count what executions do.
type runMetrics struct {
	pages     prometheus.Counter
	ends      *prometheus.CounterVec
	fullWaits prometheus.Counter

	running    prometheus.Gauge
	jobs       *prometheus.CounterVec
	operations []string // that jobs counts apart; set before the first job
	wait, took *measure.Histogram
	dead       prometheus.Gauge
}

// noOperation counts for the operations that this process does not know: their names are others'.
const noOperation = "other"

// Buckets of the times of jobs, in seconds.
var (
	jobWaits = []float64{.1, 1, 5, 30, 60, 300, 1800, 21600}
	jobTakes = []float64{1, 5, 15, 60, 300, 900, 3600, 14400}
)

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
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crmbridge_jobs_running", Help: "Jobs that this process runs now.",
		}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_jobs_total",
			Help: "Jobs that ended, by operation and state: done, failed or cancelled. An operation that this process " +
				"does not know is other.",
		}, []string{"operation", "state"}),
		dead: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "crmbridge_dead_jobs",
			Help: "Dead letters that are stored: jobs that failed and were neither retried nor deleted. Every process " +
				"exports the same, as it was within the last minute: use max(), not sum().",
		}),
	}
	wait := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "crmbridge_job_wait_seconds", Help: "Time from a job's publication to its first start, in seconds.",
		Buckets: jobWaits,
	})
	took := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "crmbridge_job_duration_seconds",
		Help:    "Time from a job's first start to its end, in seconds, whoever ran it and however often it waited.",
		Buckets: jobTakes,
	})
	m.wait, m.took = measure.NewHistogram(wait, jobWaits), measure.NewHistogram(took, jobTakes)
	registry.MustRegister(m.pages, m.ends, m.fullWaits, m.running, m.jobs, m.dead, wait, took)
	m.foresee(nil)
	m.ends.WithLabelValues(route.OK)
	for _, code := range messages.Codes() {
		m.ends.WithLabelValues(string(code))
	}
	return m
}

// foresee makes the counters of the operations that may be jobs.
func (m *runMetrics) foresee(routes map[messages.Operation]route.Route) {
	m.operations = []string{noOperation}
	for op, r := range routes {
		if _, _, _, ok := messages.ParseJobSubject(op.JobSubject("c", "j")); ok && !r.Admin && op.Entity() != "jobs" {
			m.operations = append(m.operations, string(op))
		}
	}
	for _, op := range m.operations {
		for _, state := range messages.JobStates() {
			if state.Ended() {
				m.jobs.WithLabelValues(op, string(state))
			}
		}
	}
}

// begins counts a job that this process runs from now on. Only its first start ends its wait.
func (m *runMetrics) begins(c claimed) {
	m.running.Inc()
	if at := c.record.StartedAt; at != nil && at.Equal(c.since) && c.message != nil {
		m.wait.Observe(max(at.Sub(c.message.Time), 0), route.Trace(c.message.Header))
	}
}

// ended counts a job whose end this execution has recorded.
func (m *runMetrics) ended(x *execution, r messages.JobRecord) {
	m.ends.WithLabelValues(route.CodeOf(x.at.fault())).Inc()
	name := string(x.call.Operation)
	if !slices.Contains(m.operations, name) {
		name = noOperation
	}
	if r.State.Ended() {
		m.jobs.WithLabelValues(name, string(r.State)).Inc()
	}
	if r.StartedAt != nil && r.FinishedAt != nil {
		m.took.ObserveSpan(max(r.FinishedAt.Sub(*r.StartedAt), 0), x.trace, x.span)
	}
}

// countDead reads how many dead letters there are. Where that is not known, the last count stays.
func (l *Lane) countDead(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, deadWait)
	defer cancel()
	if stream, err := l.js.Stream(ctx, messages.DeadStream); err == nil {
		l.metrics.dead.Set(float64(stream.CachedInfo().State.Msgs))
	}
}

// deadWait bounds the wait for that count, which holds up the reading of jobs.
const deadWait = 2 * time.Second
