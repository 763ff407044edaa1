package interactive

import (
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
	span      spanForm // zero where no spans are made

	counts counts
}

func (e *endpoint) stats() *micro.EndpointStats {
	c := &e.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := &micro.EndpointStats{
		Name:           e.name,
		Subject:        e.subject,
		QueueGroup:     messages.QueueGroup,
		NumRequests:    c.requests,
		NumErrors:      c.errors,
		LastError:      c.lastError,
		ProcessingTime: c.took,
		Data:           endpointData(c.refusals, c.inFlight.Load()),
	}
	if c.requests > 0 {
		stats.AverageProcessingTime = c.took / time.Duration(c.requests)
	}
	return stats
}
