package bridge

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// upstreamMetrics count what crmbridge asks of Microsoft. Labels are closed
// lists: call names, outcomes, grants, codes.
type upstreamMetrics struct {
	calls     *prometheus.CounterVec
	durations *prometheus.HistogramVec
	bytes     prometheus.Counter
	tokens    *prometheus.CounterVec
	waits     *measure.Histogram
	limits    *prometheus.CounterVec
	queue     *measure.Histogram
	remaining *prometheus.GaugeVec

	requestsLeft, secondsLeft prometheus.Gauge // of remaining
	refreshes                 *prometheus.CounterVec
	caches                    *prometheus.CounterVec

	mu    sync.Mutex
	known map[string]*callMetrics // by the call's name
}

// Buckets, in seconds. Each of a call's costs a series a call.
var (
	callTimes  = []float64{.1, .5, 2.5, 10, 60}
	tokenWaits = []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	queueWaits = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

func newUpstreamMetrics(registry prometheus.Registerer, tables []messages.Table) *upstreamMetrics {
	m := &upstreamMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_dataverse_calls_total",
			Help: "HTTP requests to Dataverse, each attempt counted, by call and outcome.",
		}, []string{"call", "outcome"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "crmbridge_dataverse_call_duration_seconds",
			Help:    "Duration of one HTTP request to Dataverse with its body, in seconds.",
			Buckets: callTimes,
		}, []string{"call"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crmbridge_dataverse_received_bytes_total",
			Help: "Body bytes received from Dataverse, after decompression.",
		}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_token_requests_total",
			Help: "Requests to Entra's token endpoint, by grant and code (ok for none).",
		}, []string{"grant", "code"}),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_dataverse_limits_total",
			Help: "Refusals by a service protection limit of Dataverse, by limit.",
		}, []string{"limit"}),
		remaining: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crmbridge_dataverse_limit_remaining",
			Help: "What was left of a limit in Dataverse's last answer, for whichever user: requests, and " +
				"seconds of execution; NaN until it said so. For looking at; calls are not paced by it.",
		}, []string{"limit"}),
	}
	waits := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "crmbridge_token_wait_seconds",
		Help:    "How long requests waited for a new access token, in seconds; in steady state none does.",
		Buckets: tokenWaits,
	})
	queue := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "crmbridge_dataverse_queue_seconds",
		Help: "How long calls waited for one of their user's slots, in seconds; " +
			"calls that did not wait are not counted.",
		Buckets: queueWaits,
	})
	m.waits, m.queue = measure.NewHistogram(waits, tokenWaits), measure.NewHistogram(queue, queueWaits)
	m.refreshes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crmbridge_refreshes_total",
		Help: "Refreshes of access tokens, by what came of them: ok, or the code of the error.",
	}, []string{"verdict"})
	m.caches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crmbridge_cache_requests_total",
		Help: "Looks into this process's caches, by cache and outcome (hit, miss): token (grants), metadata, and " +
			"coalesced (pages that a call under way for the same page served).",
	}, []string{"cache", "outcome"})
	m.known = map[string]*callMetrics{}
	m.requestsLeft, m.secondsLeft = m.remaining.WithLabelValues("requests"), m.remaining.WithLabelValues("seconds")
	m.requestsLeft.Set(math.NaN())
	m.secondsLeft.Set(math.NaN())
	registry.MustRegister(m.calls, m.durations, m.bytes, m.tokens, waits, m.limits, queue, m.remaining,
		m.refreshes, m.caches)
	m.foresee(tables)
	return m
}

// foresee makes what the labels that are known beforehand stand for.
func (m *upstreamMetrics) foresee(tables []messages.Table) {
	for op, kinds := range dynamics.KnownCalls(messages.TableNames(tables)) {
		for _, kind := range kinds {
			m.of(op, kind)
		}
	}
	for _, code := range tokens.RequestCodes() {
		for _, grant := range tokens.Grants() {
			m.tokens.WithLabelValues(grant, code)
		}
		m.refreshes.WithLabelValues(code)
	}
	for _, limit := range []dynamics.Limit{dynamics.LimitRequests, dynamics.LimitTime, dynamics.LimitConcurrency,
		dynamics.LimitUnknown} {
		m.limits.WithLabelValues(limit.String())
	}
	for _, cache := range []string{"token", "metadata", "coalesced"} {
		m.cached(cache)
	}
}

// cached counts looks into a cache.
func (m *upstreamMetrics) cached(cache string) func(hit bool) {
	hits, misses := m.caches.WithLabelValues(cache, "hit"), m.caches.WithLabelValues(cache, "miss")
	return func(hit bool) {
		if hit {
			hits.Inc()
		} else {
			misses.Inc()
		}
	}
}

func (m *upstreamMetrics) refreshed(verdict string) { m.refreshes.WithLabelValues(verdict).Inc() }

// A callMetrics has the metrics of one call of Dataverse, looked up by their labels once.
type callMetrics struct {
	duration *measure.Histogram
	outcomes map[dynamics.Kind]prometheus.Counter // closed lists
}

func (m *upstreamMetrics) dataverse(ctx context.Context, call dynamics.Call) {
	outcome, duration := m.of(call.Op, call.Kind)
	outcome.Inc()
	duration.ObserveContext(ctx, call.Duration)
	m.bytes.Add(float64(call.Bytes))
	if call.BurstRemaining >= 0 {
		m.requestsLeft.Set(call.BurstRemaining)
	}
	if call.TimeRemaining >= 0 {
		m.secondsLeft.Set(call.TimeRemaining)
	}
}

// of finds the metrics of a call, and makes those that were not foreseen.
func (m *upstreamMetrics) of(op string, kind dynamics.Kind) (prometheus.Counter, *measure.Histogram) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known[op]
	if known == nil {
		known = &callMetrics{measure.NewHistogram(m.durations.WithLabelValues(op), callTimes), map[dynamics.Kind]prometheus.Counter{}}
		m.known[op] = known
	}
	outcome := known.outcomes[kind]
	if outcome == nil {
		name := "ok"
		if kind != 0 {
			name = kind.String()
		}
		outcome = m.calls.WithLabelValues(op, name)
		known.outcomes[kind] = outcome
	}
	return outcome, known.duration
}

func (m *upstreamMetrics) entra(request tokens.TokenRequest) {
	m.tokens.WithLabelValues(request.Grant, request.Code).Inc()
}

func (m *upstreamMetrics) waited(ctx context.Context, d time.Duration) {
	m.waits.ObserveContext(ctx, d)
}

func (m *upstreamMetrics) queued(ctx context.Context, d time.Duration) {
	m.queue.ObserveContext(ctx, d)
}

func (m *upstreamMetrics) refused(limit dynamics.Limit) {
	m.limits.WithLabelValues(limit.String()).Inc()
}
