package durable

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A rig is a NATS server with the streams, and connections of a made-up Dataverse.
type rig struct {
	testing.TB
	server      *server.Server
	nc          *nats.Conn
	js          jetstream.JetStream
	connections *connections
	sealer      *boxes
	log         *slog.Logger
}

// someOp and oneOp are operations that tests make up routes for.
const (
	someOp = messages.Operation("accounts.search")
	oneOp  = messages.Operation("accounts.count")
)

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigWith(t, nil)
}

func newRigWith(t testing.TB, change func(*server.Options)) *rig {
	t.Helper()
	return bareRig(t, change).withStreams(1)
}

// clusterRig has three servers, of which each stream is on all.
func clusterRig(t testing.TB) *rig {
	t.Helper()
	r := rigOn(t, streamstest.Cluster(t, 3)[0])
	return r.withStreams(3)
}

func (r *rig) withStreams(replicas int) *rig {
	r.Helper()
	for _, config := range []jetstream.StreamConfig{
		{Name: messages.JobsStream, Subjects: messages.JobSubjects(nil), MaxMsgsPerSubject: 1,
			Discard: jetstream.DiscardNew, DiscardNewPerSubject: true},
		{Name: messages.ResultsStream, Subjects: []string{messages.ResultSubjects}, Discard: jetstream.DiscardNew,
			MaxBytes: 1 << 30, AllowAtomicPublish: true},
		{Name: messages.StateStream, Subjects: []string{messages.StateSubjects}, MaxMsgsPerSubject: 1},
		{Name: messages.DeadStream, Subjects: []string{messages.DeadSubjects}, MaxMsgsPerSubject: 1},
	} {
		config.AllowDirect, config.Replicas = true, replicas
		for until := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			_, err := r.js.CreateStream(r.Context(), config)
			if err == nil {
				break
			}
			if time.Now().After(until) {
				r.Fatal(err)
			}
		}
	}
	return r
}

// bareRig has no streams: lanes make them.
func bareRig(t testing.TB, change func(*server.Options)) *rig {
	t.Helper()
	return rigOn(t, streamstest.Server(t, change))
}

func rigOn(t testing.TB, s *server.Server) *rig {
	t.Helper()
	nc, js := streamstest.Connect(t, s)
	r := &rig{TB: t, server: s, nc: nc, js: js, connections: &connections{}, sealer: newBoxes(t),
		log: slog.New(slog.DiscardHandler)}
	r.connections.set("acme", "inc-1")
	return r
}

// connections are incarnations by connection.
type connections struct {
	mu    sync.Mutex
	known map[string]string
	err   error
}

func (c *connections) set(connection, incarnation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[string]string{}
	}
	c.known[connection] = incarnation
}

func (c *connections) Incarnation(_ context.Context, connection string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return "", c.err
	case c.known[connection] == "":
		return "", &tokens.Error{Code: tokens.CodeConnectionNotFound, Message: "there is no such connection"}
	}
	return c.known[connection], nil
}

// stored is what the lane asks; "" is none.
func (c *connections) stored(ctx context.Context, connection string) (string, error) {
	incarnation, err := c.Incarnation(ctx, connection)
	if tokens.CodeOf(err) == tokens.CodeConnectionNotFound {
		return "", nil
	}
	return incarnation, err
}

// boxes seal with a key of the test's own.
type boxes struct{ aead cipher.AEAD }

func newBoxes(t testing.TB) *boxes {
	block, err := aes.NewCipher([]byte("a key of 16 byte"))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &boxes{aead}
}

func (b *boxes) Seal(plain, data []byte) ([]byte, error) {
	nonce := make([]byte, b.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return b.aead.Seal(nonce, nonce, plain, data), nil
}

func (b *boxes) Open(sealed, data []byte) ([]byte, error) {
	if len(sealed) < b.aead.NonceSize() {
		return nil, errors.New("too short")
	}
	return b.aead.Open(nil, sealed[:b.aead.NonceSize()], sealed[b.aead.NonceSize():], data)
}

// lane is a lane without dispatch: tests claim and run.
func (r *rig) lane(name string, js jetstream.JetStream, routes map[messages.Operation]route.Route,
	change func(*Options)) *Lane {
	options := Options{Connections: r.connections, Stored: r.connections.stored, Sealer: r.sealer, MaxInFlight: 256,
		ResultsMaxBytes: 4 << 30,
		JobMaxBytes:     4 << 30, JobLifetime: 24 * time.Hour, Lease: 15 * time.Second, Heartbeat: 5 * time.Second}
	if change != nil {
		change(&options)
	}
	l := &Lane{js: js, ledger: ledger{js: js}, options: options, routes: routes, name: name, log: r.log,
		metrics: &metrics{runMetrics: newRunMetrics(prometheus.NewRegistry())}}
	l.shares = newShares(l)
	l.board = newBoard(options.PerConnection, options.MaxInFlight, options.Lease, name)
	return l
}

func quick(o *Options) { o.Lease, o.Heartbeat = 1500*time.Millisecond, 400*time.Millisecond }

// publish publishes a job and returns it as it is stored.
func (r *rig) publish(op messages.Operation, id, body string, header ...string) *jetstream.RawStreamMsg {
	r.Helper()
	msg := nats.NewMsg(op.JobSubject("acme", id))
	msg.Data = []byte(body)
	for i := 0; i < len(header); i += 2 {
		msg.Header.Set(header[i], header[i+1])
	}
	ack, err := r.js.PublishMsg(r.Context(), msg)
	if err != nil {
		r.Fatal(err)
	}
	stored, err := messageAt(r.Context(), r.js, messages.JobsStream, ack.Sequence)
	if err != nil {
		r.Fatal(err)
	}
	return stored // nil where a lane was as quick
}

// claim makes a job a lane's, whoever had it.
func (r *rig) claim(l *Lane, id string) (claimed, bool) {
	r.Helper()
	record, at, err := l.ledger.read(r.Context(), "acme", id)
	if err != nil {
		r.Error(err)
		return claimed{}, false
	}
	msg, err := lastOf(r.Context(), r.js, messages.JobsStream, "crm.*.*.job.acme."+id)
	if err != nil {
		r.Error(err)
		return claimed{}, false
	}
	if msg == nil {
		return claimed{}, false
	}
	op, _, _, _ := messages.ParseJobSubject(msg.Subject)
	if at != 0 && record.Owner != "" {
		record.Takeovers++
	}
	record.ID, record.Connection, record.Operation = id, "acme", op
	record.Digest, record.QueuedAt = digestOf(msg.Subject, msg.Data), msg.Time
	since := time.Now()
	if !record.State.Ended() {
		record.State, record.Owner, record.RetryAt, record.Error = messages.JobRunning, l.name, nil, nil
		if at, err = l.ledger.write(r.Context(), record, at); errors.Is(err, errConflict) {
			return claimed{}, false
		} else if err != nil {
			r.Error(err)
			return claimed{}, false
		}
		record.Beat++
	}
	return claimed{record: record, revision: at, message: msg, since: since}, true
}

// execute claims a job and runs it once.
func (r *rig) execute(l *Lane, id string) outcome {
	r.Helper()
	c, ok := r.claim(l, id)
	if !ok {
		r.Errorf("job %s cannot be claimed", id)
		return outcome{}
	}
	return l.run(r.Context(), c, freely)
}

// freely gives every page its turn.
func freely(ctx context.Context) (context.Context, func(), error) {
	return ctx, func() {}, context.Cause(ctx)
}

// results are all stored messages of a job.
func (r *rig) results(id string) (all []*jetstream.RawStreamMsg) {
	r.Helper()
	for from := uint64(1); ; {
		msg := patiently(r, func() (*jetstream.RawStreamMsg, error) {
			return storedMessage(context.WithoutCancel(r.Context()), r.js, messages.ResultsStream,
				map[string]any{"seq": from, "next_by_subj": messages.ResultSubject("acme", id)})
		})
		if msg == nil {
			return all
		}
		all = append(all, msg)
		from = msg.Sequence + 1
	}
}

// record is a job's record; none is the zero value.
func (r *rig) record(id string) messages.JobRecord {
	r.Helper()
	return patiently(r, func() (messages.JobRecord, error) {
		record, _, err := ledger{js: r.js}.read(context.WithoutCancel(r.Context()), "acme", id)
		return record, err
	})
}

// patiently asks again where no answer comes in time: the machine is busy.
func patiently[T any](t testing.TB, ask func() (T, error)) T {
	t.Helper()
	for tries := 0; ; tries++ {
		got, err := ask()
		if err == nil {
			return got
		}
		if tries == 10 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// waits reports whether the job's message is still there.
func (r *rig) waits(id string) bool {
	r.Helper()
	return r.of(messages.JobsStream, "crm.*.*.job.acme."+id) != nil
}

func (r *rig) dead(id string) *jetstream.RawStreamMsg {
	return r.of(messages.DeadStream, messages.DeadSubject("acme", id))
}

func (r *rig) of(stream, subject string) *jetstream.RawStreamMsg {
	r.Helper()
	return patiently(r, func() (*jetstream.RawStreamMsg, error) {
		return lastOf(context.WithoutCancel(r.Context()), r.js, stream, subject)
	})
}

// whole checks that a job's results are all its rows once, numbered without a gap, with one
// end.
func (r *rig) whole(id string, rows int) {
	r.Helper()
	next, ends := 0, 0
	for i, msg := range r.results(id) {
		if got := msg.Header.Get(messages.HeaderPage); got != strconv.Itoa(i+1) {
			r.Fatalf("message %d has number %s", i+1, got)
		}
		if ends > 0 {
			r.Fatalf("message %d follows on the end", i+1)
		}
		if msg.Header.Get(nats.MsgIdHdr) != "" {
			r.Fatalf("message %d has an id", i+1)
		}
		for _, row := range rowsOf(r, msg) {
			if row != next {
				r.Fatalf("message %d has row %d, want %d", i+1, row, next)
			}
			next++
		}
		if got := msg.Header.Get(messages.HeaderRows); got != strconv.Itoa(next) {
			r.Fatalf("message %d counts %s rows, want %d", i+1, got, next)
		}
		if msg.Header.Get(messages.HeaderLast) == "true" {
			ends++
		}
	}
	if ends != 1 || rows >= 0 && next != rows {
		r.Fatalf("%d ends and %d rows, want 1 and %d", ends, next, rows)
	}
}

func rowsOf(t testing.TB, msg *jetstream.RawStreamMsg) []int {
	t.Helper()
	if msg.Header.Get(messages.HeaderErrorCode) != "" {
		return nil
	}
	var body struct {
		Rows []int `json:"rows"`
	}
	if err := json.Unmarshal(msg.Data, &body); err != nil {
		t.Fatalf("%s: %v", msg.Data, err)
	}
	return body.Rows
}

// A counter is an operation that answers with the numbers up to rows.
type counter struct {
	rows int
	// size is how many of them the next page has; nil is 10.
	size func() int
	// parts is in how many messages a page comes; 0 is 1.
	parts int
	// read is called when a page was read, with its first row, before it is handed over.
	read func(ctx context.Context, from int) error
	// pad makes every body longer.
	pad int
}

func (o counter) route() route.Route {
	return route.Route{Pages: true, Serve: func(ctx context.Context, c route.Call, body []byte) route.Answer {
		return route.Answer{Call: c, Parts: func(yield func(route.Part, error) bool) {
			if err := o.count(ctx, c, yield); err != nil {
				yield(route.Part{}, err)
			}
		}}
	}}
}

func (o counter) count(ctx context.Context, c route.Call, yield func(route.Part, error) bool) error {
	from := 0
	if c.Job.From != nil {
		var err error
		if from, err = strconv.Atoi(string(c.Job.From)); err != nil {
			return fmt.Errorf("the place is %q", c.Job.From)
		}
	}
	for {
		if more, err := o.page(ctx, c, &from, yield); err != nil || !more {
			return err
		}
	}
}

func (o counter) page(ctx context.Context, c route.Call, from *int, yield func(route.Part, error) bool) (bool, error) {
	ctx, done, err := c.Job.Turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if o.read != nil {
		if err := o.read(ctx, *from); err != nil {
			return false, err
		}
	}
	size := 10
	if o.size != nil {
		size = o.size()
	}
	size = min(size, o.rows-*from)
	pieces := max(min(o.parts, size), 1)
	for i := range pieces {
		n := size / pieces
		if i == pieces-1 {
			n = size - n*(pieces-1)
		}
		part := route.Part{Body: numbers(*from, n, o.pad), Rows: n}
		*from += n
		if i == pieces-1 {
			if part.Last = *from == o.rows; !part.Last {
				place := strconv.Itoa(*from)
				part.Place = func() ([]byte, error) { return []byte(place), nil }
			}
		}
		if !yield(part, nil) || part.Last {
			return false, nil
		}
	}
	return true, nil
}

func numbers(from, n, pad int) []byte {
	var b strings.Builder
	b.WriteString(`{"rows":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(from + i))
	}
	fmt.Fprintf(&b, `],"pad":%q}`, strings.Repeat("x", pad))
	return []byte(b.String())
}

func only(o route.Route) map[messages.Operation]route.Route {
	return map[messages.Operation]route.Route{someOp: o}
}
