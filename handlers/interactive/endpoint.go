package interactive

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// An endpoint is one subscription of an operation, and its own counts: micro's
// would call an answer sent from another goroutine a success of no duration.
type endpoint struct {
	name      string
	subject   string
	operation messages.Operation
	route     route.Route

	mu        sync.Mutex
	requests  int
	errors    int
	refusals  int
	lastError string
	took      time.Duration
}

// count counts one request that got its answer.
func (e *endpoint) count(fault *messages.Error, took time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	e.took += took
	if fault != nil {
		e.errors++
		e.lastError = string(fault.Code)
	}
}

// countRefusal counts one request that was not executed for its reply subject.
func (e *endpoint) countRefusal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusals++
}

func (e *endpoint) stats() *micro.EndpointStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	stats := &micro.EndpointStats{
		Name:           e.name,
		Subject:        e.subject,
		QueueGroup:     messages.QueueGroup,
		NumRequests:    e.requests,
		NumErrors:      e.errors,
		LastError:      e.lastError,
		ProcessingTime: e.took,
		Data:           endpointData(e.refusals),
	}
	if e.requests > 0 {
		stats.AverageProcessingTime = e.took / time.Duration(e.requests)
	}
	return stats
}
