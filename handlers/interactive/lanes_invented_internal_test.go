package interactive

import (
	"testing"
	"time"
)

// A thousand made-up inboxes ask 280 times a second together. One that begins to ask 20
// times a second beside them has a lane of its own within seconds, and keeps it.
func TestMadeUpInboxesKeepNoLane(t *testing.T) {
	const polite, before, beside = uint64(1), 10 * 300, 20 * 300 // in requests
	worst, name := 0, uint64(0)
	for phase := range 15 {
		g := newGroup(mostInboxes)
		now := time.Unix(1_800_000_000, 0)
		without := 0 // requests until the polite one was last without a lane
		for i := range before + beside {
			now = now.Add(time.Second / 300)
			if i < before || i%15 != phase {
				name = (name + 1) % 1000
				g.lane(1000+name, now)
			} else if g.lane(polite, now) == g.shared {
				without = i - before
			}
		}
		worst = max(worst, without)
	}
	if took := time.Duration(worst) * time.Second / 300; took > 3*time.Second {
		t.Errorf("the polite one was without a lane of its own until %s after it began", took)
	}
}
