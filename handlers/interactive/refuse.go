package interactive

import (
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A refuser answers requests that are not worked on, beside whoever decides so: a
// server that takes answers slowly must not hold up the reading of messages, because
// it would disconnect a process that does not read.
type refuser struct {
	answer func(denial)
	lost   func(denial) // one that finds no room is not answered
	behind func() bool  // whether the reading of messages falls behind

	mu     sync.Mutex
	queue  []denial
	of     map[*line]int // how many of the queue are a connection's
	closed bool
	wake   chan struct{}
	done   chan struct{}
}

// A denial is a request without its body, which is not needed to refuse it.
type denial struct {
	e       *endpoint
	msg     *nats.Msg
	line    *line
	arrived time.Time
	why     verdict
}

// Bounds of the answers that wait to be published. They are short: some hundred bytes.
const (
	mostDenials = 8192
	// mostOfOne is the part of one connection, so that its flood takes no other's.
	mostOfOne = mostDenials / 4
)

// Where reading falls behind, for want of CPU, it goes before refusing: who waits to be
// read may be anybody, who is refused is mostly the flood.
const (
	behindEvery = 64 // refusals between two looks
	behindWait  = 2 * time.Millisecond
)

func newRefuser(answer, lost func(denial), behind func() bool) *refuser {
	r := &refuser{answer: answer, lost: lost, behind: behind, of: map[*line]int{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go r.run()
	return r
}

// put takes a request to be refused and keeps nothing of its body.
func (r *refuser) put(of *request, why verdict) {
	d := denial{e: of.e, line: of.line, arrived: of.arrived, why: why,
		msg: &nats.Msg{Subject: of.msg.Subject, Reply: of.msg.Reply, Header: answeredHeaders(of.msg.Header)}}
	r.mu.Lock()
	room := !r.closed && len(r.queue) < mostDenials && r.of[d.line] < mostOfOne
	if room {
		r.queue = append(r.queue, d)
		r.of[d.line]++
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

// answeredHeaders are those that come back with an answer, in memory of their own: the
// others can be long.
func answeredHeaders(in nats.Header) nats.Header {
	if len(in) == 0 {
		return nil
	}
	out := traceHeaders(in)
	for _, values := range out {
		values[0] = strings.Clone(values[0])
	}
	if id := in.Get(messages.HeaderRequestID); id != "" && len(id) <= messages.MaxRequestID {
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
			if i%behindEvery == 0 && r.behind() {
				time.Sleep(behindWait)
			}
			r.answer(d)
			batch[i] = denial{}
			r.forget(d.line)
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

func (r *refuser) forget(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of[l]--; r.of[l] == 0 {
		delete(r.of, l)
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
