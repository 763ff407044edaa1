package messagestest

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// A Lane is a NATS server with the streams of crmbridge's jobs, for tests of readers: what is in
// the streams the test puts there itself, and [Lane.Answer] answers jobs.* from that. Nothing
// runs a job here; see [Bridge].
type Lane struct {
	Server *server.Server
	NC     *nats.Conn // the streams' user
	JS     jetstream.JetStream

	t  testing.TB
	mu sync.Mutex
	// Refuse, where it is not nil, may answer a request in place of the lane.
	refuse func(op messages.Operation, msg *nats.Msg) *messages.Error
}

// NewLane starts a lane that ends with the test; change, where it is not nil, changes the
// server's options before.
func NewLane(t testing.TB, change func(*server.Options)) *Lane {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true}
	if change != nil {
		change(options)
	}
	return newLane(t, startServer(t, options), 1)
}

// startServer starts a NATS server that ends with the test.
func startServer(t testing.TB, options *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("NATS did not start")
	}
	return s
}

func newLane(t testing.TB, s *server.Server, replicas int) *Lane {
	t.Helper()
	l := &Lane{Server: s, t: t}
	l.NC = l.Connect()
	var err error
	if l.JS, err = jetstream.New(l.NC); err != nil {
		t.Fatal(err)
	}
	for _, config := range streams() {
		config.Replicas = replicas
		end := time.Now().Add(time.Minute)
		for { // a cluster takes a while before it makes streams
			if _, err = l.JS.CreateStream(t.Context(), config); err == nil {
				break
			}
			if replicas == 1 || time.Now().After(end) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return l
}

// NewCluster is a lane on three servers, with three replicas of each stream. The first server
// is Lane.Server.
func NewCluster(t testing.TB) (*Lane, []*server.Server) {
	t.Helper()
	var routes []*url.URL // each server must know the others before it starts
	for range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats", Host: listener.Addr().String()})
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var all []*server.Server
	for i, route := range routes {
		port, err := strconv.Atoi(route.Port())
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.NewServer(&server.Options{ServerName: "n" + strconv.Itoa(i), Host: "127.0.0.1",
			Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true, Routes: routes,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		all = append(all, s)
	}
	for _, s := range all {
		if !s.ReadyForConnections(30 * time.Second) {
			t.Fatal("NATS did not start")
		}
	}
	return newLane(t, all[0], len(all)), all
}

// Leader is the number of the server that leads a stream.
func (l *Lane) Leader(stream string) int {
	l.t.Helper()
	info, err := l.JS.Stream(context.Background(), stream)
	if err != nil {
		l.t.Fatal(err)
	}
	leader, err := strconv.Atoi(strings.TrimPrefix(info.CachedInfo().Cluster.Leader, "n"))
	if err != nil {
		l.t.Fatal(err)
	}
	return leader
}

func streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{Name: messages.JobsStream, Subjects: messages.JobSubjects(nil), MaxMsgsPerSubject: 1,
			Discard:              jetstream.DiscardNew,
			DiscardNewPerSubject: true, AllowDirect: true},
		{Name: messages.ResultsStream, Subjects: []string{messages.ResultSubjects}, Discard: jetstream.DiscardNew,
			AllowDirect: true},
		{Name: messages.StateStream, Subjects: []string{messages.StateSubjects}, MaxMsgsPerSubject: 1,
			AllowDirect: true},
		{Name: messages.DeadStream, Subjects: []string{messages.DeadSubjects}, MaxMsgsPerSubject: 1, AllowDirect: true},
	}
}

// Connect is a connection of its own, until the test ends.
func (l *Lane) Connect(options ...nats.Option) *nats.Conn {
	l.t.Helper()
	return Connect(l.t, l.Server.ClientURL(), options...)
}

// Connect is a connection to a server until the test ends. Closing one does not wait for the
// callbacks of its subscriptions: they are drained first, so that none of them uses the test, or
// what ends before the connection, when the test has ended. The options have no ClosedHandler.
func Connect(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	closed := make(chan struct{})
	nc, err := nats.Connect(url, append(slices.Clip(options), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if nc.Drain() != nil { // it is closed, or has no server any more
			nc.Close()
		}
		<-closed
	})
	return nc
}

func bodied(body any) *nats.Msg {
	msg := nats.NewMsg("")
	msg.Data, _ = json.Marshal(body) // bodies of the contract have a JSON form
	return msg
}

// Result stores one page of a job. Headers are names and values.
func (l *Lane) Result(connection, id string, page int, body string, headers ...string) {
	l.t.Helper()
	msg := nats.NewMsg(messages.ResultSubject(connection, id))
	msg.Data = []byte(body)
	msg.Header.Set(messages.HeaderPage, strconv.Itoa(page))
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	l.publish(msg)
}

// Record stores a job's record.
func (l *Lane) Record(record messages.JobRecord) {
	l.t.Helper()
	record.Form = messages.JobForm
	msg := bodied(record)
	msg.Subject = messages.StateSubject(record.Connection, record.ID)
	l.publish(msg)
}

func (l *Lane) publish(msg *nats.Msg) {
	l.t.Helper()
	if _, err := l.JS.PublishMsg(context.Background(), msg); err != nil {
		l.t.Error(err)
	}
}

// End removes the message of a job, as the lane does when the job has ended.
func (l *Lane) End(op messages.Operation, connection, id string) {
	l.t.Helper()
	l.purge(messages.JobsStream, op.JobSubject(connection, id))
}

// Purge removes a job's results.
func (l *Lane) Purge(connection, id string) {
	l.t.Helper()
	l.purge(messages.ResultsStream, messages.ResultSubject(connection, id))
}

// Forget removes one message of the stream of results.
func (l *Lane) Forget(sequence uint64) {
	l.t.Helper()
	stream, err := l.JS.Stream(context.Background(), messages.ResultsStream)
	if err == nil {
		err = stream.DeleteMsg(context.Background(), sequence)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *Lane) purge(name, subject string) {
	stream, err := l.JS.Stream(context.Background(), name)
	if err == nil {
		err = stream.Purge(context.Background(), jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		l.t.Error(err)
	}
}

// last is the last message of a subject, nil where there is none.
func (l *Lane) last(name, subject string) *jetstream.RawStreamMsg {
	stream, err := l.JS.Stream(context.Background(), name)
	if err != nil {
		return nil
	}
	msg, err := stream.GetLastMsgForSubject(context.Background(), subject)
	if err != nil {
		return nil
	}
	return msg
}
