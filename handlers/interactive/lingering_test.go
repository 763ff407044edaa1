package interactive

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// With its answer a request gives back its slot, whatever is left to do for it; as many may
// linger so as there are slots, and further ones keep theirs until they are over.
func TestASlotIsFreeWithItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 4, perConnection: 4, messages: 400, bytes: 1 << 20})
		for i := range 13 {
			s.push(fmt.Sprint("c", i), 10, 0)
		}
		for answered, want := range []int{4, 5, 6, 7, 8, 8, 8} {
			if s.begun() != want {
				t.Fatalf("after %d answers %d have begun, want %d", answered, s.begun(), want)
			}
			s.a.answers(s.ran[answered], true, time.Now())
		}
		s.a.leave(s.ran[0], true) // it lingered: no slot is free by that, but there is room to linger
		s.a.answers(s.ran[7], true, time.Now())
		if s.begun() != 9 {
			t.Errorf("%d have begun, want 9", s.begun())
		}
		for _, i := range []int{4, 5, 6} { // these kept their slots
			s.a.leave(s.ran[i], true)
		}
		if s.begun() != 12 {
			t.Errorf("%d have begun, want 12", s.begun())
		}
	})
}

// Whatever ends when, nothing of it stays counted.
func TestNothingLingersForEver(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			bounds := admissionBounds{inFlight: 6, perConnection: 2, messages: 40, bytes: 64 << 10}
			s := rehearse(bounds)
			over := map[*request]int{} // 1: answered, 2: over
			end := func(r *request) {
				if over[r] == 0 && random.IntN(3) > 0 {
					s.a.answers(r, true, time.Now())
					over[r] = 1
					return
				}
				if over[r] < 2 {
					s.a.leave(r, true)
					over[r] = 2
				}
			}
			for range 500 {
				s.push(fmt.Sprint("c", random.IntN(8)), 10, time.Duration(random.IntN(20))*time.Second)
				if n := s.begun(); n > 0 {
					end(s.ran[random.IntN(n)])
				}
				if random.IntN(20) == 0 {
					s.sweepFor(sweepEvery)
				}
				running := 0
				for _, r := range s.ran {
					if over[r] == 0 {
						running++
					}
				}
				if running > bounds.inFlight || s.a.inFlight > bounds.inFlight || int(s.a.lingers.Load()) > bounds.inFlight {
					t.Fatalf("%d run, %d have slots, %d linger", running, s.a.inFlight, s.a.lingers.Load())
				}
			}
			for i := 0; i < s.begun(); i++ {
				for r := s.ran[i]; over[r] < 2; {
					end(r)
				}
			}
			if n, bytes := s.a.load(); n != 0 || bytes != 0 || s.a.inFlight != 0 || s.a.lingers.Load() != 0 || s.a.busy != 0 {
				t.Errorf("%d wait with %d bytes, %d have slots, %d linger, %d connections are busy", n, bytes, s.a.inFlight,
					s.a.lingers.Load(), s.a.busy)
			}
		})
	}
}

// A connection with no more than its even share of the slots is not refused for want of
// pace, however long its requests wait; one with more is.
func TestAnEvenShareIsNotRefusedForItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 8, perConnection: 4, messages: 400, bytes: 1 << 20})
		for range 4 { // two connections with more than their part
			s.push("greedy", 10, time.Minute)
			s.push("greedier", 10, time.Minute)
		}
		s.push("greedy", 10, time.Minute)
		var asked []*request
		for range 3 { // one runs; with it one that waits is a third of the slots
			asked = append(asked, s.push("acme", 10, 12*time.Second))
		}
		codes := func() map[messages.Code]int {
			got := map[messages.Code]int{}
			for _, r := range asked {
				got[s.refused[r]]++
			}
			return got
		}
		s.sweepFor(11 * time.Second)
		if got := codes(); got[messages.Overloaded] != 1 || got[""] != 2 {
			t.Errorf("while they wait: %v", got)
		}
		s.sweepFor(2 * time.Second)
		if got := codes(); got[messages.Overloaded] != 1 || got[messages.DeadlineExceeded] != 1 {
			t.Errorf("after their deadline: %v", got)
		}
	})
}
