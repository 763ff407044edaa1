//go:build !race

package interactive

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// What the lane allocates for a request, beyond what a goroutine a message with nats.go
// alone does, without what the budget of memory takes: the request with its context and its
// reply, the deadline's context, its timer and two closures, the operation's way to send, and
// the id of a request that came without one, or the connection that a body names.
func TestAllocationsOfARequest(t *testing.T) {
	const most = 6
	for name, c := range laneRequests {
		bare := allocations(t, echoing(t), c())
		lane := allocations(t, servedByLane(t, false), c())
		t.Logf("%s: %v with the lane, %v without", name, lane, bare)
		if lane-bare > most {
			t.Errorf("%s: the lane allocates %v times a request, want %d", name, lane-bare, most)
		}
	}
}

func allocations(t *testing.T, requester *nats.Conn, msg *nats.Msg) float64 {
	return testing.AllocsPerRun(2000, asking(t, requester, msg))
}
