package streams

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

func TestTheStreamsOfTheLaneAreMade(t *testing.T) {
	_, js := streamstest.Connect(t, streamstest.Server(t, nil))
	for range 2 { // the second time there is nothing to do
		if err := Lane(t.Context(), js, Bounds{ResultsMaxBytes: 1 << 30}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		subjects []string
		age, ids time.Duration
		bytes    int64
		one      bool
		discard  jetstream.DiscardPolicy
	}{
		{messages.JobsStream, messages.JobSubjects(nil), 8 * 24 * time.Hour, 2 * time.Minute, 512 << 20, true, jetstream.DiscardNew},
		{messages.ResultsStream, []string{"crm.results.*.*"}, 48 * time.Hour, 100 * time.Millisecond, 1 << 30, false, jetstream.DiscardNew},
		{messages.StateStream, []string{"crm.state.*.*"}, 7 * 24 * time.Hour, 100 * time.Millisecond, 2 << 30, true, jetstream.DiscardOld},
		{messages.DeadStream, []string{"crm.dead.*.*"}, 30 * 24 * time.Hour, 100 * time.Millisecond, 1 << 30, true, jetstream.DiscardOld},
	} {
		got := config(t, js, c.name)
		if !slices.Equal(got.Subjects, c.subjects) || got.MaxAge != c.age || got.Duplicates != c.ids ||
			got.MaxBytes != c.bytes ||
			(perSubject(got) == 1) != c.one || got.Discard != c.discard ||
			got.DiscardNewPerSubject != (c.name == messages.JobsStream) ||
			!got.AllowDirect || got.AllowAtomicPublish != (c.name == messages.ResultsStream) ||
			got.Retention != jetstream.LimitsPolicy ||
			got.Replicas != 1 || got.Storage != jetstream.FileStorage {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	// The same job again is refused, and a job's results take the next message.
	job := messages.UsersWhoAmI.JobSubject("acme", "one")
	if _, err := js.Publish(t.Context(), job, nil); err != nil {
		t.Error(err)
	}
	if _, err := js.Publish(t.Context(), job, nil); err == nil || !strings.Contains(err.Error(), "10077") {
		t.Errorf("a second job under one id: %v", err)
	}
	for range 2 {
		if _, err := js.Publish(t.Context(), messages.ResultSubject("acme", "one"), nil); err != nil {
			t.Error(err)
		}
	}
	// Requests are not captured.
	w := NewWatch(js.Conn(), slog.New(slog.DiscardHandler))
	if err := w.Start(t.Context()); err != nil || w.Captured() != nil {
		t.Errorf("the lane's streams are taken for ones that capture requests: %v", err)
	}
	w.Stop()
}

// A server with room for the results and the dead letters has room for the lane: what only
// keeps one publisher from filling it is left out.
func TestTheStreamsOfASmallServerAreMade(t *testing.T) {
	for room, want := range map[int64][2]int64{6 << 30: {512 << 20, -1}, 5<<30 + 256<<20: {-1, -1}} {
		_, js := streamstest.Connect(t, streamstest.Server(t, func(o *server.Options) { o.JetStreamMaxStore = room }))
		for range 2 {
			if err := Lane(t.Context(), js, Bounds{}); err != nil {
				t.Fatalf("with %d bytes: %v", room, err)
			}
		}
		for i, name := range []string{messages.JobsStream, messages.StateStream} {
			if got := config(t, js, name).MaxBytes; got != want[i] {
				t.Errorf("with %d bytes %s has a bound of %d, want %d", room, name, got, want[i])
			}
		}
	}
}

// changed makes the streams and changes one before the lane looks at it.
func changed(t *testing.T, name string, change func(*jetstream.StreamConfig)) (jetstream.JetStream, error) {
	t.Helper()
	_, js := streamstest.Connect(t, streamstest.Server(t, nil))
	for _, stream := range wanted(Bounds{}) {
		if stream.Name == name {
			change(&stream)
		}
		if _, err := js.CreateStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	before := config(t, js, name)
	err := Lane(t.Context(), js, Bounds{})
	after := config(t, js, name)
	after.Subjects, before.Subjects = nil, nil
	if !reflect.DeepEqual(before, after) {
		t.Errorf("the stream was changed: from %+v to %+v", before, after)
	}
	return js, err
}

func TestStreamsThatDifferAreReported(t *testing.T) {
	for _, c := range []struct {
		stream string
		change func(*jetstream.StreamConfig)
		says   []string
	}{
		{messages.JobsStream, func(s *jetstream.StreamConfig) { s.Retention = jetstream.WorkQueuePolicy }, []string{"CRM_JOBS has retention", "needs Limits"}},
		{messages.JobsStream, func(s *jetstream.StreamConfig) { s.Discard, s.DiscardNewPerSubject = jetstream.DiscardOld, false },
			[]string{"CRM_JOBS has discard DiscardOld", "discard_new_per_subject false"}},
		{messages.JobsStream, func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 3 }, []string{"max_msgs_per_subject 3 and needs 1"}},
		{messages.ResultsStream, func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardOld }, []string{"CRM_RESULTS has discard DiscardOld"}},
		{messages.ResultsStream, func(s *jetstream.StreamConfig) { s.AllowAtomicPublish = false }, []string{"CRM_RESULTS has allow_atomic false and needs true"}},
		{messages.ResultsStream, func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 10 }, []string{"max_msgs_per_subject 10 and needs 0"}},
		{messages.StateStream, func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = -1 }, []string{"CRM_STATE has max_msgs_per_subject 0 and needs 1"}},
		{messages.StateStream, func(s *jetstream.StreamConfig) { s.Subjects = []string{"crm.state.acme.*"} }, []string{"CRM_STATE lacks the subject crm.state.*.*"}},
		{messages.DeadStream, func(s *jetstream.StreamConfig) { s.DenyPurge = true }, []string{"CRM_DEAD has deny_purge true"}},
		{messages.DeadStream, func(s *jetstream.StreamConfig) { s.AllowDirect = false }, []string{"CRM_DEAD has allow_direct false"}},
		{messages.DeadStream, func(s *jetstream.StreamConfig) {
			s.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "crm.dead.*.*",
				Destination: "dead.{{wildcard(1)}}.{{wildcard(2)}}"}
		}, []string{"CRM_DEAD has a subject_transform"}},
	} {
		_, err := changed(t, c.stream, c.change)
		if !errors.Is(err, ErrStreams) {
			t.Errorf("%s %v: %v", c.stream, c.says, err)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is missing in %v", c.stream, part, err)
			}
		}
	}
}

func TestWhatOperatorsMaySetOfTheStreamsStays(t *testing.T) {
	for name, change := range map[string]func(*jetstream.StreamConfig){
		messages.JobsStream: func(s *jetstream.StreamConfig) {
			s.MaxAge, s.MaxBytes, s.MaxMsgs, s.Duplicates, s.Storage = 20*24*time.Hour, 1<<20, 1000, time.Hour,
				jetstream.MemoryStorage
			s.Description, s.Metadata = "ours", map[string]string{"team": "campaigns"}
		},
		messages.ResultsStream: func(s *jetstream.StreamConfig) {
			s.MaxAge, s.MaxBytes, s.Compression, s.MaxConsumers = 0, -1, jetstream.S2Compression, 5000
		},
		messages.StateStream: func(s *jetstream.StreamConfig) { s.Subjects = []string{"crm.state.>"} },
	} {
		if _, err := changed(t, name, change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSubjectsOfTablesAreAdded(t *testing.T) {
	js, err := changed(t, messages.JobsStream, func(s *jetstream.StreamConfig) {
		s.Subjects = []string{"crm.accounts.*.job.*.*", "crm.orders.*.job.*.*"}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := config(t, js, messages.JobsStream).Subjects
	if lacking := missing(append(messages.JobSubjects(nil), "crm.orders.*.job.*.*"), got); len(lacking) > 0 ||
		len(got) != len(messages.JobSubjects(nil))+1 {
		t.Errorf("%v", got)
	}
	// A process that serves other tables takes nobody's away, and several may start at once.
	for _, name := range []string{"quotes", "invoices"} {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := Lane(t.Context(), js, Bounds{Tables: []messages.Table{{Name: name}}}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if lacking := missing(messages.JobSubjects([]messages.Table{{Name: "quotes"}, {Name: "invoices"}, {Name: "orders"}}),
		config(t, js, messages.JobsStream).Subjects); len(lacking) > 0 {
		t.Errorf("%v were taken away", lacking)
	}
}

func TestALifetimeThatTheStreamsDoNotKeepIsRefused(t *testing.T) {
	_, js := streamstest.Connect(t, streamstest.Server(t, nil))
	if err := Lane(t.Context(), js, Bounds{JobLifetime: 24 * time.Hour}); err != nil {
		t.Error(err)
	}
	err := Lane(t.Context(), js, Bounds{JobLifetime: 25 * time.Hour})
	if !errors.Is(err, ErrLifetime) || !strings.Contains(err.Error(), "25h and may be at most 24h") ||
		!strings.Contains(err.Error(), "CRM_RESULTS (48h)") {
		t.Errorf("%v", err)
	}
	results := config(t, js, messages.ResultsStream)
	results.MaxAge = 30 * 24 * time.Hour
	if _, err := js.UpdateStream(t.Context(), results); err != nil {
		t.Fatal(err)
	}
	if err := Lane(t.Context(), js, Bounds{JobLifetime: 7 * 24 * time.Hour}); err != nil {
		t.Error(err)
	}
	err = Lane(t.Context(), js, Bounds{JobLifetime: 7*24*time.Hour + time.Minute})
	if !errors.Is(err, ErrLifetime) || !strings.Contains(err.Error(), "CRM_JOBS (192h)") ||
		!strings.Contains(err.Error(), "168h1m ") {
		t.Errorf("%v", err)
	}
}

func TestWhyThereIsNoLane(t *testing.T) {
	for name, c := range map[string]struct {
		server func(*server.Options)
		before func(t *testing.T, js jetstream.JetStream)
		bounds Bounds
		says   []string
	}{
		"no JetStream": {server: func(o *server.Options) { o.JetStream = false }, says: []string{"needs JetStream", "has none"}},
		"an old server": {
			server: func(o *server.Options) { o.JetStream = false },
			before: func(t *testing.T, js jetstream.JetStream) {
				if _, err := js.Conn().Subscribe("$JS.API.INFO", func(msg *nats.Msg) {
					_ = msg.Respond([]byte(`{"type":"io.nats.jetstream.api.v1.account_info_response","api":{"level":1,"total":1}}`))
				}); err != nil {
					t.Fatal(err)
				}
			}, says: []string{"needs nats-server 2.12", "atomic batches", "is older"}},
		"no room": {server: func(o *server.Options) { o.JetStreamMaxStore = 1 << 30 },
			says: []string{"CRM_RESULTS asks for 4 GiB", "RESULTS_MAX_BYTES", "max_file_store", "10047"}},
		"replicas": {bounds: Bounds{Replicas: 3}, says: []string{"NATS_REPLICAS is 3", "not in a cluster"}},
		"a foreign stream": {before: func(t *testing.T, js jetstream.JetStream) {
			if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OURS", Subjects: []string{"crm.results.acme.>"}}); err != nil {
				t.Fatal(err)
			}
		}, says: []string{"CRM_RESULTS cannot be made", "OURS"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, js := streamstest.Connect(t, streamstest.Server(t, c.server))
			if c.before != nil {
				c.before(t, js)
			}
			err := Lane(t.Context(), js, c.bounds)
			if !errors.Is(err, ErrStreams) {
				t.Fatalf("%v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is missing in %q", part, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a sentence: %q", err)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"crm.state.*.*", "crm.state.*.*", true}, {"crm.state.>", "crm.state.*.*", true}, {"crm.>", "crm.state.*.*", true},
		{"crm.state.*.*", "crm.state.>", false}, {"crm.state.a.*", "crm.state.*.*", false}, {"crm.state.*", "crm.state.*.*", false},
		{"crm.state.*.*.*", "crm.state.*.*", false}, {"crm.state.*.*.>", "crm.state.*.*", false}, {"*.*.*.*", "crm.state.*.*", true},
	} {
		if got := covers(c.pattern, c.subject); got != c.want {
			t.Errorf("%s covers %s: %v", c.pattern, c.subject, got)
		}
	}
}
