package durable

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// More jobs of unknown operations than memory has are all ended when they have expired, and
// meanwhile they are counted, and nobody reads the stream for them.
func TestMoreUnknownOperationsThanMemoryHas(t *testing.T) {
	x := newTable(t, 1000)
	x.knows = func(op messages.Operation) bool { return op == "accounts.search" }
	x.strangersMost = 100
	unknown := func(seq uint64) followed {
		f := x.job("a", fmt.Sprintf("n%d", seq), seq)
		f.op, f.expires = "accounts.guess", instant(30*time.Hour).after(time.Duration(seq)*time.Second)
		return f
	}
	const all = 1_000
	for x.seq < all {
		x.seq++
		x.follow(unknown(x.seq), x.now)
	}
	if _, ok := x.nextStrays(); ok || x.count() != all {
		t.Fatalf("%d are known, and the stream is read: %v", x.count(), ok)
	}
	ended, reads := map[string]bool{}, 0
	for range 2 * all {
		x.now = x.now.after(time.Minute)
		x.tick(x.now)
		if r, ok := x.nextStrays(); ok {
			reads++
			var got []followed
			next := uint64(0)
			for seq := r.from; seq <= all; seq++ {
				if len(got) == r.most {
					next = seq
					break
				}
				if !ended[fmt.Sprintf("n%d", seq)] {
					got = append(got, unknown(seq))
				}
			}
			x.strayed(r, got, next, nil, x.now)
		}
		for o := x.slot(); o != nil; o = x.slot() {
			if x.now < o.expires {
				t.Fatalf("%s is met too early", o.id)
			}
			ended[o.id] = true
			x.end(o)
		}
		if left := all - len(ended); x.count() != left {
			t.Fatalf("%d are known, %d are left", x.count(), left)
		}
	}
	if len(ended) != all || len(x.strangers) != 0 || x.strays.n != 0 {
		t.Errorf("%d of %d have ended", len(ended), all)
	}
	if reads > 2*all/x.strangersMost+2 {
		t.Errorf("the stream was read on %d times", reads)
	}
}

// The same against a stream, with jobs that are known among them.
func TestStraysAreRead(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	var seen runs
	l := startLane(t, s, 4, quickly(&seen), func(l *Lane) {
		l.options.JobLifetime = time.Hour
		l.board.strangersMost = 10
	})
	var subjects []string
	for i := range 50 {
		subjects = append(subjects, messages.Operation("accounts.guess").JobSubject("a", fmt.Sprintf("n%d", i)))
	}
	publishJobs(t, js, append(subjects, search("a", 10)...)...)
	await(t, "the known ones have run", func() bool { return len(seen.seen()) == 10 && l.board.count() == 50 })
	l.board.mu.Lock()
	if len(l.board.strangers) != 10 || l.board.strays.n != 40 {
		t.Errorf("%d in memory, %+v", len(l.board.strangers), l.board.strays)
	}
	for key, w := range l.board.strangers { // their time has come
		w.expires = 0
		l.board.strangers[key] = w
	}
	l.board.mu.Unlock()
	await(t, "they are ended, and others have their places", func() bool {
		l.board.mu.Lock()
		defer l.board.mu.Unlock()
		return len(l.board.strangers) == 10 && l.board.strays.n == 30
	})
	await(t, "all are counted", func() bool { return l.board.count() == 40 && len(seen.seen()) == 20 })
}

// Messages in the stream that are no jobs are counted, so that the stream is not read again and
// again for them.
func TestMessagesThatAreNoJobs(t *testing.T) {
	s := streamstest.Server(t, nil)
	nc, js := streamstest.Connect(t, s)
	var seen runs
	l := startLane(t, s, 4, quickly(&seen),
		func(l *Lane) { l.recountEvery, l.pullWait = time.Millisecond, 20*time.Millisecond })
	await(t, "the stream is there", func() bool { return l.Trouble() == "" })
	aliens := []string{"crm.accounts.search.job.acme." + strings.Repeat("x", 300), "crm.accounts.search.job.é.id"}
	publishJobs(t, js, aliens...)
	// The acknowledgement of a job, where somebody had it sent.
	msg := &nats.Msg{Subject: search("acme", 1)[0], Reply: "crm.users.whoami.job.ü.id", Data: []byte("{}")}
	if err := nc.PublishMsg(msg); err != nil {
		t.Fatal(err)
	}
	await(t, "they are known", func() bool { return l.board.count() == len(aliens)+1 && len(seen.seen()) == 1 })
	l.board.mu.Lock()
	gen := l.board.gen
	l.board.mu.Unlock()
	time.Sleep(time.Second) // many comparisons
	l.board.mu.Lock()
	defer l.board.mu.Unlock()
	if l.board.gen != gen {
		t.Error("the stream was read again")
	}
	if n := messagesIn(t, js, messages.JobsStream); n != len(aliens)+1 {
		t.Errorf("%d messages are there", n)
	}
}
