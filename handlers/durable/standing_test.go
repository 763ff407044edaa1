package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// edit changes a stream that is there.
func edit(t testing.TB, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	change(&config)
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// awaitStreams waits for what a lane says of the streams: all of the parts, or nothing.
func awaitStreams(t testing.TB, l *Lane, parts ...string) {
	t.Helper()
	awaitWell(t, "what is said of the streams", func() error {
		said := l.Streams(t.Context())
		if len(parts) == 0 && said != "" {
			return errors.New(said)
		}
		for _, part := range parts {
			if !strings.Contains(said, part) {
				return fmt.Errorf("%q is not in %q", part, said)
			}
		}
		return nil
	})
}

// awaitWell is await for what says why it does not hold yet.
func awaitWell(t testing.TB, what string, holds func() error) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func nothingRuns(*Lane, context.Context, claimed, turnFunc) outcome { return outcome{} }

// What somebody does to a stream while the lane runs is said by stream, with what mends it; and
// once it is mended nothing is.
func TestStreamsThatAreEditedWhileTheLaneRuns(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	l := startLane(t, s, 0, nothingRuns, func(l *Lane) { l.standing.fresh = 10 * time.Millisecond })
	awaitStreams(t, l.Lane)
	if !l.StreamsStand() {
		t.Error("they do not stand")
	}
	for _, c := range []struct {
		stream      string
		spoil, mend func(*jetstream.StreamConfig)
		says        []string
	}{
		{messages.ResultsStream, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
			func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
			[]string{"stream CRM_RESULTS has discard DiscardOld and needs DiscardNew", "nats stream edit STREAM"}},
		{messages.StateStream, func(c *jetstream.StreamConfig) { c.Subjects = []string{"crm.state.acme.*"} },
			func(c *jetstream.StreamConfig) { c.Subjects = []string{messages.StateSubjects} },
			[]string{"stream CRM_STATE lacks the subject crm.state.*.*", "nats stream edit STREAM"}},
		{messages.DeadStream, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 7 },
			func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
			[]string{"stream CRM_DEAD has max_msgs_per_subject 7 and needs 1"}},
		{messages.ResultsStream, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
			func(c *jetstream.StreamConfig) { c.MaxAge = 48 * time.Hour },
			[]string{"JOB_LIFETIME is too long", "the max_age of stream CRM_RESULTS (1h)"}},
	} {
		edit(t, js, c.stream, c.spoil)
		awaitStreams(t, l.Lane, c.says...)
		if l.StreamsStand() {
			t.Errorf("%s: they stand", c.says[0])
		}
		edit(t, js, c.stream, c.mend)
		awaitStreams(t, l.Lane)
	}
	if l.Trouble() != "" {
		t.Errorf("jobs are heard of all the same: %s", l.Trouble())
	}
}

// Streams that take nothing more are named.
func TestFullStreamsAreNamed(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	l := startLane(t, s, 0, nothingRuns, func(l *Lane) { l.standing.fresh = 10 * time.Millisecond })
	for _, c := range []struct {
		stream, subject string
		bound           func(*jetstream.StreamConfig)
		bytes           int
		says            []string
	}{
		{messages.JobsStream, messages.UsersWhoAmI.JobSubject("acme", "j"),
			func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, 1<<20 - 1<<12,
			[]string{"stream CRM_JOBS is full (", "of max_bytes 1048576", "new jobs are refused",
				"nats stream edit CRM_JOBS --max-bytes"}},
		{messages.ResultsStream, messages.ResultSubject("acme", "j"),
			func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, 10,
			[]string{"stream CRM_RESULTS is full (1 of max_msgs 1)", "jobs.delete", "nats stream edit CRM_RESULTS --max-msgs"}},
	} {
		edit(t, js, c.stream, c.bound)
		if _, err := js.Publish(t.Context(), c.subject, make([]byte, c.bytes)); err != nil {
			t.Fatal(err)
		}
		awaitStreams(t, l.Lane, c.says...)
		stream, err := js.Stream(t.Context(), c.stream)
		if err == nil {
			err = stream.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitStreams(t, l.Lane)
	}
}

// A stream that is deleted while the lane runs is made anew with all that it needs, whichever
// it is; what it held is said to be gone. Subjects that are taken away are added.
func TestStreamsThatAreDeletedWhileTheLaneRunsAreMadeAnew(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	l := startLane(t, s, 0, nothingRuns, func(l *Lane) { l.standing.fresh = 10 * time.Millisecond })
	awaitStreams(t, l.Lane)
	for _, name := range []string{messages.ResultsStream, messages.StateStream, messages.DeadStream, messages.JobsStream} {
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		awaitStreams(t, l.Lane, "stream "+name+" was deleted and made anew")
		if _, err := js.Stream(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	edit(t, js, messages.JobsStream, func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] })
	awaitWell(t, "the subjects", func() error {
		l.Streams(t.Context())
		stream, err := js.Stream(t.Context(), messages.JobsStream)
		if err != nil {
			return err
		}
		got, want := stream.CachedInfo().Config.Subjects, messages.JobSubjects(nil)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	awaitWell(t, "the lane to stand", func() error {
		if l.Streams(t.Context()); !l.StreamsStand() || l.Trouble() != "" {
			return fmt.Errorf("%s; %s", l.Streams(t.Context()), l.Trouble())
		}
		return nil
	})
}

// A stream that cannot be made anew is missing until somebody has made room for it.
func TestAStreamThatCannotBeMadeAnew(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	l := startLane(t, s, 0, nothingRuns, func(l *Lane) { l.standing.fresh = 10 * time.Millisecond })
	awaitStreams(t, l.Lane)
	if err := js.DeleteStream(t.Context(), messages.ResultsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OURS", Subjects: []string{"crm.results.acme.>"}}); err != nil {
		t.Fatal(err)
	}
	awaitStreams(t, l.Lane, "stream CRM_RESULTS is missing", "these have some of its subjects: OURS")
	if l.StreamsStand() {
		t.Error("they stand")
	}
	awaitWell(t, "the lane to end", func() error {
		if !strings.Contains(l.Trouble(), "CRM_RESULTS cannot be made") {
			return errors.New(l.Trouble())
		}
		return nil
	})
}

// A write that was refused for want of room is reported until one is taken again: the server's
// own storage says nothing otherwise.
func TestARefusedWriteIsReported(t *testing.T) {
	var r refusals
	r.wrote(messages.StateStream, errConflict)
	if said := r.words(); said != "" {
		t.Errorf("a lost race is no want of room: %s", said)
	}
	r.wrote(messages.StateStream, &jetstream.APIError{Code: 503, ErrorCode: codeNoResources,
		Description: "insufficient resources"})
	for range 2 {
		if said := r.words(); !strings.Contains(said, "stream CRM_STATE takes nothing more (insufficient resources, 10023)") ||
			!strings.Contains(said, "jetstream.max_file_store") {
			t.Error(said)
		}
		r.wrote(messages.ResultsStream, nil)
	}
	if r.wrote(messages.StateStream, nil); r.words() != "" {
		t.Error(r.words())
	}
	none := (*refusals)(nil)
	none.wrote(messages.StateStream, nil)
}
