package durable

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// deletions is a store of connections as a purger sees it.
type deletions struct {
	mu           sync.Mutex
	incarnations map[string]string
	asked        func() // when an incarnation is asked for
	err          error
	due          chan string // connections that are to be purged; nil is none
	purged       chan error  // what became of that
}

func (d *deletions) PurgeDeleted(ctx context.Context, purge func(context.Context, string) error) (int, error) {
	select {
	case connection := <-d.due:
		d.purged <- purge(ctx, connection)
		return 1, nil
	default:
		return 0, nil
	}
}

func (d *deletions) Incarnation(_ context.Context, connection string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked != nil {
		d.asked()
	}
	return d.incarnations[connection], d.err
}

// put stores a message with an incarnation; "" is none.
func put(t testing.TB, js jetstream.JetStream, subject, incarnation string) {
	t.Helper()
	msg := nats.NewMsg(subject)
	if incarnation != "" {
		msg.Header.Set(messages.HeaderIncarnation, incarnation)
	}
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

// holds are the subjects that the lane's streams hold, with how many messages.
func holds(t testing.TB, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	for _, of := range ofConnection("*") {
		stream, err := js.Stream(t.Context(), of.stream)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject, n := range info.State.Subjects {
			all[subject] = n
		}
	}
	return all
}

func purging(t testing.TB, d *deletions) (*Purger, jetstream.JetStream) {
	t.Helper()
	nc, js := streamstest.Connect(t, streamstest.Server(t, nil))
	if err := streams.Lane(t.Context(), js, streams.Bounds{ResultsMaxBytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	p, err := StartPurger(t.Context(), nc, d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Shutdown)
	return p, js
}

// everything stores something of a connection in every stream.
func everything(t testing.TB, js jetstream.JetStream, connection, incarnation string) {
	t.Helper()
	put(t, js, messages.Accounts.Operation(messages.VerbSearch).JobSubject(connection, "a"), "")
	put(t, js, messages.UsersWhoAmI.JobSubject(connection, "b"), "")
	put(t, js, messages.StateSubject(connection, "a"), incarnation)
	put(t, js, messages.ResultSubject(connection, "a"), incarnation)
	put(t, js, messages.ResultSubject(connection, "a"), incarnation)
	put(t, js, messages.DeadSubject(connection, "c"), incarnation)
}

// A deleted connection leaves nothing in any stream, and others keep what is theirs.
func TestADeletedConnectionLeavesNothing(t *testing.T) {
	p, js := purging(t, &deletions{})
	everything(t, js, "acme", "one")
	everything(t, js, "acme2", "one")
	before := holds(t, js)
	p.Deleted(t.Context(), "acme")
	after := holds(t, js)
	for subject, n := range before {
		if ours := strings.Contains(subject, ".acme."); ours != (after[subject] == 0) || !ours && after[subject] != n {
			t.Errorf("%s had %d messages and has %d", subject, n, after[subject])
		}
	}
}

// What was stored for the incarnation that there is now stays, whenever the connection was
// made again: before the purge, or while it is under way.
func TestAPurgeSparesTheNextIncarnation(t *testing.T) {
	for name, first := range map[string]func(d *deletions, js jetstream.JetStream){
		"made before": func(d *deletions, js jetstream.JetStream) {
			d.incarnations["acme"] = "two"
			put(t, js, messages.UsersWhoAmI.JobSubject("acme", "new"), "")
			put(t, js, messages.ResultSubject("acme", "new"), "two")
			put(t, js, messages.StateSubject("acme", "new"), "two")
		},
		"made right after nobody was there": func(d *deletions, js jetstream.JetStream) {
			d.asked = func() {
				put(t, js, messages.UsersWhoAmI.JobSubject("acme", "new"), "")
				put(t, js, messages.ResultSubject("acme", "new"), "two")
				put(t, js, messages.StateSubject("acme", "new"), "two")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &deletions{incarnations: map[string]string{}}
			p, js := purging(t, d)
			put(t, js, messages.ResultSubject("acme", "old"), "one")
			put(t, js, messages.StateSubject("acme", "old"), "one")
			put(t, js, messages.DeadSubject("acme", "old"), "one")
			first(d, js)
			if err := p.purgeForeign(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			left := holds(t, js)
			if len(left) != 3 {
				t.Errorf("%v are left", left)
			}
			for subject := range left {
				if !strings.HasSuffix(subject, ".new") {
					t.Errorf("%s is left", subject)
				}
			}
		})
	}
}

// Every process works off the list of deletions, so that none is forgotten by a crash.
func TestDeletionsOfOthersAreWorkedOff(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a look at the list, which is up to 10 s away")
	}
	t.Parallel()
	d := &deletions{due: make(chan string, 1), purged: make(chan error, 1)}
	d.due <- "acme"
	_, js := purging(t, d)
	everything(t, js, "acme", "one")
	if err := <-d.purged; err != nil {
		t.Fatal(err)
	}
	if left := holds(t, js); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// Before a connection is made everything goes, whatever incarnation it carries.
func TestClear(t *testing.T) {
	d := &deletions{incarnations: map[string]string{"acme": "two"}}
	p, js := purging(t, d)
	everything(t, js, "acme", "one")
	put(t, js, messages.ResultSubject("acme", "z"), "two")
	if err := p.Clear(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if left := holds(t, js); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// Nobody waits again and again for a JetStream that does not answer.
func TestASilentJetStreamIsWaitedForOnce(t *testing.T) {
	nc, _ := streamstest.Connect(t, streamstest.Server(t, func(o *server.Options) { o.JetStream = false }))
	asked := make(chan struct{}, 10)
	if _, err := nc.Subscribe("$JS.API.>", func(*nats.Msg) { asked <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	p, err := StartPurger(t.Context(), nc, &deletions{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Shutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Clear(ctx, "acme"); !errors.Is(err, errSilent) {
		t.Errorf("%v", err)
	}
	for range 3 {
		if err := p.Clear(t.Context(), "acme"); !errors.Is(err, errSilent) {
			t.Errorf("%v", err)
		}
		p.Deleted(t.Context(), "acme")
	}
	if n := len(asked); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// Without JetStream, and without streams, there is nothing to remove; an incarnation that is
// not known keeps everything.
func TestPurgesWithoutStreams(t *testing.T) {
	for name, change := range map[string]func(*server.Options){"no JetStream": func(o *server.Options) { o.JetStream = false }, "no streams": nil} {
		nc, _ := streamstest.Connect(t, streamstest.Server(t, change))
		p, err := StartPurger(t.Context(), nc, &deletions{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Clear(t.Context(), "acme"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// Such a deletion is kept where there is no JetStream: one may be away for a while.
		if err := p.purgeForeign(t.Context(), "acme"); (err == nil) != (change == nil) {
			t.Errorf("%s: %v", name, err)
		}
		p.Shutdown()
	}
	away := errors.New("Redis is away")
	p, js := purging(t, &deletions{err: away})
	everything(t, js, "acme", "one")
	before := len(holds(t, js))
	if err := p.purgeForeign(t.Context(), "acme"); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
	if after := len(holds(t, js)); after != before {
		t.Errorf("%d of %d subjects are left", after, before)
	}
}
