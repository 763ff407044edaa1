package interactive

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Counts are what is counted of the requests of one endpoint: for the services API, and in
// its operation's metrics. These are looked up by their labels once.
type counts struct {
	operation messages.Operation
	metrics   *metrics

	inFlight  atomic.Int64
	mu        sync.Mutex
	requests  int
	errors    int
	refusals  int
	lastError string
	took      time.Duration

	byCode   map[string]prometheus.Counter // codes are a closed list
	duration *measure.Histogram
	rows     prometheus.Counter
}

// count counts one request that got its answer.
func (c *counts) count(fault *messages.Error, r *reply, rows int) {
	code := route.CodeOf(fault)
	c.mu.Lock()
	c.requests++
	c.took += r.took
	if fault != nil {
		c.errors++
		c.lastError = code
	}
	answered := c.byCode[code]
	if answered == nil {
		answered = c.first(code)
	}
	if rows > 0 && c.rows == nil {
		c.rows = c.metrics.rows.WithLabelValues(string(c.operation))
	}
	counted := c.rows
	c.mu.Unlock()
	answered.Inc()
	c.duration.ObserveSpan(r.took, r.trace, r.span)
	if rows > 0 {
		counted.Add(float64(rows))
	}
}

// first finds the counter of a code, which [counts.begin] has done for those that were
// foreseen.
func (c *counts) first(code string) prometheus.Counter {
	answered := c.metrics.requests.WithLabelValues(string(c.operation), code)
	c.byCode[code] = answered
	return answered
}

// countRefusal counts one request that was not executed for its reply subject.
func (c *counts) countRefusal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals++
}
