//go:build !race

package interactive

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// What the lane allocates for a request, beyond what a goroutine a message with nats.go
// alone does: the request with its context, its account and its reply, the operation's way to
// send, and the id of a request that came without one, or the connection that a body names.
// What a worker saves is the goroutine and what it is begun with.
func TestAllocationsOfARequest(t *testing.T) {
	const want = 2
	for name, c := range laneRequests {
		bare := allocations(t, echoing(t), c())
		lane := allocations(t, servedByLane(t, true), c())
		if lane-bare != want {
			t.Errorf("%s: the lane allocates %v times a request, want %d", name, lane-bare, want)
		}
	}
}

func allocations(t *testing.T, requester *nats.Conn, msg *nats.Msg) float64 {
	return testing.AllocsPerRun(2000, asking(t, requester, msg))
}
