package interactive

import (
	"testing"
	"time"
)

// A thousand made-up inboxes ask 280 times a second together. One that begins to ask 20
// times a second together with them has a queue of its own within seconds, and keeps it.
func TestMadeUpInboxesKeepNoQueue(t *testing.T) {
	const polite, before, together = uint64(1), 10 * 300, 20 * 300 // in requests
	worst, name := 0, uint64(0)
	for phase := range 15 {
		g := newGroup(maxInboxes)
		now := time.Unix(1_800_000_000, 0)
		without := 0 // requests until the polite one was last without a queue
		for i := range before + together {
			now = now.Add(time.Second / 300)
			if i < before || i%15 != phase {
				name = (name + 1) % 1000
				g.queue(1000+name, now)
			} else if g.queue(polite, now) == g.shared {
				without = i - before
			}
		}
		worst = max(worst, without)
	}
	if took := time.Duration(worst) * time.Second / 300; took > 3*time.Second {
		t.Errorf("the polite one was without a queue of its own until %s after it began", took)
	}
}
