package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// until waits until something holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A job that is published twice, with an id of the message or without, again after it ended,
// and again after NATS was restarted, runs once.
func TestAJobIsRunOnceHoweverOftenItIsPublished(t *testing.T) {
	folder := t.TempDir()
	first := streamstest.Server(t, func(o *server.Options) { o.StoreDir = folder })
	port := first.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	nc, err := nats.Connect(first.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(nc, Options{Connections: noConnections{}, Sealer: noSealer{}, MaxInFlight: 8})
	if err != nil {
		t.Fatal(err)
	}
	var ran atomic.Int64
	routes := only(counter{rows: 5, read: func(context.Context, int) error { ran.Add(1); return nil }}.route())
	if err := l.Start(t.Context(), routes, newSlots(8)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}()
	send := func(id, messageID string) {
		msg := nats.NewMsg(someOp.JobSubject("acme", id))
		msg.Data = []byte(`{}`)
		if messageID != "" {
			msg.Header.Set(nats.MsgIdHdr, messageID)
		}
		// Twice in the stream is refused, or said to be a duplicate; after a restart it may take a moment.
		until(t, "an answer to "+id, func() bool {
			_, err := js.PublishMsg(t.Context(), msg)
			fault, refused := errors.AsType[*jetstream.APIError](err)
			return err == nil || refused && fault.ErrorCode == codeStreamFull
		})
	}
	done := func(id string) {
		until(t, id+" is done and its message is gone", func() bool {
			job, err := l.Get(t.Context(), "acme", id)
			message, gone := lastOf(t.Context(), js, messages.JobsStream, someOp.JobSubject("acme", id))
			return err == nil && job.State == messages.JobDone && gone == nil && message == nil
		})
	}
	for range 2 {
		send("with", "one")
		send("without", "")
	}
	done("with")
	done("without")
	send("without", "")
	send("with", "another")
	done("with")
	done("without")
	first.Shutdown()
	first.WaitForShutdown()
	streamstest.Server(t, func(o *server.Options) { o.StoreDir, o.Port = folder, int(port) })
	send("without", "")
	send("with", "one")
	send("third", "")
	done("third")
	done("with")
	done("without")
	if n := ran.Load(); n != 3 {
		t.Errorf("three jobs ran %d times", n)
	}
}

// A connection is deleted while a worker stands still: what it stores afterwards is read by
// nobody, and nothing of it is left when the connection was made again.
func TestAWorkerThatStandsStillWhileItsConnectionIsDeleted(t *testing.T) {
	for _, at := range []int{1, 5} {
		t.Run(fmt.Sprintf("before page %d", at), func(t *testing.T) {
			r := newRig(t)
			d := &deletions{incarnations: map[string]string{}}
			p, err := StartPurger(t.Context(), r.nc, d, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Shutdown()
			stands, goOn := make(chan struct{}), make(chan struct{})
			o := counter{rows: 100, read: func(_ context.Context, from int) error {
				if from == 10*(at-1) {
					close(stands)
					<-goOn
				}
				return nil
			}}
			l := r.lane("one", r.js, only(o.route()), nil)
			r.publish(someOp, "j", `{}`)
			c, _ := r.claim(l, "j")
			ended := make(chan outcome, 1)
			go func() { ended <- l.run(context.Background(), c, freely) }()
			<-stands
			r.connections.set("acme", "")
			p.Deleted(t.Context(), "acme")
			if left := holds(t, r.js); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
			close(goOn)
			<-ended
			// Made again before anybody has cleaned up after the worker, and then with its id cleared.
			r.connections.set("acme", "inc-2")
			d.incarnations["acme"] = "inc-2"
			other := r.lane("two", r.js, nil, nil)
			for page := 1; page <= at+1; page++ {
				_, err := other.Page(t.Context(), "acme", "j", page)
				fails(t, err, messages.NotFound, "no job")
			}
			_, err = other.Get(t.Context(), "acme", "j")
			fails(t, err, messages.NotFound, "no job")
			_, err = other.Retry(t.Context(), "acme", "j", "")
			fails(t, err, messages.NotFound, "no dead letter")
			if list, err := other.List(t.Context(),
				messages.JobsListRequest{Target: messages.Target{Connection: "acme"}, PageSize: 10},
				1<<20); err != nil || len(list.Jobs) != 0 {
				t.Errorf("%+v, %v", list, err)
			}
			put(t, r.js, messages.DeadSubject("acme", "j"), "inc-1")
			if err := p.purgeForeign(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			for subject := range holds(t, r.js) {
				t.Errorf("%s is left", subject)
			}
			if err := p.Clear(t.Context(), "acme"); err != nil || strings.Contains(fmt.Sprint(holds(t, r.js)), "acme") {
				t.Errorf("%v, %v", err, holds(t, r.js))
			}
		})
	}
}
