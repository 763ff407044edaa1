package durable

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A table is a board that a test plays on, without NATS and without a clock.
type table struct {
	*board
	t   testing.TB
	now instant
	seq uint64
	// beats counts the records that were heard of, as a stored one counts its writes.
	beats int64
	told  map[jobKey]error // executions that were told to end
}

func newTable(t testing.TB, slots int) *table {
	b := newBoard(40, slots, 15*time.Second, "me")
	b.jitter = func() time.Duration { return 0 }
	b.lookIn = func() time.Duration { return lookFirst }
	return &table{board: b, t: t, now: instant(time.Hour), told: map[jobKey]error{}}
}

// publish has the follower see jobs of a connection.
func (x *table) publish(connection string, ids ...string) {
	for _, id := range ids {
		x.seq++
		if full := x.follow(x.job(connection, id, x.seq), x.now); full != nil {
			x.t.Fatal("the board is full")
		}
	}
}

func (x *table) job(connection, id string, seq uint64) followed {
	return followed{seq: seq, op: "accounts.search", connection: connection, id: id, at: time.Unix(1, 0),
		expires: x.now.after(24 * time.Hour)}
}

func (x *table) publishMany(connection string, n int) {
	for i := range n {
		x.publish(connection, fmt.Sprintf("j%d", i))
	}
}

// slot is a free slot: it returns what it is used for, nil for nothing.
func (x *table) slot() *openJob {
	if !x.wants(x.now) {
		return nil
	}
	n, ok := x.pop(x.now)
	switch {
	case !ok:
		return nil
	case n.page != nil:
		close(n.page.granted)
		return n.page.job
	}
	o := n.job
	x.opening(o, func(cause error) { x.told[jobKey{o.queue.connection, o.id}] = cause })
	x.owned(o)
	return o
}

// turnOf has an open job use its slot, and wait for the next.
func (x *table) turnOf(o *openJob) {
	if _, has := x.queuePage(o, x.now); has {
		x.turned(o)
		x.queuePage(o, x.now)
	}
}

func (x *table) end(o *openJob) { x.shut(o, outcome{ended: true}, x.now, 0) }

// order is the connections that get the next slots, each job ending at once.
func (x *table) order(n int) (got string) {
	for range n {
		o := x.slot()
		if o == nil {
			return got + "-"
		}
		got += o.queue.connection
		x.end(o)
	}
	return got
}

// heardOf has a record be heard.
func (x *table) heardOf(connection, id string, state messages.JobState, owner string, again time.Duration) *openJob {
	x.beats++
	record := messages.JobRecord{Job: messages.Job{ID: id, Connection: connection, State: state}, Owner: owner,
		Beat: x.beats}
	return x.heard(record, hashOf([]byte(owner+string(state))), x.now, x.now.after(again))
}

// Queues take turns whatever is in them, and one that had nothing goes first.
func TestQueuesTakeTurns(t *testing.T) {
	x := newTable(t, 100)
	x.publishMany("a", 10_000)
	if got := x.order(3); got != "aaa" {
		t.Errorf("alone: %s", got)
	}
	x.publish("b", "1", "2", "3")
	x.publish("c", "1", "2", "3")
	if got := x.order(8); got != "bcabcabc" {
		t.Errorf("%s", got)
	}
	x.publish("b", "4")
	if got := x.order(3); got != "baa" {
		t.Errorf("a queue that had run empty: %s", got)
	}
}

// However many queues are new, the others have their turns too.
func TestNewQueuesDoNotStarveTheOthers(t *testing.T) {
	x := newTable(t, 100)
	x.publishMany("a", 100)
	x.order(1)
	turns := 0
	for i := range 90 {
		x.publish(fmt.Sprintf("b%d", i), "1")
		x.publish(fmt.Sprintf("c%d", i), "1")
		o := x.slot()
		if o.queue.connection == "a" {
			turns++
		}
		x.end(o)
	}
	if turns < 90/(freshRun+1) {
		t.Errorf("the queue that was there had %d turns of 90", turns)
	}
}

// Pages and claims of all connections take turns together.
func TestPagesTakeTurnsWithClaims(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1", "2")
	x.publish("b", "1")
	a1, b1 := x.slot(), x.slot()
	x.turnOf(a1)
	x.turnOf(b1)
	var got []string
	for range 3 {
		o := x.slot()
		got = append(got, o.queue.connection)
	}
	slices.Sort(got)
	if x.slot() != nil || !slices.Equal(got, []string{"a", "a", "b"}) {
		t.Errorf("%v", got)
	}
}

// Processes choose among the first 64 of a queue, so that they seldom choose the same.
func TestClaimsChooseAmongTheFirst(t *testing.T) {
	firsts := map[string]bool{}
	for range 200 {
		x := newTable(t, 100)
		x.publishMany("a", 100)
		id := x.slot().id
		var n int
		if _, err := fmt.Sscanf(id, "j%d", &n); err != nil || n >= among {
			t.Fatalf("%s was chosen", id)
		}
		firsts[id] = true
	}
	if len(firsts) < among/2 {
		t.Errorf("only %d different ones in 200 times", len(firsts))
	}
}

// A connection has at most 16 jobs open, and all together four for each slot.
func TestOpenJobsAreBounded(t *testing.T) {
	x := newTable(t, 8)
	x.publishMany("a", 100)
	open := 0
	for x.slot() != nil {
		open++
	}
	if open != openPerQueue {
		t.Errorf("%d jobs of one connection are open", open)
	}
	for i := range 40 {
		x.publish(fmt.Sprintf("b%d", i), "1")
	}
	for x.slot() != nil {
		open++
	}
	if open != 4*8 {
		t.Errorf("%d jobs are open", open)
	}
}

// Where as many jobs are open as may be, the connection with the most makes way for one that
// has none: one of its jobs that is between two pages.
func TestMakingWay(t *testing.T) {
	x := newTable(t, 2) // eight jobs
	x.publishMany("a", 20)
	x.publishMany("b", 3)
	var jobs []*openJob
	for o := x.slot(); o != nil; o = x.slot() {
		jobs = append(jobs, o)
	}
	if len(jobs) != 8 || x.makeWay(x.now) != nil {
		t.Fatalf("%d jobs are open, and one makes way for nobody", len(jobs))
	}
	x.publish("c", "1")
	if x.makeWay(x.now) != nil {
		t.Fatal("a job in the middle of a page was told to make way")
	}
	for _, o := range jobs {
		x.turnOf(o)
	}
	lose := x.makeWay(x.now)
	if lose == nil {
		t.Fatal("no job makes way")
	}
	lose(errMakeWay)
	if x.makeWay(x.now) != nil {
		t.Error("a second job makes way for one connection")
	}
	var gone *openJob
	for key, cause := range x.told {
		if key.connection != "a" || !errors.Is(cause, errMakeWay) {
			t.Errorf("%v of %v", cause, key)
		}
		gone = x.queues["a"].open[key.id]
	}
	at := slices.IndexFunc(x.queues["a"].pages, func(p *pageTurn) bool { return p.job == gone })
	x.withdraw(x.queues["a"].pages[at], x.now)
	x.shut(gone, outcome{}, x.now, 0)
	if o := x.slot(); o == nil || o.queue.connection != "c" {
		t.Errorf("the place went to %+v", o)
	}
}

// Where nobody has more than one job open, one that has stored a page makes way, so that all
// come on.
func TestMakingWayAmongEquals(t *testing.T) {
	x := newTable(t, 1) // four jobs
	var jobs []*openJob
	for i := range 5 {
		x.publish(fmt.Sprintf("a%d", i), "1")
		if o := x.slot(); o != nil {
			jobs = append(jobs, o)
		}
	}
	if len(jobs) != 4 || x.makeWay(x.now) != nil {
		t.Fatalf("%d jobs are open", len(jobs))
	}
	x.turnOf(jobs[2])
	lose := x.makeWay(x.now)
	if lose == nil {
		t.Fatal("no job makes way")
	}
	lose(errMakeWay)
	if x.told[jobKey{"a2", "1"}] == nil {
		t.Errorf("%v", x.told)
	}
}

// Jobs before their time and jobs of a blocked user are passed over, but for those that are
// to be ended.
func TestWaitsArePassedOver(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1", "2")
	o := x.slot()
	x.shut(o, outcome{again: time.Now()}, x.now, x.now.after(time.Minute))
	if got := x.order(2); got != "a-" {
		t.Errorf("one waits: %s", got)
	}
	x.now = x.now.after(time.Minute)
	x.tick(x.now)
	if got := x.order(2); got != "a-" {
		t.Errorf("its time has come: %s", got)
	}

	x.publish("a", "3", "4", "5")
	x.shut(x.slot(), outcome{again: time.Now(), blocked: true}, x.now, x.now.after(10*time.Minute))
	x.publish("b", "1")
	if got := x.order(2); got != "b-" {
		t.Errorf("a is blocked: %s", got)
	}
	if d := x.depth(x.now); d.pending != 3 || d.runnable != 0 || d.connections != 1 {
		t.Errorf("%+v", d)
	}
	expired := x.job("a", "6", 100)
	expired.expires = x.now
	x.follow(expired, x.now)
	if o := x.slot(); o == nil || o.id != "6" {
		t.Errorf("the expired job is not met: %+v", o)
	}
	x.now = x.now.after(10 * time.Minute)
	x.tick(x.now)
	if got := x.order(4); got != "aaa-" {
		t.Errorf("a is not blocked any more: %s", got)
	}
}

// What others do with jobs is heard, and hints that were wrong or missed do no harm for good.
func TestRecordsAreHeard(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1", "2", "3", "4")
	x.heardOf("a", "1", messages.JobRunning, "other", 0)
	x.heardOf("a", "2", messages.JobRunning, "other", 0)
	x.heardOf("a", "2", messages.JobDone, "", 0)
	x.heardOf("a", "3", messages.JobQueued, "", time.Minute)
	x.heardOf("a", "7", messages.JobRunning, "other", 0) // refused, after the job has ended
	if n := x.count(); n != 3 {
		t.Errorf("%d jobs are known", n)
	}
	o := x.slot()
	if o == nil || o.id != "4" || x.slot() != nil {
		t.Fatalf("%+v", o)
	}
	if look := x.heardOf("a", "4", messages.JobRunning, "other", 0); look != o {
		t.Error("a foreign owner of an own job is not looked at")
	}
	if x.heardOf("a", "4", messages.JobRunning, "other", 0) != nil {
		t.Error("it is looked at twice at once")
	}
	if !x.looked(o) || x.looked(o) {
		t.Error("it is not looked at again, or for ever")
	}
	if x.heardOf("a", "4", messages.JobRunning, "me", 0) != nil || x.heardOf("a", "4", messages.JobDone, "", 0) != nil {
		t.Error("its own records are looked at")
	}
	if x.heardOf("a", "4", messages.JobCancelled, "", 0) != o {
		t.Error("it is not looked at where it was cancelled")
	}
	x.end(o)

	x.now = x.now.after(10 * time.Second)
	x.heardOf("a", "1", messages.JobRunning, "other", 0) // its heartbeat
	x.now = x.now.after(10 * time.Second)
	x.tick(x.now)
	// What was only heard to wait for long is looked at after a lease.
	if o = x.slot(); o == nil || o.id != "3" || x.slot() != nil {
		t.Errorf("a job was taken over whose owner lives, or one that waits for long was not looked at: %+v", o)
	}
	x.refused(o, claiming{verdict: claimLater}, x.now, x.now.after(time.Minute))
	x.now = x.now.after(6 * time.Second)
	x.tick(x.now)
	if o = x.slot(); o == nil || o.id != "1" || !o.lapsed {
		t.Errorf("the job of a dead owner is %+v", o)
	}
	x.now = x.now.after(time.Minute)
	x.tick(x.now)
	if o = x.slot(); o == nil || o.id != "3" || !o.known {
		t.Errorf("the job that was given back is %+v", o)
	}
}

// A job that is published again is not mistaken for the one before, whose records are heard
// late; and one that is heard to end while it waits is looked at.
func TestRecordsOfTheJobBefore(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1")
	for _, state := range []messages.JobState{messages.JobRunning, messages.JobDone} {
		record := messages.JobRecord{Job: messages.Job{ID: "1", Connection: "a", State: state, QueuedAt: time.Unix(0, 5)}}
		if !state.Ended() {
			record.Owner = "other"
		}
		x.heard(record, 1, x.now, x.now)
	}
	o := x.slot()
	if o == nil || o.known {
		t.Fatalf("%+v", o)
	}
	x.end(o)
	x.publish("a", "1")
	x.heardOf("a", "1", messages.JobCancelled, "", 0)
	if x.slot() != nil {
		t.Error("the cancelled job was claimed at once")
	}
	x.now = x.now.after(heardEndAgain)
	x.tick(x.now)
	if o = x.slot(); o == nil || !o.known {
		t.Errorf("%+v", o)
	}
}

// Every process that starts tries to claim what is claimed already. What it publishes is
// refused, and heard all the same: it does not prolong the lease of an owner that is dead.
func TestRefusedClaimsProlongNoLease(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1")
	for range 3 {
		x.heardOf("a", "1", messages.JobRunning, "dead", 0)
	}
	for i := range 3 {
		x.now = x.now.after(5 * time.Second)
		record := messages.JobRecord{Job: messages.Job{ID: "1", Connection: "a", State: messages.JobRunning},
			Owner: fmt.Sprintf("starts%d", i), Beat: 1}
		x.heard(record, hashOf([]byte(record.Owner)), x.now, x.now)
	}
	x.tick(x.now)
	if o := x.slot(); o == nil || o.id != "1" || !o.lapsed ||
		o.hash != hashOf([]byte("dead"+string(messages.JobRunning))) {
		t.Errorf("a lease after the owner's last word there is %+v", o)
	}
}

// While this process is cut off it hears nothing: no lease runs out because of that, and none
// begins anew, so that the dead are noticed although connections break again and again.
func TestLeasesStandStillDuringACut(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1")
	x.heardOf("a", "1", messages.JobRunning, "other", 0)
	pass := func(d, deaf time.Duration) {
		x.now = x.now.after(d)
		if deaf > 0 {
			x.stoodStill(deaf, x.now)
		}
		x.tick(x.now)
	}
	pass(time.Minute, time.Minute)
	if x.slot() != nil {
		t.Fatal("the job was taken over after a cut of a minute in which its owner could not be heard")
	}
	for range 4 {
		pass(6*time.Second, 3*time.Second)
		if o := x.slot(); o != nil {
			t.Fatalf("the job was taken over before a lease without the cuts: %+v", o)
		}
	}
	pass(6*time.Second, 3*time.Second)
	if o := x.slot(); o == nil || !o.lapsed {
		t.Errorf("a lease and five cuts after the owner's last word there is %+v", o)
	}
}

// A lease is no longer after a cut than a new one.
func TestACutProlongsNoLeaseBeyondANewOne(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1")
	x.heardOf("a", "1", messages.JobRunning, "other", 0)
	x.stoodStill(time.Hour, x.now)
	x.now = x.now.after(15 * time.Second)
	x.tick(x.now)
	if x.slot() == nil {
		t.Error("a lease after the cut nobody takes the job over")
	}
}

// A reading of the whole stream finds what was missed, and drops what is gone.
func TestTheStreamIsReadAgain(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1", "2", "3")
	x.publish("b", "1")
	x.heardOf("a", "1", messages.JobRunning, "other", 0)
	x.heardOf("c", "9", messages.JobRunning, "other", 0) // of which the stream has no job
	o := x.slot()
	x.again()
	x.follow(x.job("a", "2", 2), x.now)
	x.follow(x.job("a", "0", 6), x.now)
	x.follow(x.job(o.queue.connection, o.id, o.seq), x.now)
	x.swept(6, x.now)
	ids := map[string]bool{}
	for o := x.slot(); o != nil; o = x.slot() {
		ids[o.queue.connection+o.id] = true
	}
	want := map[string]bool{"a2": true, "a0": true}
	delete(want, o.queue.connection+o.id)
	if len(ids) != len(want) {
		t.Errorf("%v of %v wait", ids, want)
	}
	for id := range want {
		if !ids[id] {
			t.Errorf("%s does not wait", id)
		}
	}
	if len(x.queues["a"].others) != 0 || x.queues["c"] != nil {
		t.Error("jobs of others are known that are gone")
	}
}

// Memory has room for so many jobs of a connection; the next are read when these are few.
func TestLongQueues(t *testing.T) {
	x := newTable(t, 1000)
	const all = 3_210
	x.publishMany("a", all)
	if q := x.queues["a"]; len(q.jobs) != queueMost || x.count() != all || q.from != queueMost+1 {
		t.Fatalf("%d are in memory, %d are known, to be read on from %d", len(q.jobs), x.count(), q.from)
	}
	seen := map[string]bool{}
	for o := x.slot(); o != nil; o = x.slot() {
		if seen[o.id] {
			t.Fatalf("%s twice", o.id)
		}
		seen[o.id] = true
		x.end(o)
		r, ok := x.nextRefill()
		if !ok {
			continue
		}
		var got []followed
		for seq := r.from; seq <= x.seq && len(got) < r.most; seq++ {
			got = append(got, x.job("a", fmt.Sprintf("j%d", seq-1), seq))
		}
		if len(seen) < 1_000 { // meanwhile one more is published and followed, which the reading did not see
			x.publish("a", fmt.Sprintf("j%d", x.seq))
		}
		x.refilled(r, got, int(x.seq)-int(got[len(got)-1].seq), nil, x.now)
	}
	if len(seen) != int(x.seq) || x.count() != 0 || len(x.queues) != 0 {
		t.Errorf("%d of %d ran, %d are known", len(seen), x.seq, x.count())
	}
}

// Where memory is full the long queues make room for the others.
func TestMemoryOfAllQueues(t *testing.T) {
	x := newTable(t, 1000)
	x.memory = 2_000
	x.publishMany("a", 1_500)
	x.publishMany("b", 1_500)
	for i := range 500 {
		x.publish(fmt.Sprintf("c%d", i), "1")
	}
	for name, q := range x.queues {
		if len(q.jobs) == 0 {
			t.Fatalf("%s has no job in memory", name)
		}
	}
	if x.waits > x.memory || x.count() != 3_500 {
		t.Errorf("%d are in memory, %d are known", x.waits, x.count())
	}
	for i := 500; i < 1_998; i++ {
		x.publish(fmt.Sprintf("c%d", i), "1")
	}
	full := x.follow(x.job("d", "1", x.seq+1), x.now)
	if full == nil {
		t.Fatalf("there is room for more: %d", x.waits)
	}
	x.end(x.slot())
	select {
	case <-full:
	default:
		t.Error("nobody says that there is room again")
	}
}

// Jobs of operations that are not known here wait for others, and are met when they expire.
func TestUnknownOperationsAreLeftAlone(t *testing.T) {
	x := newTable(t, 100)
	x.knows = func(op messages.Operation) bool { return op == "accounts.search" }
	x.publishMany("a", 2)
	for i := range 2_000 {
		f := x.job("a", fmt.Sprintf("n%d", i), 10+uint64(i))
		f.op = "accounts.guess"
		x.follow(f, x.now)
	}
	x.publish("a", "last")
	if got := x.order(4); got != "aaa-" {
		t.Errorf("%s", got)
	}
	x.heardOf("a", "n0", messages.JobRunning, "newer", 0)
	x.heardOf("a", "n1", messages.JobDone, "", 0)
	if n := x.count(); n != 1_999 {
		t.Errorf("%d are known", n)
	}
	x.now = x.now.after(time.Minute)
	x.tick(x.now) // the newer process is gone
	if x.slot() != nil {
		t.Error("a job of an unknown operation was claimed")
	}
	x.now = x.now.after(24 * time.Hour)
	x.tick(x.now)
	if o := x.slot(); o == nil {
		t.Error("it is not met when it has expired")
	}
}

// A second job of the same id waits for the first to end.
func TestTwoJobsOfOneID(t *testing.T) {
	x := newTable(t, 100)
	x.publish("a", "1", "1")
	first := x.slot()
	if x.slot() != nil {
		t.Fatal("both are open")
	}
	x.end(first)
	x.now = x.now.after(15 * time.Second)
	x.tick(x.now)
	if second := x.slot(); second == nil || second.seq == first.seq {
		t.Errorf("%+v", second)
	}
}

// What waits and runs is listed page by page in one order.
func TestKnownJobs(t *testing.T) {
	x := newTable(t, 100)
	l := &Lane{board: x.board, began: time.Now()}
	for _, connection := range []string{"b", "a", "c"} {
		x.publish(connection, "3", "1", "2", "4")
	}
	x.slot()
	x.heardOf("c", "1", messages.JobRunning, "other", 0)
	var got []string
	running := 0
	for after := (jobKey{}); ; {
		jobs := l.known(after, 5)
		for _, job := range jobs {
			got = append(got, job.Connection+job.ID)
			after = jobKey{job.Connection, job.ID}
			if job.State == messages.JobRunning {
				running++
			}
		}
		if len(jobs) < 5 {
			break
		}
	}
	if want := []string{"a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4", "c1", "c2", "c3", "c4"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if running != 2 {
		t.Errorf("%d run", running)
	}
}
