package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connected starts a NATS server, with JetStream or without, and connects to it.
func connected(t *testing.T, withJetStream bool) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	s := streamstest.Server(t, func(o *server.Options) { o.JetStream = withJetStream })
	return streamstest.Connect(t, s)
}

// config is the configuration of a stream.
func config(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// The stream of events is made where it is missing. What an operator has set stays, but
// for subjects that miss events and times that are too short.
func TestTheStreamOfEvents(t *testing.T) {
	prefix := strings.TrimSuffix(messages.EventSubjects, ">")
	for name, c := range map[string]struct {
		before *jetstream.StreamConfig
		want   func(jetstream.StreamConfig) bool
	}{
		"missing": {nil, func(c jetstream.StreamConfig) bool {
			return c.Storage == jetstream.FileStorage && c.MaxAge == eventsKept && c.Duplicates == eventsDuplicate &&
				c.AllowDirect
		}},
		"another storage, and longer times": {&jetstream.StreamConfig{Storage: jetstream.MemoryStorage, MaxAge: 2 * eventsKept, Duplicates: 2 * eventsDuplicate,
			Subjects: []string{messages.EventSubjects, "other.>"}}, func(c jetstream.StreamConfig) bool {
			return c.Storage == jetstream.MemoryStorage && c.MaxAge == 2*eventsKept && c.Duplicates == 2*eventsDuplicate &&
				slices.Contains(c.Subjects, "other.>")
		}},
		"kept for ever": {&jetstream.StreamConfig{Subjects: []string{messages.EventSubjects}, Duplicates: eventsDuplicate}, func(c jetstream.StreamConfig) bool { return c.MaxAge == 0 }},
		"short times, some events": {&jetstream.StreamConfig{MaxAge: time.Hour, Duplicates: time.Minute, Subjects: []string{prefix + "connected.>", "other.>"}},
			func(c jetstream.StreamConfig) bool {
				return c.MaxAge == eventsKept && c.Duplicates == eventsDuplicate && slices.Contains(c.Subjects, "other.>") &&
					!slices.Contains(c.Subjects, prefix+"connected.>")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			_, js := connected(t, true)
			if c.before != nil {
				c.before.Name = messages.EventsStream
				if _, err := js.CreateStream(t.Context(), *c.before); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second time there is nothing to do
				if err := Events(t.Context(), js); err != nil {
					t.Fatal(err)
				}
				if got := config(t, js, messages.EventsStream); !slices.Contains(got.Subjects, messages.EventSubjects) ||
					!c.want(got) {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

func TestWhyThereIsNoStream(t *testing.T) {
	_, js := connected(t, false)
	if err := Events(t.Context(), js); err == nil || !strings.Contains(Why(err), "has none") {
		t.Errorf("%v: %q", err, Why(err))
	}
	for err, want := range map[error]string{context.DeadlineExceeded: "does not answer", nats.ErrTimeout: "does not answer", errors.New("some"): "some"} {
		if got := Why(fmt.Errorf("ask: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%q", got)
		}
	}
}

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.text.String() }

// A stream that captures requests is refused by its name; without JetStream there is none.
func TestStreamsThatCaptureRequests(t *testing.T) {
	nc, _ := connected(t, false)
	w := NewWatch(nc, slog.New(slog.DiscardHandler))
	if err := w.Start(t.Context()); err != nil || w.Captured() != nil {
		t.Errorf("%v", err)
	}
	w.Stop()
	nc, js := connected(t, true)
	if err := Events(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	w = NewWatch(nc, slog.New(slog.DiscardHandler))
	if err := w.Start(t.Context()); err != nil {
		t.Errorf("crmbridge's own stream: %v", err)
	}
	w.Stop()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "GREEDY", Subjects: []string{"crm.accounts.search.request"}}); err != nil {
		t.Fatal(err)
	}
	w = NewWatch(nc, slog.New(slog.DiscardHandler))
	if err := w.Start(t.Context()); !errors.Is(err, ErrCaptured) || !strings.Contains(err.Error(), "GREEDY") {
		t.Errorf("%v", err)
	}
	w.Stop()
}

// A JetStream that does not answer is asked again until Stop, and that is logged.
func TestAWatchEnds(t *testing.T) {
	nc, _ := connected(t, false)
	if _, err := nc.Subscribe("$JS.API.STREAM.NAMES", func(msg *nats.Msg) { _ = msg.Respond([]byte(`{"error":{"code":503,"err_code":10008}}`)) }); err != nil {
		t.Fatal(err)
	}
	log := &logged{}
	w := NewWatch(nc, slog.New(slog.NewTextHandler(log, nil)))
	if err := w.Start(t.Context()); err != nil || w.Captured() != nil {
		t.Errorf("%v", err)
	}
	w.Stop()
	if n := strings.Count(log.String(), "could not be checked"); n != 1 {
		t.Errorf("%s", log)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := NewWatch(nc, slog.New(slog.DiscardHandler)).Start(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
