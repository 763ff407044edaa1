package throttle

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// want is what a process should get of what it asks for.
func (s *shared) want(p *Throttle, a ask, slots, jobs int, when string) {
	s.Helper()
	if got := s.ask(p, a); got.slots != slots || got.jobs != jobs {
		s.Errorf("%s: %d slots, %d for jobs, of %+v; want %d, %d", when, got.slots, got.jobs, a, slots, jobs)
	}
}

// calls is what a process asks for that has so many calls in flight or waiting.
func calls(others, jobs int) ask { return ask{wanted: others, demand: others, jobs: jobs} }

// Jobs leave four slots of the whole fleet, and what others ask for; they share the rest.
func TestSlotsForJobs(t *testing.T) {
	s := newShared(t)
	one, two, three := s.process("one", 40), s.process("two", 40), s.process("three", 40)
	s.want(one, calls(0, 100), 36, 36, "jobs alone")
	s.want(two, calls(4, 0), 4, 0, "the four that they leave")
	s.want(one, calls(0, 100), 36, 36, "four are in use that they did not have")
	s.want(two, calls(10, 0), 4, 0, "more than they leave")
	s.want(one, calls(0, 100), 30, 30, "another process wants more than it has")
	s.want(two, calls(10, 0), 10, 0, "it has what it wants")
	s.want(one, calls(0, 100), 30, 30, "and jobs have the rest")
	s.want(two, ask{wanted: 15, demand: 10, inUse: 10}, 10, 0, "it keeps none from jobs for its next call")
	s.want(one, calls(0, 30), 30, 30, "as many as there are")
	s.want(two, ask{wanted: 15, demand: 5, inUse: 5}, 10, 0, "but those that jobs have no use for")
	s.want(one, calls(0, 100), 30, 30, "now they have")
	s.want(two, ask{wanted: 15, demand: 5, inUse: 5}, 5, 0, "so that it gives them back")
	s.want(one, calls(0, 100), 35, 35, "what it gave back")
	s.want(two, calls(10, 0), 5, 0, "and wants again")
	s.want(one, calls(0, 100), 30, 30, "it gets it")
	s.want(two, calls(10, 0), 10, 0, "at once")
	s.want(one, ask{wanted: 2, demand: 2, jobs: 100, inUse: 30, jobsInUse: 30}, 30, 28,
		"jobs in flight, and others come")
	s.want(one, ask{wanted: 2, demand: 2, jobs: 100, inUse: 29, jobsInUse: 29}, 30, 28,
		"one has ended, and one can begin")
	s.want(one, calls(0, 100), 30, 30, "they are done")
	s.want(three, calls(0, 100), 0, 0, "jobs of another process")
	s.want(one, calls(0, 100), 15, 15, "they share")
	s.want(three, calls(0, 100), 15, 15, "the other half")
	s.want(two, calls(38, 0), 10, 0, "whoever waits is first")
	s.want(one, ask{jobs: 100, inUse: 13, jobsInUse: 13}, 13, 0, "jobs give way as they end")
	s.want(three, ask{jobs: 100, inUse: 13, jobsInUse: 13}, 13, 0, "here too")
	s.want(two, calls(38, 0), 14, 0, "they have not ended")
	s.want(one, calls(0, 100), 0, 0, "now they have")
	s.want(three, calls(0, 100), 1, 1, "here too, and it is its turn")
	s.want(two, calls(38, 0), 38, 0, "all that is wanted")
	s.want(two, calls(0, 0), 0, 0, "nobody waits any longer")
	s.want(one, calls(0, 100), 18, 18, "half of what jobs may have")
	s.want(three, calls(0, 100), 18, 18, "the other half")
	s.want(two, calls(0, 10), 0, 0, "a third process of jobs")
	s.want(two, calls(3, 10), 3, 0, "with calls of its own that somebody waits for")
	if left := s.m.TTL(jobsKey(s.key)); left != leaseLife {
		t.Errorf("what concerns jobs is kept for %s", left)
	}
	s.wait(leaseLife)
	s.want(one, calls(0, 100), 36, 36, "the leases of the others have ended")
}

// However few slots there are, jobs get one while nothing else runs, and take turns.
func TestJobsWhereThereAreFewSlots(t *testing.T) {
	for slots, want := range map[int]int{1: 1, 2: 1, 4: 1, 5: 1, 6: 2, 8: 4} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			s := newShared(t)
			one, two := s.process("one", slots), s.process("two", slots)
			s.want(one, calls(0, 9), want, want, "jobs alone")
			s.want(one, calls(0, 0), 0, 0, "given back")
			s.want(two, calls(1, 0), 1, 0, "another call")
			s.want(one, calls(0, 9), max(slots-4, 0), max(slots-4, 0), "beside another call")
		})
	}
	s := newShared(t)
	one, two := s.process("one", 1), s.process("two", 1)
	has := map[*Throttle]int{}
	for range 20 {
		for _, p := range []*Throttle{one, two} {
			if got := s.ask(p, calls(0, 1)); got.jobs > 0 && got.slots > 0 {
				has[p]++
			}
			s.wait(turn / 2)
		}
	}
	if has[one] < 5 || has[two] < 5 {
		t.Errorf("the one slot was one's %d times, the other's %d times", has[one], has[two])
	}
}

// Jobs leave as many of fewer slots: after a refusal for too many at once, and in the ramp.
func TestSlotsForJobsAfterRefusals(t *testing.T) {
	s := newShared(t)
	one := s.process("one", 40)
	s.block(one, time.Second, report{limit: dynamics.LimitConcurrency, reduce: true})
	s.want(one, calls(0, 100), 0, 0, "blocked")
	s.wait(time.Second)
	for _, want := range []int{1, 1, 4, 12} {
		s.want(one, calls(0, 100), want, want, "in the ramp")
		s.wait(rampStep)
	}
	s.want(one, calls(0, 100), 26, 26, "three quarters of the slots, without four")
	s.block(one, time.Second, report{limit: dynamics.LimitTime, probe: true})
	s.wait(time.Second)
	got := s.ask(one, ask{jobs: 1, need: needProbe})
	if got.slots != 0 || got.jobs != 0 || !got.probe || !got.mayProbe {
		t.Errorf("a job's call that may probe: %+v", got)
	}
}

// A process of an older version says what it wants in the old form, and reads only that.
func TestJobsBesideAnOlderVersion(t *testing.T) {
	s := newShared(t)
	one := s.process("one", 40)
	old := fmt.Sprintf("6 8 %d %d", s.now.Add(leaseLife).UnixMilli(), s.now.UnixMilli())
	s.try(func() error { return s.rdb.HSet(s.Context(), s.key, "p:old", old).Err() })
	s.want(one, calls(2, 100), 32, 30, "what it has and wants is not for jobs")
	s.try(func() error {
		fields, err := s.rdb.HGetAll(s.Context(), s.key).Result()
		if err == nil && (len(fields) != 2 || fields["p:old"] != old) {
			t.Errorf("fields %v", fields)
		}
		return err
	})
	for field, value := range map[string]string{"p:x": "nonsense", "d:x": "-1 x", "d:": "", "else": "1 2 3 4"} {
		s.try(func() error { return s.rdb.HSet(s.Context(), jobsKey(s.key), field, value).Err() })
	}
	s.want(one, calls(2, 100), 32, 30, "beside nonsense")
	s.try(func() error {
		n, err := s.rdb.HLen(s.Context(), jobsKey(s.key)).Result()
		if err == nil && n != 2 {
			t.Errorf("%d fields are left", n)
		}
		return err
	})
}

// job is enter of a job's call.
func (u *user) job() (slot, *waiter, error) {
	return u.enter(dynamics.WithBackground(context.Background()), "acme")
}

func (u *user) grantBoth(slots, jobs int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.granted(lease{slots: slots, jobs: jobs}, time.Now())
	u.dispatch(time.Now())
}

func decided(w *waiter) bool { return len(w.decided) == 1 }

// A call of a job gets a slot only when no other waits, whoever came first, and no more
// than jobs may have.
func TestJobsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		_, first, _ := u.job()
		_, second, _ := u.job()
		_, other, _ := u.enters(0)
		u.grantBoth(1, 1)
		if decided(first) || !decided(other) {
			t.Fatal("the slot is not the other call's")
		}
		u.grantBoth(3, 1)
		if !decided(first) || decided(second) {
			t.Fatal("jobs have not the one slot that they may have")
		}
		if s, _, _ := u.enters(0); s != oneOfMany {
			t.Error("the slot that jobs may not have is not another call's")
		}
		if s, w, err := u.job(); s != noSlot || w == nil {
			t.Errorf("a job's call got slot %d, %v", s, err)
		}
		_, other, _ = u.enters(0)
		u.leave(oneOfMany, true, dynamics.Answer{})
		if !decided(other) || decided(second) {
			t.Error("a slot that a job had is not the call's that waits")
		}
		u.leave(oneOfMany, false, dynamics.Answer{})
		if !decided(second) {
			t.Error("nothing else waits, and jobs have not theirs")
		}
		if u.jobs.inUse != 1 || u.inUse != 3 {
			t.Errorf("%d slots in use, %d by jobs", u.inUse, u.jobs.inUse)
		}
		if got := u.wants(time.Now()); got.demand != 2 || got.jobs != 2 || got.jobsInUse != 1 || got.inUse != 3 {
			t.Errorf("it asks for %+v", got)
		}
	})
}

// Jobs fill no room but their own, and others none of theirs.
func TestJobsWaitInARoomOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		other := func() (slot, *waiter, error) { return u.enters(0) }
		enter := map[bool]func() (slot, *waiter, error){true: u.job, false: other}
		for _, job := range []bool{true, false} {
			for range 4 {
				if _, w, err := enter[job](); w == nil {
					t.Fatalf("job %v: %v", job, err)
				}
			}
			_, _, err := enter[job]()
			if e, ok := errors.AsType[*dynamics.Error](err); !ok || e.Kind != dynamics.Overloaded || e.RetryAfter <= 0 {
				t.Errorf("job %v: the fifth: %v", job, err)
			}
		}
	})
}

// A job's call waits no longer than a call waits for a block; what it waited for says why.
func TestAJobsCallDoesNotWaitForEver(t *testing.T) {
	for name, c := range map[string]struct {
		block time.Duration
		want  dynamics.Kind
	}{
		"others go first": {0, dynamics.Overloaded},
		"blocked":         {8 * time.Second, dynamics.Throttled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, begun := lone(t), time.Now()
				failed := make(chan error, 1)
				go func() {
					_, err := u.t.Enter(dynamics.WithBackground(t.Context()), grace, "acme")
					failed <- err
				}()
				if c.block > 0 {
					time.Sleep(5 * time.Second)
					u.applyRemoteBlock(news{wait: c.block, limit: dynamics.LimitTime})
				}
				e, ok := errors.AsType[*dynamics.Error](<-failed)
				if !ok || e.Kind != c.want || e.RetryAfter <= 0 || time.Since(begun) != u.t.config.MaxBlock {
					t.Errorf("after %s: %v", time.Since(begun), e)
				}
				if u.waits() || u.jobs.inUse != 0 {
					t.Error("it still waits")
				}
			})
		})
	}
}

// What ends the wait of others ends that of jobs: a block that is too long, and the end of
// the process. A call that goes away in the moment of its slot gives it back.
func TestWhatEndsAJobsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		_, w, _ := u.job()
		u.applyRemoteBlock(news{wait: time.Minute, limit: dynamics.LimitTime})
		if got := <-w.decided; dynamics.KindOf(got.err) != dynamics.Throttled {
			t.Errorf("a long block: %v", got.err)
		}
		if _, _, err := u.job(); dynamics.KindOf(err) != dynamics.Throttled {
			t.Errorf("during a long block: %v", err)
		}
		time.Sleep(time.Minute + 1)
		for range 64 {
			ctx, cancel := context.WithCancel(dynamics.WithBackground(t.Context()))
			done := make(chan struct{})
			go func() {
				defer close(done)
				if leave, err := u.t.Enter(ctx, grace, "acme"); err == nil {
					leave(dynamics.Answer{})
				}
			}()
			synctest.Wait()
			u.mu.Lock()
			cancel()
			u.granted(lease{slots: 1, jobs: 1}, time.Now())
			u.dispatch(time.Now())
			u.mu.Unlock()
			<-done
			if u.inUse != 0 || u.jobs.inUse != 0 || u.waits() {
				t.Fatalf("%d in flight, %d of jobs, waiting: %v", u.inUse, u.jobs.inUse, u.waits())
			}
			u.grantBoth(0, 0)
		}
	})
}

// The right to probe is another's call before a job's; where only a job's waits, it probes.
func TestWhoseCallProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		_, job, _ := u.job()
		_, other, _ := u.enters(0)
		probe := func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.granted(lease{probe: true, mayProbe: true}, time.Now())
			u.dispatch(time.Now())
		}
		probe()
		if decided(job) || !decided(other) || (<-other.decided).slot != theProbe {
			t.Fatal("the job's call was first")
		}
		u.leave(theProbe, false, dynamics.Answer{}) // it decided nothing
		if got := u.wants(time.Now()); got.need != needProbe {
			t.Errorf("it asks for %+v", got)
		}
		probe()
		if !decided(job) || (<-job.decided).slot != theProbe || u.jobs.inUse != 1 {
			t.Fatal("the job's call does not probe")
		}
		u.leave(theProbe, true, dynamics.Answer{Answered: true})
		if u.mustProbe || u.inUse != 0 || u.jobs.inUse != 0 {
			t.Errorf("after the probe: %+v", u)
		}
	})
}

// Without Redis jobs use their part of the process's own slots, and one where it has few.
func TestJobsWithoutRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, slots := range []int{1, 2, 4, 10, 20, 40} {
			u := lone(t)
			u.t.config.Concurrency = slots
			u.t.away.seen(errors.New("away"))
			u.t.fleet.seen(1)
			time.Sleep(leaseLife)
			u.alone(time.Now())
			if u.leased != slots || u.jobs.leased != max(slots-4, 1) {
				t.Errorf("alone with %d: %d slots, %d for jobs", slots, u.leased, u.jobs.leased)
			}
			u.t.config.Concurrency = 40
			u.t.fleet.seen(40 / slots)
			u.alone(time.Now())
			if u.leased != slots || u.jobs.leased != max(slots*36/40, 1) {
				t.Errorf("%d of 40: %d slots, %d for jobs", slots, u.leased, u.jobs.leased)
			}
			if slots == 1 {
				if s, _, _ := u.enters(0); s != oneOfMany {
					t.Error("the only slot is not to be had")
				}
				if s, _, _ := u.job(); s != noSlot {
					t.Error("a job got a slot that another call has")
				}
			}
		}
	})
}

func TestAUserWithJobsIsNotForgotten(t *testing.T) {
	for name, do := range map[string]func(*user){
		"a job's call in flight":   func(u *user) { u.inUse, u.jobs.inUse = 1, 1 },
		"a job's call waits":       func(u *user) { u.jobs.waiting.Push("acme", &waiter{job: true}) },
		"a job was here right now": func(u *user) { u.jobs.used = time.Now().Add(-linger) },
	} {
		synctest.Test(t, func(t *testing.T) {
			u := lone(t)
			time.Sleep(linger + 1)
			if do(u); u.idle(time.Now()) {
				t.Errorf("%s: forgotten", name)
			}
		})
	}
}
