package interactive

import (
	"runtime"
	"sync"
)

// Workers are the goroutines that work on requests. One that has ended a request waits for
// the next: its stack has grown to what a request needs, thirty calls deep, and a new
// goroutine's would be copied several times on the way there.
type workers struct {
	work func(*worker, *request)

	mu      sync.Mutex
	idle    []*worker // the one that waits shortest is last, and gets the next request
	unused  int       // how many of them no request came for since the last trim
	present map[*worker]struct{}
	stopped bool
	all     sync.WaitGroup
}

// A worker is one such goroutine, the memory of its replies and of their headers, and what ends
// its request in time.
type worker struct {
	next   chan *request
	reply  reply
	header answerHeader
	alarm  alarm
}

// forget leaves nothing of a request that is over in the worker's memory, and takes that from
// the request: an operation that goes on must not reach the next one's reply.
func (w *worker) forget(r *request) {
	r.ended, r.reply = true, nil
	w.reply = reply{}
	w.header.forget()
}

// mostIdle bounds the workers that wait. It is more than are in flight by default: those of a
// burst are there for the next one, and trim ends them where none comes.
const mostIdle = 2 * DefaultMaxInFlight

// begin has a worker work on a request, and returns at once.
func (p *workers) begin(r *request) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		w := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		p.unused = min(p.unused, last)
		p.mu.Unlock()
		w.next <- r
		return
	}
	p.mu.Unlock()
	p.all.Add(1)
	go p.run(r)
}

// deep is more than a quarter of the stack that a request grows a worker's to, 16 KiB.
const deep = 4<<10 + 256

func (p *workers) run(r *request) {
	defer p.all.Done()
	// The collector halves a stack of which less than a quarter is in use, as of a worker that
	// waits, and the next request would copy it again: this is in use as long as the worker is.
	var used [deep]byte
	defer runtime.KeepAlive(&used)
	w := p.enter()
	defer p.exit(w)
	for more := true; more; r, more = <-w.next {
		p.work(w, r)
		r = nil // what it holds is not kept while nothing comes
		if !p.park(w) {
			return
		}
	}
}

func (p *workers) enter() *worker {
	w := &worker{next: make(chan *request, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.present == nil {
		p.present = map[*worker]struct{}{}
	}
	p.present[w] = struct{}{}
	return w
}

func (p *workers) exit(w *worker) {
	w.alarm.off()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.present, w)
}

// abandon ends the contexts of all requests that are worked on. Those that are begun after it
// find out by themselves that the work has ended.
func (p *workers) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.present {
		w.alarm.abandon()
	}
}

// park has a worker wait for its next request, unless enough wait.
func (p *workers) park(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || len(p.idle) >= mostIdle {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

// trim ends the workers that no request came for since it was called last.
func (p *workers) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.idle[:p.unused] { // those that wait longest
		close(w.next)
	}
	rest := copy(p.idle, p.idle[p.unused:])
	clear(p.idle[rest:])
	p.idle = p.idle[:rest]
	p.unused = rest
}

// stop ends all workers, each when it has ended its request. None may be begun after it.
func (p *workers) stop() {
	p.mu.Lock()
	p.stopped = true
	for _, w := range p.idle {
		close(w.next)
	}
	p.idle, p.unused = nil, 0
	p.mu.Unlock()
}
