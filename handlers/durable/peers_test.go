package durable

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// A fleet is lanes on one server that run jobs, and nothing besides.
type fleet struct {
	testing.TB
	lanes []*testLane
	seen  runs
	jobs  int
	run   func(subjects ...string) // until they have ended everywhere
}

func newFleet(t testing.TB, n int, change func(*Lane)) *fleet {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	f := &fleet{TB: t}
	for range n {
		f.lanes = append(f.lanes, startLane(t, s, 64, quickly(&f.seen), func(l *Lane) {
			l.pullWait, l.recountEvery = time.Hour, time.Hour // what would be counted besides
			change(l)
		}))
	}
	f.run = func(subjects ...string) {
		publishJobs(t, js, subjects...)
		f.jobs += len(subjects)
		awaitCount(t, "jobs that ran", f.jobs, func() int { return len(f.seen.seen()) })
		for _, l := range f.lanes {
			awaitCount(t, "jobs that are left, negative", 0, func() int { return -l.board.count() })
		}
	}
	return f
}

// acquaint runs jobs until every process knows every other one.
func (f *fleet) acquaint() {
	for i := 0; ; i++ {
		known := 0
		for _, l := range f.lanes {
			l.board.mu.Lock()
			known += len(l.board.peers.all)
			l.board.mu.Unlock()
		}
		if known == len(f.lanes)*(len(f.lanes)-1) {
			return
		}
		if i == 1000 {
			f.Fatalf("after %d jobs %d of %d are known", i, known, len(f.lanes)*(len(f.lanes)-1))
		}
		f.run(messages.Operation("accounts.search").JobSubject("first", fmt.Sprint(i)))
	}
}

// claims is how many claims were tried.
func (f *fleet) claims(verdict verdictOfClaim) (n int) {
	for _, l := range f.lanes {
		n += int(testutil.ToFloat64(l.metrics.claims.WithLabelValues(string(verdict))))
	}
	return n
}

// messages is how many messages the processes have had and sent.
func (f *fleet) messages() (n uint64) {
	for _, l := range f.lanes {
		if err := l.nc.Flush(); err != nil { // what the server has for it by now
			f.Fatal(err)
		}
		s := l.nc.Stats()
		n += s.InMsgs + s.OutMsgs
	}
	return n
}

// However many processes have nothing to do, one of them tries to claim a job: the others hear
// of the job, of its claim and of its end, and nothing else.
func TestIdleProcessesDoNotRace(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it starts 15 processes' lanes on four servers")
	}
	// The claim, the job, its results, the record and the deletion, each asked and answered.
	const itself, hearing = 2 * 5, 3
	for _, processes := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			// Whoever does not come first for a job only tries it much later: where the machine was so slow
			// that it heard of the end before it read of the job.
			f := newFleet(t, processes, func(l *Lane) {
				l.board.step = 10 * time.Second
				// What a process asks by the clock is no part of what a job costs.
				l.standing.every, l.recountEvery, l.pullWait = time.Hour, time.Hour, time.Minute
			})
			f.acquaint()
			f.run(search("last", 1)...) // with one process it is the first: all is made by now
			lost, made, before := f.claims(claimLost), f.claims(claimMade), f.messages()
			var all []string
			for i := range 24 { // one after the other, then all at once
				one := search(fmt.Sprintf("one%d", i), 1)
				f.run(one...)
				all = append(all, search(fmt.Sprintf("all%d", i), 1)...)
			}
			f.run(all...)
			lost, made = f.claims(claimLost)-lost, f.claims(claimMade)-made
			if lost != 0 || made != 48 {
				t.Errorf("%d claims were made and %d lost of 48 jobs", made, lost)
			}
			// Fewer where a job had ended before a process came to read it.
			if got, most := f.messages()-before, uint64(48*(itself+hearing*processes)); got > most {
				t.Errorf("%d messages of 48 jobs, want %d at most", got, most)
			}
		})
	}
}

// others makes processes known to a table.
func (x *table) others(names ...string) {
	for _, name := range names {
		x.peers.heard(name)
	}
}

// publishFor publishes a job that a process comes first for.
func (x *table) publishFor(connection, id, name string) {
	for {
		x.seq++
		best, by := rankOf(x.seq, x.peers.own), "me"
		for _, p := range x.peers.all {
			if r := rankOf(x.seq, p.hash); r > best {
				best, by = r, p.name
			}
		}
		if by == name {
			break
		}
	}
	if x.follow(x.job(connection, id, x.seq), x.now) != nil {
		x.t.Fatal("the board is full")
	}
}

// passes lets time pass as the dispatcher sees it.
func (x *table) passes(d time.Duration) {
	x.now = x.now.after(d)
	x.awake(x.now)
}

// A job is left to the process that comes first for it: when that claims it nobody else tries.
// What this process comes first for it tries at once.
func TestAJobIsLeftToTheFirst(t *testing.T) {
	x := newTable(t, 8)
	x.others("other")
	x.publishFor("a", "theirs", "other")
	if x.wants(x.now) {
		t.Error("another process's job is tried at once")
	}
	if d := x.depth(x.now); d.runnable != 1 {
		t.Errorf("%d jobs may run, want 1: every process says the same", d.runnable)
	}
	x.heardOf("a", "theirs", messages.JobRunning, "other", 0)
	x.passes(time.Minute)
	if x.wants(x.now) {
		t.Error("a job is tried that was heard to be claimed")
	}
	x.publishFor("b", "mine", "me")
	if o := x.slot(); o == nil || o.id != "mine" {
		t.Errorf("got %+v", o)
	}
}

// A job that the first does not claim is tried a step later, as soon as the dispatcher is to
// look again, and in the place of one that had nothing before.
func TestAJobThatTheFirstLeaves(t *testing.T) {
	x := newTable(t, 8)
	x.others("dead")
	x.publishFor("a", "1", "me")
	x.publishFor("a", "2", "me")
	x.publishFor("b", "1", "dead")
	if in := x.wakesIn(x.now); in != yieldStep {
		t.Errorf("the dispatcher looks again in %v, want %v", in, yieldStep)
	}
	x.end(x.slot())
	x.passes(yieldStep - 1)
	if len(x.waking) != 1 {
		t.Errorf("%d queues wait for a moment", len(x.waking))
	}
	x.passes(1)
	if got := x.order(2); got != "ba" {
		t.Errorf("the slots went to %s, want ba", got)
	}
	if in := x.wakesIn(x.now); in != tickEvery || len(x.waking) != 0 {
		t.Errorf("with nothing that waits the dispatcher looks in %v, %d queues", in, len(x.waking))
	}
}

// A process that leaves several jobs unclaimed is not waited for any more, until it is heard
// again; one that is heard between is not at fault.
func TestProcessesThatDoNotClaimAreForgotten(t *testing.T) {
	x := newTable(t, 8)
	x.others("dead", "slow")
	leave := func(i int) {
		x.publishFor("a", fmt.Sprint("slow", i), "slow")
		if len(x.peers.all) == 2 {
			x.publishFor("b", fmt.Sprint("dead", i), "dead")
		}
		for range yieldSteps {
			x.passes(yieldStep)
		}
		for o := x.slot(); o != nil; o = x.slot() {
			x.end(o)
		}
		x.others("slow")
	}
	if leave(0); len(x.peers.all) != 2 {
		t.Fatalf("after a job %+v are known", x.peers.all)
	}
	for i := range peerMisses - 1 {
		leave(1 + i)
	}
	if len(x.peers.all) != 1 || x.peers.all[0].name != "slow" {
		t.Fatalf("%+v are known", x.peers.all)
	}
	x.publish("c", "another")
	x.heardOf("c", "another", messages.JobRunning, "dead", 0)
	if len(x.peers.all) != 2 {
		t.Errorf("a process that claims again is not known: %+v", x.peers.all)
	}
}

// Others that claim instead count, too: where they do it late, not where they do it at once.
func TestLateClaimsOfOthersCount(t *testing.T) {
	x := newTable(t, 8)
	x.others("dead", "alive")
	for i := range 10 {
		x.publishFor("a", fmt.Sprint("early", i), "dead")
		x.heardOf("a", fmt.Sprint("early", i), messages.JobRunning, "alive", 0)
	}
	if len(x.peers.all) != 2 {
		t.Fatalf("claims that left it no time are held against a process: %+v", x.peers.all)
	}
	for i := 0; len(x.peers.all) == 2 && i < 100; i++ {
		id := fmt.Sprint("late", i)
		x.publishFor("a", id, "dead")
		x.passes(yieldStep * 9 / 10)
		x.heardOf("a", id, messages.JobRunning, "alive", 0)
	}
	if len(x.peers.all) != 1 || x.peers.all[0].name != "alive" {
		t.Errorf("%+v are known", x.peers.all)
	}
}

// A job that is given back goes to the first as a new one does.
func TestAJobGivenBackIsLeftToTheFirst(t *testing.T) {
	x := newTable(t, 8)
	x.others("other")
	x.publishFor("a", "j", "other")
	x.heardOf("a", "j", messages.JobRunning, "third", 0)
	x.heardOf("a", "j", messages.JobQueued, "", 500*time.Millisecond)
	x.passes(500*time.Millisecond + yieldStep - 1)
	if x.wants(x.now) {
		t.Error("it is tried as soon as its time has come")
	}
	if x.passes(1); !x.wants(x.now) {
		t.Error("it is not tried")
	}
}

// Of jobs that wait for long those are chosen that this process comes first for; but one that
// nobody comes to claim is not passed over for ever.
func TestNoJobIsPassedOverForEver(t *testing.T) {
	x := newTable(t, 1000)
	x.others("gone")
	x.publishFor("a", "theirs", "gone")
	x.passes(yieldSteps * yieldStep)
	for i := range 10_000 {
		for n := 0; len(x.queues["a"].jobs) < 10; n++ {
			x.publishFor("a", fmt.Sprintf("mine%d-%d", i, n), "me")
		}
		o := x.slot()
		if x.end(o); o.id == "theirs" {
			return
		}
	}
	t.Error("after 10,000 others it is still there")
}

// However many names are heard, so many are known.
func TestKnownProcessesAreBounded(t *testing.T) {
	p := newPeers("me")
	for i := range 10 * peersMost {
		p.heard(fmt.Sprint("process", i))
	}
	p.heard(strings.Repeat("x", peerName+1))
	p.heard("")
	if len(p.all) != peersMost || p.all[peersMost-1].name != fmt.Sprint("process", 10*peersMost-1) {
		t.Errorf("%d are known, the last is %s", len(p.all), p.all[len(p.all)-1].name)
	}
}

// What is heard of a job before it is read is heard again when it is: nothing is tried.
func TestRecordsThatComeBeforeTheirJob(t *testing.T) {
	s := streamstest.Server(t, nil)
	nc, _ := streamstest.Connect(t, s)
	for name, records := range map[string][]messages.JobState{
		"claimed": {messages.JobRunning}, "ended": {messages.JobRunning, messages.JobRunning, messages.JobDone},
	} {
		l, err := New(nc, Options{Connections: noConnections{}, Sealer: noSealer{}, MaxInFlight: 4})
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		for beat, state := range records {
			record := messages.JobRecord{Job: messages.Job{State: state, QueuedAt: at}, Owner: "other", Beat: int64(beat + 1)}
			body, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			l.hear(messages.StateSubject("a", "j"), body)
		}
		f := followed{seq: 1, op: "accounts.search", connection: "a", id: "j", at: at, expires: never}
		l.board.follow(f, l.now())
		l.hearEarly(jobKey{"a", "j"})
		if l.board.wants(l.now()) {
			t.Errorf("%s: the job is tried", name)
		}
		if held := l.board.queues["a"] != nil; held != (name == "claimed") {
			t.Errorf("%s: it is known: %v", name, held)
		}
		if n := len(l.early.order) + len(l.early.bodies); n != 0 {
			t.Errorf("%s: %d are kept", name, n)
		}
		for i := range 10 * earlyMost {
			l.hear(messages.StateSubject("b", fmt.Sprint(i)), []byte("{}"))
		}
		l.hear(messages.StateSubject("b", "long"), make([]byte, earlyLongest+1))
		if len(l.early.order) != earlyMost || len(l.early.bodies) != earlyMost {
			t.Errorf("%d records are kept, %d bodies", len(l.early.order), len(l.early.bodies))
		}
	}
}
