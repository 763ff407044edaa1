package interactive

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// takeAll takes slots for pages for as long as there are any.
func takeAll(s Slots) (n int) {
	for s.Take() {
		n++
	}
	return n
}

func freed(s Slots) bool {
	select {
	case <-s.Freed():
		return true
	default:
		return false
	}
}

// Jobs leave a quarter of the slots to requests, and run also where there is only one.
func TestJobsLeaveAQuarterOfTheSlots(t *testing.T) {
	for _, c := range []struct{ slots, pages int }{{1, 1}, {2, 1}, {3, 2}, {4, 3}, {10, 7}, {32, 24}, {256, 192}} {
		s := rehearse(admissionBounds{inFlight: c.slots, perConnection: 40, messages: 2048, bytes: 1 << 20})
		if got := takeAll(Slots{s.a}); got != c.pages {
			t.Errorf("of %d slots jobs get %d, want %d", c.slots, got, c.pages)
		}
	}
}

// Requests and pages together never have more slots than there are, whoever came first; a
// request that waits for a slot goes before a page.
func TestRequestsAndPagesShareTheSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 8
		s := rehearse(admissionBounds{inFlight: all, perConnection: 40, messages: 2048, bytes: 1 << 20})
		slots := Slots{s.a}
		pages := takeAll(slots)
		for i := range 20 {
			s.push(fmt.Sprintf("c%d", i), 10, time.Minute)
		}
		if len(s.ran)+pages != all {
			t.Fatalf("%d requests and %d pages", len(s.ran), pages)
		}
		if slots.Take() {
			t.Fatal("a page got a slot while requests wait")
		}
		freed(slots)
		slots.Give() // which goes to a request
		if pages--; len(s.ran)+pages != all || slots.Take() || freed(slots) {
			t.Errorf("%d requests and %d pages", len(s.ran), pages)
		}
		for ended := 0; ended < len(s.ran); ended++ {
			s.a.leave(s.ran[ended], true)
			if running := len(s.ran) - ended - 1; running+pages > all {
				t.Fatalf("%d requests and %d pages", running, pages)
			}
		}
		if len(s.ran) != 20 || !freed(slots) {
			t.Errorf("%d requests ran, or nobody told the jobs", len(s.ran))
		}
		if more := takeAll(slots); pages+more != 6 {
			t.Errorf("jobs have %d slots when no request is there", pages+more)
		}
	})
}

// A request that waits for something else than a slot, its connection's own bound or an
// environment that does not answer, keeps no slot from jobs.
func TestPagesGoOnBesideRequestsThatWaitForTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 8, perConnection: 2, messages: 2048, bytes: 1 << 20})
		for range 4 {
			s.push("busy", 10, time.Minute)
		}
		if len(s.ran) != 2 || !(Slots{s.a}).Take() {
			t.Errorf("%d requests run, and a page may not", len(s.ran))
		}
	})
}

// When requests are refused at the end, jobs get no slots either.
func TestNoPagesAtTheEnd(t *testing.T) {
	s := rehearse(admissionBounds{inFlight: 8, perConnection: 2, messages: 2048, bytes: 1 << 20})
	slots := Slots{s.a}
	if !slots.Take() {
		t.Fatal("no slot")
	}
	s.a.abandon()
	if slots.Give(); slots.Take() {
		t.Error("a page got a slot")
	}
}

// Requests without end do not keep jobs from running: these have their least at every moment,
// from when they ask for it.
func TestRequestsDoNotStarveJobs(t *testing.T) {
	for _, c := range []struct{ slots, least int }{{1, 1}, {8, 1}, {32, 2}, {256, 16}} {
		synctest.Test(t, func(t *testing.T) {
			s := rehearse(admissionBounds{inFlight: c.slots, perConnection: 40, messages: 1 << 20, bytes: 1 << 30})
			slots, next := Slots{s.a}, 0
			flood := func() { // as many wait as run
				for backlog, _ := s.a.load(); backlog < c.slots; backlog, _ = s.a.load() {
					s.push(fmt.Sprintf("c%d", next%900), 10, time.Hour)
					next++
				}
			}
			flood()
			if takeAll(slots) != 0 {
				t.Fatalf("of %d slots none is free", c.slots)
			}
			pages, most := 0, 0
			ended := 0
			for range 20 * c.slots {
				time.Sleep(10 * time.Millisecond)
				if ended < len(s.ran) {
					s.a.leave(s.ran[ended], true)
					ended++
				}
				flood()
				pages += takeAll(slots)
				most = max(most, pages)
				if pages > c.least {
					t.Fatalf("of %d slots jobs have %d while requests wait", c.slots, pages)
				}
				if running := len(s.ran) - ended; running+pages > c.slots {
					t.Fatalf("%d requests and %d pages of %d", running, pages, c.slots)
				}
				if c.slots == 1 && pages == 1 { // the other one's turn
					slots.Give()
					pages = 0
				}
			}
			if most != c.least {
				t.Errorf("of %d slots jobs have had %d at a time, want %d", c.slots, most, c.least)
			}
			if len(s.ran) < 5*c.slots {
				t.Errorf("only %d requests ran", len(s.ran))
			}
		})
	}
}

// What is kept for a job that does not come for it goes to the requests that wait.
func TestWhatJobsDoNotTakeGoesToRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rehearse(admissionBounds{inFlight: 1, perConnection: 40, messages: 2048, bytes: 1 << 20})
		slots := Slots{s.a}
		first := s.push("a", 10, time.Minute)
		if slots.Take() {
			t.Fatal("there is a slot")
		}
		s.push("b", 10, time.Minute)
		s.a.leave(first, true)
		if s.begun() != 1 || !freed(slots) {
			t.Fatalf("%d requests ran, or nobody told the jobs", s.begun())
		}
		time.Sleep(owedFor)
		synctest.Wait()
		if s.begun() != 2 {
			t.Error("the request still waits")
		}
	})
}
