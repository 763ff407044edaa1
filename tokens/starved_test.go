package tokens_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pulse notes how long the machine lets an easy step of this process wait, so that
// a test which depends on the clock can tell a machine that stalls from a product
// that is slow.
type pulse struct {
	most atomic.Int64 // in ns
	end  func()
}

// newPulse repeats step, which should be done at once, until stop is called or the
// test ends. nil: being woken up is the step.
func newPulse(t testing.TB, step func()) *pulse {
	p := &pulse{}
	ending, ended := make(chan struct{}), make(chan struct{})
	p.end = sync.OnceFunc(func() { close(ending); <-ended })
	go func() {
		defer close(ended)
		const every = 10 * time.Millisecond
		for {
			begun := time.Now()
			select {
			case <-ending:
				return
			case <-time.After(every):
			}
			if step != nil {
				step()
			}
			// Only this goroutine writes.
			p.most.Store(max(p.most.Load(), int64(time.Since(begun)-every)))
		}
	}()
	t.Cleanup(p.end)
	return p
}

// worst is the longest that a step has taken until now.
func (p *pulse) worst() time.Duration { return time.Duration(p.most.Load()) }

// stop returns the longest that a step has taken.
func (p *pulse) stop() time.Duration { p.end(); return p.worst() }

// patiently runs an attempt that depends on the clock. One that fails while steps
// that take nothing on a machine with time to spare took longer than room is
// repeated with twice the time for everything (scale), so that a stall of the
// machine is no verdict on the product. A product that is wrong fails at every
// scale, and on a machine that does not stall at the first.
func patiently(t *testing.T, room time.Duration, step func(), attempt func(scale int) error) {
	t.Helper()
	const mostScale = 8
	for scale := 1; ; scale *= 2 {
		p := newPulse(t, step)
		err := attempt(scale)
		stall := p.stop()
		switch {
		case err == nil:
			return
		case scale == mostScale || stall < room*time.Duration(scale):
			t.Fatalf("%v (an easy step took at most %v)", err, stall)
		}
		t.Logf("again with twice the time, since an easy step took %v: %v", stall, err)
	}
}
