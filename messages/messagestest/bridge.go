package messagestest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Options are how a Bridge differs from a deployment of all tables on a NATS server with its
// default bounds. The zero value differs in nothing.
type Options struct {
	// Tables are those that are served; a table that is not among them has no responder.
	Tables []messages.Table
	// MaxPayload is the server's max_payload in bytes, 1 MiB by default. Pages that do not fit
	// come in fewer rows.
	MaxPayload int
	// ReplySubjects are the patterns of reply subjects that requests may have, _INBOX.> and _R_.>
	// by default. A request with another one is not executed.
	ReplySubjects []string
	// JobMaxBytes is what one job's results may take, 1 GiB by default, as where crmbridge makes its
	// streams. Beyond it the job ends with too_large.
	JobMaxBytes int64
	// Server may change the NATS server's options before it starts.
	Server func(*server.Options)
}

// A Bridge answers requests as crmbridge does, runs jobs and publishes events. Its methods are
// safe for concurrent use. A method that is given what cannot be ends the test, so that it is
// called by the test's goroutine.
type Bridge struct {
	t               testing.TB
	options         Options
	server          *server.Server
	nc              *nats.Conn
	js              jetstream.JetStream
	key             [32]byte // of cursors
	slots, jobSlots chan struct{}
	replies         *schemas

	turn sync.Mutex // held by Start and Stop

	mu          sync.Mutex
	connections map[string]*Connection
	faults      []*Fault
	jobs        map[jobKey]*job
	twice       bool
	serving     *serving // nil while stopped
}

// serving is what runs between Start and Stop.
type serving struct {
	ctx       context.Context
	cancel    context.CancelFunc
	work      sync.WaitGroup
	subs      []*nats.Subscription
	consuming jetstream.ConsumeContext
}

// mostAtOnce is how many requests are in hand at a time, and how many jobs; others wait.
const mostAtOnce = 64

// jobMaxBytes is a quarter of what CRM_RESULTS holds, which is the least of crmbridge's bounds.
const jobMaxBytes = 1 << 30

// New starts a bridge that ends with the test.
func New(t testing.TB) *Bridge {
	t.Helper()
	return NewWith(t, Options{})
}

// NewWith is New with other options.
func NewWith(t testing.TB, options Options) *Bridge {
	t.Helper()
	if options.Tables == nil {
		options.Tables = messages.Tables()
	}
	if options.ReplySubjects == nil {
		options.ReplySubjects = []string{"_INBOX.>", "_R_.>"}
	}
	if options.JobMaxBytes <= 0 {
		options.JobMaxBytes = jobMaxBytes
	}
	b := &Bridge{t: t, options: options, slots: make(chan struct{}, mostAtOnce), jobSlots: make(chan struct{}, mostAtOnce),
		connections: map[string]*Connection{}, jobs: map[jobKey]*job{}}
	if _, err := rand.Read(b.key[:]); err != nil {
		t.Fatal(err)
	}
	with := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true, MaxPayload: int32(options.MaxPayload)}
	if options.Server != nil {
		options.Server(with)
	}
	b.server = startServer(t, with)
	b.nc = Connect(t, b.URL())
	var err error
	if b.js, err = jetstream.New(b.nc); err != nil {
		t.Fatal(err)
	}
	for _, config := range b.streams() {
		if _, err := b.js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	if b.replies, err = newSchemas(options.Tables); err != nil {
		t.Fatal(err)
	}
	b.Start()
	t.Cleanup(b.Stop) // before the connection ends, so that no goroutine uses the test any more
	return b
}

func (b *Bridge) streams() []jetstream.StreamConfig {
	all := streams()
	all[0].Subjects = messages.JobSubjects(b.options.Tables)
	all = append(all, jetstream.StreamConfig{Name: messages.EventsStream, Subjects: []string{messages.EventSubjects},
		MaxAge: 7 * 24 * time.Hour, Duplicates: 2 * time.Minute})
	for i := range all {
		all[i].Storage = jetstream.MemoryStorage
	}
	return all
}

// URL is where the NATS server listens.
func (b *Bridge) URL() string { return b.server.ClientURL() }

// Conn is a connection of its own to the NATS server, until the test ends.
func (b *Bridge) Conn(options ...nats.Option) *nats.Conn {
	b.t.Helper()
	return Connect(b.t, b.URL(), options...)
}

// Client is a client with a connection of its own.
func (b *Bridge) Client() *messages.Client {
	b.t.Helper()
	return messages.NewClient(b.Conn())
}

// Start goes on after Stop: requests are answered, and jobs go on from the last page that they
// have stored. It does nothing on a bridge that runs, as after New.
func (b *Bridge) Start() {
	b.t.Helper()
	b.turn.Lock()
	defer b.turn.Unlock()
	if b.running() != nil {
		return
	}
	s := &serving{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	b.mu.Lock()
	b.serving = s
	b.mu.Unlock()
	for _, op := range messages.Operations(b.options.Tables) {
		for _, subject := range []string{op.Subject(), op.ScopedSubject("*")} {
			sub, err := b.nc.QueueSubscribe(subject, messages.QueueGroup, func(msg *nats.Msg) { b.accept(s, op, msg) })
			if err != nil {
				b.t.Fatal(err)
			}
			s.subs = append(s.subs, sub)
		}
	}
	if err := b.consume(s); err != nil {
		b.t.Fatal(err)
	}
	if err := b.nc.Flush(); err != nil {
		b.t.Fatal(err)
	}
}

// Stop ends a crmbridge as if it had been stopped: NATS answers requests with no responders, jobs
// stand still and can be published. Requests that wait are answered with unavailable.
func (b *Bridge) Stop() {
	b.t.Helper()
	b.turn.Lock()
	defer b.turn.Unlock()
	s := b.running()
	if s == nil {
		return
	}
	for _, sub := range s.subs {
		if err := sub.Unsubscribe(); err != nil {
			b.t.Error(err)
		}
	}
	if err := b.nc.Flush(); err != nil { // the server hands nobody anything more
		b.t.Error(err)
	}
	s.consuming.Stop()
	<-s.consuming.Closed()
	b.mu.Lock()
	b.serving = nil // nothing is begun from here on
	b.mu.Unlock()
	s.cancel()
	s.work.Wait()
}

func (b *Bridge) running() *serving {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.serving
}

// begin has work done in a goroutine of its own, unless s has been stopped.
func (b *Bridge) begin(s *serving, work func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.serving != s {
		return false
	}
	s.work.Go(work)
	return true
}

// DeliverTwice has plain subscribers see events, records and results of jobs twice from now on, as
// they may when a process is killed at the wrong moment. The streams keep each once.
func (b *Bridge) DeliverTwice() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.twice = true
}

// store publishes a message to its stream. Where messages are delivered twice, the repetition is
// one that the stream refuses.
func (b *Bridge) store(msg *nats.Msg, options ...jetstream.PublishOpt) (uint64, error) {
	b.mu.Lock()
	twice := b.twice
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, copied(msg), options...)
	if err != nil {
		return 0, err
	}
	if twice {
		_, _ = b.js.PublishMsg(ctx, copied(msg), options...) // refused, or known, as it should be
	}
	return ack.Sequence, nil
}

// copied is a message that JetStream's client may add headers to.
func copied(msg *nats.Msg) *nats.Msg {
	out := nats.NewMsg(msg.Subject)
	out.Data = msg.Data
	for name, values := range msg.Header {
		out.Header[name] = slices.Clone(values)
	}
	return out
}

// Connection is one that [Bridge.Connect] or connections.authorize has made.
func (b *Bridge) Connection(id string) *Connection {
	b.t.Helper()
	c, err := b.connection(id)
	if err != nil {
		b.t.Fatalf("messagestest: %v", err)
	}
	return c
}

// connection finds a connection of the test's.
func (b *Bridge) connection(id string) (*Connection, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.connections[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("there is no connection %q in this bridge", id)
}
