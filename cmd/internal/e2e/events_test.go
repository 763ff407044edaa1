package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// stored returns the events in the stream, in their order.
func stored(t *testing.T, w *bridgetest.World) (all []messages.ConnectionEvent) {
	t.Helper()
	_, nc := w.Client()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), messages.EventsStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	state := stream.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var event messages.ConnectionEvent
		if err := json.Unmarshal(msg.Data, &event); err != nil {
			t.Fatal(err)
		}
		if msg.Subject != messages.EventSubject(event.Kind, event.Connection) ||
			msg.Header.Get("Nats-Msg-Id") != event.EventID {
			t.Errorf("event %s on %s with id %s", event.EventID, msg.Subject, msg.Header.Get("Nats-Msg-Id"))
		}
		all = append(all, event)
	}
	return all
}

func story(events []messages.ConnectionEvent) string {
	var told []string
	for _, e := range events {
		told = append(told, e.Connection+" "+e.Kind)
	}
	return strings.Join(told, ", ")
}

func awaitStory(t *testing.T, w *bridgetest.World, want string) []messages.ConnectionEvent {
	t.Helper()
	var events []messages.ConnectionEvent
	bridgetest.Await(t, "events", func() error {
		if events = stored(t, w); story(events) != want {
			return fmt.Errorf("%q, want %q", story(events), want)
		}
		return nil
	})
	return events
}

// Four processes on one NATS and one Redis: each change is stored once.
func TestEveryChangeIsOneStoredEvent(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	for i := range 4 {
		w.Bridge(w.Settings(i == 0), nil)
	}
	client, nc := w.Client()
	var heard []*messages.ConnectionEvent
	watch, err := client.WatchConnection("acme")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	w.Connect("acme")
	w.Connect("acme")
	w.Connect("other")
	w.Emulator.Control().RevokeRefreshTokens("")
	w.Emulator.Control().ExpireAccessTokens()
	for range 20 { // many processes find out at once
		_, err := client.WhoAmI(t.Context(), "acme")
		wantCode(t, err, messages.ReauthorizationRequired)
	}
	w.Connect("acme")
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	w.Connect("acme")
	const mine = "acme connected, acme connected, acme reauthorization_required, acme connected, acme deleted, acme connected"
	want := strings.Replace(mine, "acme reauth", "other connected, acme reauth", 1)
	events := awaitStory(t, w, want)
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && len(heard) < 6; {
		ctx, cancel := context.WithDeadline(t.Context(), end)
		event, err := watch.Next(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if len(heard) == 0 || heard[len(heard)-1].EventID != event.EventID { // a subscriber may see one twice
			heard = append(heard, event)
		}
	}
	if len(heard) != 6 {
		t.Errorf("a subscriber heard %d events", len(heard))
	}
	for i, e := range events {
		if e.At.IsZero() || e.EnvironmentURL != w.EmulatorURL || e.Incarnation == "" || e.Version < 2 {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if e := events[3]; e.Status != messages.StatusReauthorizationRequired ||
		!strings.Contains(e.LastError, "AADSTS50173") {
		t.Errorf("%+v", e)
	}
	if events[0].Incarnation != events[5].Incarnation || events[6].Incarnation == events[0].Incarnation {
		t.Error("incarnations")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), messages.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if config.MaxAge != 7*24*time.Hour || config.Storage != jetstream.FileStorage || config.Duplicates < time.Hour ||
		config.Duplicates > config.MaxAge ||
		len(config.Subjects) != 1 || config.Subjects[0] != "crm.events.>" {
		t.Errorf("%+v", config)
	}
}

// A change that was written and not published by a process that died is
// published by the next one, once; a stream that an operator made stays theirs.
func TestEventsOfADeadProcessArePublishedByTheNext(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it kills a process in its work")
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	_, nc := w.Client()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	process := bridgetest.Serve(t, w.Settings(true))
	w.Connect("acme")
	awaitStory(t, w, "acme connected")
	// Without the stream nothing is acknowledged: the process cannot get rid of its
	// next change before it is killed.
	if err := js.DeleteStream(t.Context(), messages.EventsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BLOCK", Subjects: []string{"crm.events.connections.>"}}); err != nil {
		t.Fatal(err)
	}
	client, _ := w.Client()
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	w.Connect("other")
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	if err := js.DeleteStream(t.Context(), "BLOCK"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: messages.EventsStream, Subjects: []string{"crm.events.other.>"},
		MaxAge: time.Hour, Duplicates: time.Minute, Storage: jetstream.MemoryStorage, Description: "ours"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		bridgetest.Serve(t, w.Settings(false))
	}
	awaitStory(t, w, "acme deleted, other connected")
	stream, err := js.Stream(t.Context(), messages.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	if config := stream.CachedInfo().Config; config.MaxAge != 7*24*time.Hour ||
		config.Storage != jetstream.MemoryStorage || config.Description != "ours" {
		t.Errorf("%+v", config)
	}
}

// Without JetStream everything works but the events; when it is there, what
// happened meanwhile is published, in order.
func TestWithoutJetStreamEverythingElseWorks(t *testing.T) {
	bridgetest.Long(t, "it waits until JetStream is given up")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	var brokers []*server.Server
	t.Cleanup(func() { // after the bridge, which ends faster beside a NATS that is there
		for _, s := range brokers {
			s.Shutdown()
			s.WaitForShutdown()
		}
	})
	broker := func(port int, jetStream bool) *server.Server {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: jetStream,
			StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		brokers = append(brokers, s)
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("no NATS")
		}
		return s
	}
	plain := broker(server.RANDOM_PORT, false)
	w.NATSURL = w.Overheard(plain.ClientURL())
	var log bridgetest.Buffer
	w.Bridge(w.Settings(true), &log)
	w.Connect("acme")
	client, _ := w.Client()
	if _, err := client.Accounts().Search(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "acme"}}); err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "a log line", func() error {
		if n := strings.Count(log.String(), "events are not published"); n != 1 {
			return fmt.Errorf("%d lines: %s", n, log.String())
		}
		return nil
	})
	// More wait than are kept: the oldest are lost, and the operator is told, once.
	w.Connect("busy")
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	list := "crmbridge:{busy}:changes"
	for range 98 {
		rdb.RPush(t.Context(), list, rdb.LIndex(t.Context(), list, 0).Val())
	}
	for range 3 {
		if err := client.Delete(t.Context(), "busy"); err != nil {
			t.Fatal(err)
		}
		w.Connect("busy")
	}
	if n := strings.Count(log.String(), "events of a connection are lost"); n != 1 ||
		!strings.Contains(log.String(), "connection=busy") {
		t.Errorf("%d lines about lost events, want 1:\n%s", n, log.String())
	}
	rdb.Del(t.Context(), list)
	port := plain.Addr().(*net.TCPAddr).Port
	plain.Shutdown()
	plain.WaitForShutdown()
	broker(port, true)
	awaitStory(t, w, "acme connected, acme deleted")
}
