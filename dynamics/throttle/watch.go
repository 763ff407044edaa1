package throttle

import (
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	listenFirst = 50 * time.Millisecond
	listenMost  = time.Second
)

// listen hears of blocks until the Throttle is closed. A subscription that breaks
// is made again; what was missed meanwhile comes with the next lease, which a
// process that is at work asks for every renewEvery.
func (t *Throttle) listen() {
	for wait := listenFirst; ; wait = min(wait*2, listenMost) {
		if t.hear() {
			wait = listenFirst
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-t.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// deaf has every user's slots asked for at once that rests on blocks being heard of.
func (t *Throttle) deaf() {
	if !t.hears.Swap(false) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.users {
		u.wake()
	}
}

// hear holds one subscription; it reports whether it stood.
func (t *Throttle) hear() (stood bool) {
	sub := t.config.Redis.Subscribe(t.ctx, channel)
	defer func() { _ = sub.Close() }()
	defer t.deaf()
	// Receive does not end with the context; closing does.
	done := make(chan struct{})
	defer close(done)
	t.work.Go(func() {
		select {
		case <-t.ctx.Done():
			_ = sub.Close()
		case <-done:
		}
	})
	for {
		m, err := sub.Receive(t.ctx)
		if err != nil {
			return stood
		}
		stood = true
		t.hears.Store(true)
		if m, ok := m.(*redis.Message); ok {
			if n, ok := told(m.Payload, t.config.LongestBlock); ok {
				if u := t.known(n.key); u != nil {
					u.applyRemoteBlock(n)
				}
			}
		}
	}
}
