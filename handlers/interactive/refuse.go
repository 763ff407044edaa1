package interactive

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A refuser answers requests that are refused, in a goroutine of its own: a server that
// takes answers slowly must not hold up the reading of messages, because it would
// disconnect a process that does not read.
type refuser struct {
	send func(denial)
	lost func(denial) // called for one that finds no room; it is not answered
	late func() bool  // whether messages arrive faster than they are read

	mu     sync.Mutex
	queue  []denial
	of     map[*connQueue]int // how many of the queue belong to a connection
	closed bool
	wake   chan struct{}
	done   chan struct{}
}

// A denial is a request that is refused, without its body, which is not needed for that.
type denial struct {
	e       *endpoint
	msg     *nats.Msg
	queue   *connQueue
	arrived time.Time
	why     verdict
}

// Bounds of the answers that wait to be published. They are short: some hundred bytes.
const (
	mostDenials = 8192
	// mostOfOne is the part of one connection, so that its flood takes no other's.
	mostOfOne = mostDenials / 4
)

// Where messages arrive faster than they are read, for want of CPU, reading goes before
// refusing: what waits to be read may be from anybody, what is refused is mostly the flood.
const (
	lateEvery = 64 // refusals between two looks
	lateWait  = 2 * time.Millisecond
)

func newRefuser(send, lost func(denial), late func() bool) *refuser {
	r := &refuser{send: send, lost: lost, late: late, of: map[*connQueue]int{}, wake: make(chan struct{}, 1),
		done: make(chan struct{})}
	go r.run()
	return r
}

// put takes a request to refuse and keeps nothing of its body.
func (r *refuser) put(of *request, why verdict) {
	d := denial{e: of.e, queue: of.queue, arrived: of.arrived, why: why,
		msg: &nats.Msg{Subject: of.msg.Subject, Reply: of.msg.Reply, Header: answeredHeaders(of.msg.Header)}}
	r.mu.Lock()
	room := !r.closed && len(r.queue) < mostDenials && r.of[d.queue] < mostOfOne
	if room {
		r.queue = append(r.queue, d)
		r.of[d.queue]++
	}
	r.mu.Unlock()
	if !room {
		r.lost(d)
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// answeredHeaders are the headers that an answer repeats, in memory of their own: the
// others can be long.
func answeredHeaders(in nats.Header) nats.Header {
	if len(in) == 0 {
		return nil
	}
	out := nats.Header(route.Trace(in))
	for _, values := range out {
		values[0] = strings.Clone(values[0])
	}
	if id := in.Get(messages.HeaderRequestID); id != "" && len(id) <= messages.MaxRequestID {
		if out == nil {
			out = nats.Header{}
		}
		out[messages.HeaderRequestID] = []string{strings.Clone(id)}
	}
	return out
}

func (r *refuser) run() {
	defer close(r.done)
	var spare []denial
	for {
		r.mu.Lock()
		batch, closed := r.queue, r.closed
		r.queue = spare[:0]
		r.mu.Unlock()
		for i, d := range batch {
			if i%lateEvery == 0 && r.late() {
				time.Sleep(lateWait)
			}
			r.send(d)
			batch[i] = denial{}
			r.forget(d.queue)
		}
		spare = batch
		switch {
		case len(batch) > 0:
		case closed:
			return
		default:
			<-r.wake
		}
	}
}

func (r *refuser) forget(q *connQueue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of[q]--; r.of[q] == 0 {
		delete(r.of, q)
	}
}

// stop answers what waits and ends.
func (r *refuser) stop() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	<-r.done
}
