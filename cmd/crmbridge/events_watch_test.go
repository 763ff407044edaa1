package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// A happening is a NATS server with the stream of events, into which a test publishes as crmbridge does.
type happening struct {
	t   *testing.T
	url string
	js  jetstream.JetStream
	n   int
}

func newHappening(t *testing.T) *happening {
	t.Helper()
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	h := &happening{t: t, url: s.ClientURL(), js: js}
	h.makeStream()
	return h
}

func (h *happening) makeStream() {
	h.t.Helper()
	if err := streams.Events(h.t.Context(), h.js); err != nil {
		h.t.Fatal(err)
	}
}

// happens publishes an event; its id counts from 1.
func (h *happening) happens(connection, kind string) {
	h.t.Helper()
	h.n++
	event := messages.ConnectionEvent{EventID: fmt.Sprintf("%s.%d", connection, h.n), Kind: kind, Connection: connection,
		At: time.Date(2026, 11, 30, 0, 46, 44, 70_000_000, time.UTC), Version: int64(h.n)}
	switch kind {
	case messages.EventReauthorizationRequired:
		event.LastError = "the password was changed\x1b[2J"
	default:
		event.EnvironmentURL = "https://contoso.crm4.dynamics.com"
	}
	text, err := json.Marshal(event)
	if err == nil {
		_, err = h.js.Publish(h.t.Context(), messages.EventSubject(kind, connection), text,
			jetstream.WithMsgID(event.EventID))
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *happening) args(more ...string) []string {
	return append([]string{"events", "watch", "--nats-url=" + h.url}, more...)
}

// watch runs the command in this process to its end.
func (h *happening) watch(more ...string) (status int, out, diag string) {
	h.t.Helper()
	var stdout, stderr bridgetest.Buffer
	status = run(h.args(more...), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// watching is the command as a process of its own.
type watching struct {
	*exec.Cmd
	t         *testing.T
	out, diag bridgetest.Buffer
}

func (h *happening) starts(stdout io.Writer, more ...string) *watching {
	h.t.Helper()
	w := &watching{t: h.t}
	w.Cmd = bridgetest.Program(h.t, nil, h.args(more...)...)
	if stdout == nil {
		stdout = &w.out
	}
	w.Stdout, w.Stderr = stdout, &w.diag
	if err := w.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = w.Process.Kill(); _ = w.Wait() })
	return w
}

// shows waits until these events have been shown, and no others.
func (w *watching) shows(ids ...string) {
	w.t.Helper()
	bridgetest.Await(w.t, "events "+strings.Join(ids, " "), func() error {
		if have := idsIn(w.out.String()); !slices.Equal(have, ids) {
			return fmt.Errorf("%s; stderr: %s", strings.Join(have, " "), &w.diag)
		}
		return nil
	})
}

// says waits for words on stderr.
func (w *watching) says(text string) {
	w.t.Helper()
	bridgetest.Await(w.t, text, func() error {
		if !strings.Contains(w.diag.String(), text) {
			return errors.New(w.diag.String())
		}
		return nil
	})
}

// ends waits for the end, with this status.
func (w *watching) ends(status int) {
	w.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- w.Wait() }()
	select {
	case err := <-ended:
		if have := w.ProcessState.ExitCode(); have != status {
			w.t.Errorf("status %d (%v), want %d; stderr: %s", have, err, status, &w.diag)
		}
	case <-time.After(time.Minute):
		w.t.Fatalf("it does not end; stderr: %s", &w.diag)
	}
}

// listens waits until the command has a consumer.
func (h *happening) listens(consumers int) {
	h.t.Helper()
	bridgetest.Await(h.t, "a consumer", func() error {
		stream, err := h.js.Stream(h.t.Context(), messages.EventsStream)
		if err != nil {
			return err
		}
		if n := stream.CachedInfo().State.Consumers; n != consumers {
			return fmt.Errorf("%d consumers", n)
		}
		return nil
	})
}

// isSeen waits until a place is at the end of the stream, or has passed over what is before it.
func (h *happening) isSeen(file string) {
	h.t.Helper()
	stream, err := h.js.Stream(h.t.Context(), messages.EventsStream)
	if err != nil {
		h.t.Fatal(err)
	}
	last := stream.CachedInfo().State.LastSeq
	bridgetest.Await(h.t, fmt.Sprint("a place at ", last), func() error {
		text, err := os.ReadFile(file)
		var state eventState
		if err == nil {
			err = json.Unmarshal(text, &state)
		}
		if err == nil && state.seen() < last {
			err = errors.New(string(text))
		}
		return err
	})
}

func idsIn(text string) (ids []string) {
	for line := range strings.Lines(text) {
		var event messages.ConnectionEvent
		if json.Unmarshal([]byte(line), &event) != nil {
			return []string{"no JSON: " + line}
		}
		ids = append(ids, event.EventID)
	}
	return ids
}

func TestEventsWatch(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it runs the command some twenty times")
	h := newHappening(t)
	h.happens("acme", messages.EventConnected)
	h.happens("globex", messages.EventReauthorizationRequired)
	h.happens("acme", messages.EventReauthorizationRequired)
	h.happens("globex", messages.EventDeleted)
	const short = "--timeout=300ms" // where nothing comes; what comes is waited for
	for _, c := range []struct {
		args   string
		status int
		ids    string
	}{
		{"--all --max=2", 0, "acme.1 globex.2"},
		{"--since=1h --max=4", 0, "acme.1 globex.2 acme.3 globex.4"},
		{"--since=7d --max=1 --kind=deleted", 0, "globex.4"},
		{"--all --connection=acme --max=2", 0, "acme.1 acme.3"},
		{"--all --connection=acme,globex --kind=connected,deleted --max=2", 0, "acme.1 globex.4"},
		{"--all --connection=globex --kind=reauthorization_required --max=1", 0, "globex.2"},
		{"--all --connection=nobody " + short, 0, ""},
		{short, 0, ""},
		{"--all --kind=deleted --connection=acme --max=5 " + short, program.ExitError, ""},
		{"--since=1ms --max=1 " + short, program.ExitError, ""},
	} {
		status, out, diag := h.watch(append(strings.Fields(c.args), "--json")...)
		if status != c.status || strings.Join(idsIn(out), " ") != c.ids {
			t.Errorf("%s: status %d: %s%s", c.args, status, out, diag)
		}
		if c.status != 0 && !strings.HasPrefix(diag, "deadline_exceeded: ") {
			t.Errorf("%s: %s", c.args, diag)
		}
	}
	// The wire's text, harmless on a terminal.
	_, out, _ := h.watch("--all", "--max=3", "--json")
	if lines := strings.Split(out, "\n"); !strings.Contains(lines[1], `changed\u001b[2J"}`) ||
		strings.Contains(out, "\x1b") ||
		!strings.HasPrefix(lines[0], `{"event_id":"acme.1","kind":"connected","connection":"acme",`) {
		t.Errorf("%s", out)
	}
	_, out, _ = h.watch("--all", "--max=2", "--utc")
	const want = " time                 connection        event                     about\n" +
		" 2026-11-30T00:46:44Z  acme              connected                 https://contoso.crm4.dynamics.com\n" +
		" 2026-11-30T00:46:44Z  globex            reauthorization_required  the password was changed [2J\n"
	if out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
	if _, out, _ = h.watch("--all", "--max=1"); !strings.Contains(out, time.Date(2026, 11, 30, 0, 46, 44, 0, time.UTC).Local().Format(time.DateTime)) {
		t.Errorf("no local time: %s", out)
	}
	h.listens(0) // each was removed
}

func TestEventsWatchUsage(t *testing.T) {
	bridgetest.Unraced(t, "a command line is read, and nothing is begun")
	folder := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const made = `"stream_created":"2026-11-30T00:46:44Z","sequence":3`
	for args, says := range map[string]string{
		"--kind=gone":                             `there is no event "gone"; there are connected,`,
		"--connection=a.b":                        "is not a connection id",
		"--since=yesterday":                       "such as 90m, 1h or 7d",
		"--since=-1h":                             "such as 90m, 1h or 7d",
		"--since=1h --all":                        "can't be used together",
		"--max=0":                                 "whole number from 1 on",
		"--timeout=-1s":                           "--timeout",
		"--state=" + folder + "/no/place":         "there is no folder",
		"--state=" + write("text", "hello"):       "holds no place",
		"--state=" + write("empty", ""):           "holds no place",
		"--state=" + write("newer", `{"form":2}`): "newer version",
		"--state=" + write("huge", strings.Repeat(" ", mostEventState)+"{}"):     "is larger than",
		"--state=" + write("place", `{"form":1,`+made+`}`) + " --kind=deleted":   "another --connection or --kind",
		"--state=" + write("kinds", `{"form":1,`+made+`,"filter":{"kinds":[]}}`): "connect to NATS",
	} {
		var out, diag bridgetest.Buffer
		status := run(append([]string{"events", "watch", "--nats-url=nats://127.0.0.1:1"}, strings.Fields(args)...),
			&out, &diag)
		want := program.ExitUsage
		if says == "connect to NATS" {
			want = program.ExitError
		}
		if status != want || !strings.Contains(diag.String(), says) {
			t.Errorf("%s: status %d, no %q in %s", args, status, says, &diag)
		}
	}
}

// What does not work is said at once, with the right that is missing.
func TestEventsWatchWithoutAStreamOrRights(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it starts three servers")
	plain := streamstest.Server(t, func(o *server.Options) { o.JetStream = false })
	h := newHappening(t)
	if err := h.js.DeleteStream(t.Context(), messages.EventsStream); err != nil {
		t.Fatal(err)
	}
	for url, says := range map[string]string{
		plain.ClientURL(): "not_supported: events are kept by JetStream: ",
		h.url:             "not_supported: there is no stream CRM_EVENTS, which crmbridge serve makes",
	} {
		var out, diag bridgetest.Buffer
		if status := run([]string{"events", "watch", "--nats-url=" + url}, &out, &diag); status != program.ExitError ||
			!strings.HasPrefix(diag.String(), says) {
			t.Errorf("status %d, want %q: %s", status, says, &diag)
		}
	}
	all := []string{"$JS.API.STREAM.INFO.CRM_EVENTS", "$JS.API.CONSUMER.CREATE.CRM_EVENTS.>",
		"$JS.API.CONSUMER.MSG.NEXT.CRM_EVENTS.*", "$JS.API.CONSUMER.DELETE.CRM_EVENTS.*"}
	users := []*server.User{{Username: "all", Password: "x"}}
	for i := range all {
		allowed := slices.Delete(slices.Clone(all), i, i+1)
		users = append(users, &server.User{Username: fmt.Sprint("lacks", i), Password: "x", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: allowed},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.mine.>"}}}})
	}
	s := streamstest.Server(t, func(o *server.Options) { o.Users = users })
	h.url = strings.Replace(s.ClientURL(), "nats://", "nats://all:x@", 1)
	nc, err := nats.Connect(h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if h.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	h.makeStream()
	h.happens("acme", messages.EventConnected)
	for i, right := range all {
		h.url = strings.Replace(s.ClientURL(), "nats://", fmt.Sprintf("nats://lacks%d:x@", i), 1)
		status, out, diag := h.watch("--all", "--max=1", "--json", "--nats-inbox-prefix=_INBOX.mine")
		if strings.Contains(right, ".DELETE.") { // the server removes the consumer
			if status != 0 || len(idsIn(out)) != 1 {
				t.Errorf("without %s: status %d: %s", right, status, diag)
			}
			continue
		}
		right = strings.TrimRight(right, ".>*")
		if status != program.ExitError || !strings.HasPrefix(diag, "unavailable: ") || !strings.Contains(diag, `"`+right) ||
			!strings.Contains(diag, `"watcher"`) {
			t.Errorf("without %s: status %d: %s", right, status, diag)
		}
	}
	if status, _, diag := h.watch("--all"); status != program.ExitError || !strings.Contains(diag, "NATS_INBOX_PREFIX") {
		t.Errorf("inbox: status %d: %s", status, diag)
	}
}

// A watch that is killed goes on from its place: nothing is missed, and what comes again is the end
// of what has been shown.
func TestEventsWatchGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it kills a process again and again")
	h := newHappening(t)
	place := filepath.Join(t.TempDir(), "place")
	w := h.starts(nil, "--json", "--state="+place)
	h.listens(1)
	h.happens("acme", messages.EventConnected)
	w.shows("acme.1")
	h.happens("acme", messages.EventDeleted)
	w.shows("acme.1", "acme.2")
	var shown []string
	kill := func(w *watching) {
		t.Helper()
		_ = w.Process.Kill()
		_ = w.Wait()
		shown = append(shown, idsIn(w.out.String())...)
	}
	kill(w)
	h.happens("acme", messages.EventConnected)
	for range 5 {
		w := h.starts(nil, "--json", "--all", "--state="+place) // which counts without a place only
		for i := range 40 {
			h.happens(fmt.Sprint("c", i%3), messages.EventConnected)
		}
		bridgetest.Await(t, "some events", func() error {
			if strings.Count(w.out.String(), "\n") < 10 {
				return errors.New(w.diag.String())
			}
			return nil
		})
		kill(w)
	}
	h.happens("acme", messages.EventDeleted) // which no one can have shown yet
	w = h.starts(nil, "--json", "--state="+place)
	bridgetest.Await(t, "the last event", func() error {
		if !strings.Contains(w.out.String(), fmt.Sprintf(`.%d"`, h.n)) {
			return errors.New(w.diag.String())
		}
		return nil
	})
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.ends(0)
	shown = append(shown, idsIn(w.out.String())...)
	seen, repeats := 0, 0
	for _, id := range shown {
		var n int
		if _, err := fmt.Sscan(id[strings.IndexByte(id, '.')+1:], &n); err != nil || n > seen+1 {
			t.Fatalf("%s comes after %d: an event was missed", id, seen)
		}
		if n <= seen {
			repeats++
		}
		seen = n
	}
	if seen != h.n || repeats > 5*41 {
		t.Errorf("%d events of %d were shown, %d again", seen, h.n, repeats)
	}
	if status, out, _ := h.watch("--json", "--state="+place, "--timeout=300ms"); status != 0 || out != "" {
		t.Errorf("status %d, shown again: %s", status, out)
	}
	info, err := os.Stat(place)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// The place stands before the first event, and a second watch is kept off it.
func TestEventsWatchPlaceFromTheBeginning(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it kills processes")
	h := newHappening(t)
	h.happens("acme", messages.EventConnected)
	for _, from := range [][]string{nil, {"--since=1ms"}} {
		place := filepath.Join(t.TempDir(), "place")
		w := h.starts(nil, append(from, "--json", "--state="+place)...)
		h.listens(1)
		if status, _, diag := h.watch("--state=" + place); status != program.ExitUsage ||
			!strings.Contains(diag, "another watch") {
			t.Errorf("status %d: %s", status, diag)
		}
		_ = w.Process.Kill()
		_ = w.Wait()
		h.happens("acme", messages.EventDeleted)
		status, out, diag := h.watch("--json", "--state="+place, "--max=1", "--timeout=1m")
		if want := fmt.Sprint("acme.", h.n); status != 0 || strings.Join(idsIn(out), " ") != want {
			t.Errorf("%v: status %d: %s%s, want %s", from, status, out, diag, want)
		}
		stream, err := h.js.Stream(t.Context(), messages.EventsStream)
		if err != nil {
			t.Fatal(err)
		}
		for name := range stream.ConsumerNames(t.Context()).Name() { // that of the killed one
			if err := stream.DeleteConsumer(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A stream that lost what was not shown, or is another one, is told of; what is there comes.
func TestEventsWatchSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it runs the command some ten times")
	h := newHappening(t)
	place := filepath.Join(t.TempDir(), "place")
	resume := func(says string, ids ...string) {
		t.Helper()
		end := []string{"--timeout=300ms"}
		if len(ids) > 0 {
			end = []string{"--timeout=1m", fmt.Sprint("--max=", len(ids))}
		}
		status, out, diag := h.watch(append(end, "--json", "--state="+place, "--all")...)
		if status != 0 || !slices.Equal(idsIn(out), ids) || !strings.Contains(diag, says) || says == "" && diag != "" {
			t.Errorf("status %d: %s, want %v; %q, want %q", status, out, ids, diag, says)
		}
	}
	h.happens("acme", messages.EventConnected)
	h.happens("acme", messages.EventDeleted)
	resume("", "acme.1", "acme.2")
	for range 3 {
		h.happens("acme", messages.EventConnected)
	}
	stream, err := h.js.Stream(t.Context(), messages.EventsStream)
	if err == nil {
		err = stream.Purge(t.Context(), jetstream.WithPurgeSequence(5)) // as age does
	}
	if err != nil {
		t.Fatal(err)
	}
	resume("2 messages of CRM_EVENTS, 3 to 4, are not kept any more", "acme.5")
	// Only the message at the place has aged: nothing is missing.
	h.happens("acme", messages.EventDeleted)
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(6)); err != nil {
		t.Fatal(err)
	}
	resume("", "acme.6")
	if status, _, diag := h.watch("--since=1h", "--max=1"); status != 0 ||
		!strings.Contains(diag, "is not kept any more") {
		t.Errorf("status %d: %s", status, diag)
	}
	// Another stream, which has got beyond the place.
	if err := h.js.DeleteStream(t.Context(), messages.EventsStream); err != nil {
		t.Fatal(err)
	}
	h.makeStream()
	want := make([]string, 8)
	for i := range want {
		h.happens("acme", messages.EventConnected)
		want[i] = fmt.Sprint("acme.", h.n)
	}
	resume("was made anew", want...)
	resume("")
	// The same stream with another message at the place: it was put back to an earlier state.
	text, err := os.ReadFile(place)
	if err == nil {
		err = os.WriteFile(place, []byte(strings.Replace(string(text), want[7], "acme.other", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	resume("put back to an earlier state", want...)
	text, err = os.ReadFile(place)
	if err == nil {
		err = os.WriteFile(place, []byte(strings.Replace(string(text), `"sequence": 8`, `"sequence": 80`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	resume("put back to an earlier state", want...)
}

// What was lost is told of where it may have been watched, and not where it is known to be others'.
func TestEventsWatchOfOneConnectionMissesNothingOfOthers(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it lets many pulls run out")
	h := newHappening(t)
	file := filepath.Join(t.TempDir(), "place")
	nc, err := nats.Connect(h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// resume goes on from the place until these have been shown, and where there are none until all that
	// there is has been dealt with.
	resume := func(says string, ids ...string) {
		t.Helper()
		place, err := openPlace(file, eventFilter{Connections: []string{"acme"}})
		if err != nil {
			t.Fatal(err)
		}
		defer place.close()
		var said bridgetest.Buffer
		var shown []string
		w := h.watcher(place, &said, func(_ context.Context, event messages.ConnectionEvent, _ []byte) error {
			shown = append(shown, event.EventID)
			return nil
		})
		w.open, w.most = time.Second, len(ids)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- w.run(ctx, nc) }()
		if len(ids) == 0 {
			h.listens(1)
			h.isSeen(file)
			cancel()
		}
		select {
		case err = <-ended:
		case <-time.After(time.Minute):
			cancel()
			err = errors.Join(errors.New("it does not end"), <-ended)
		}
		if err != nil && !errors.Is(err, context.Canceled) || len(ids) > 0 && err != nil || !slices.Equal(shown, ids) ||
			!strings.Contains(said.String(), says) || says == "" && said.String() != "" {
			t.Errorf("%v: %s, want %v; %q, want %q", err, shown, ids, &said, says)
		}
	}
	aged := func(below uint64) {
		t.Helper()
		stream, err := h.js.Stream(t.Context(), messages.EventsStream)
		if err == nil {
			err = stream.Purge(t.Context(), jetstream.WithPurgeSequence(below))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	others := func(n int) {
		for range n {
			h.happens("globex", messages.EventConnected)
		}
	}
	others(2)
	aged(2)
	resume("") // from the oldest one on
	others(1)
	resume("")
	aged(4)
	resume("") // all are gone
	h.happens("acme", messages.EventConnected)
	resume("", "acme.4")
	others(5)
	resume("")
	aged(10)
	resume("")
	others(2)
	h.happens("acme", messages.EventDeleted) // 12
	aged(12)                                 // of which nobody saw whose they were
	resume("2 messages of CRM_EVENTS, 10 to 11, are not kept", "acme.12")
	h.happens("acme", messages.EventConnected)
	h.happens("acme", messages.EventDeleted)
	others(1)
	aged(15)
	resume("2 messages of CRM_EVENTS, 13 to 14, are not kept")
	resume("") // said once
	// More waits than was asked for: what was not shown is missing.
	for range 3 {
		h.happens("acme", messages.EventConnected)
	}
	resume("", "acme.16")
	aged(18)
	resume("message 17 of CRM_EVENTS is not kept", "acme.18")

	h.happens("acme", messages.EventDeleted)
	resume("", "acme.19")
	others(3)
	resume("")
	aged(23)
	h.happens("acme", messages.EventConnected)
	resume("", "acme.23")
	// A place as the release before kept it says what it knows.
	text, err := os.ReadFile(file)
	if err == nil && !strings.Contains(string(text), `"sequence": 23`) {
		err = errors.New(string(text))
	}
	if err == nil {
		old := strings.Replace(string(text), `  "passed": `, `  "unknown": `, 1)
		err = os.WriteFile(file, []byte(old), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	others(2)
	aged(25)
	resume("message 24 of CRM_EVENTS is not kept")
}

// A watch that idles passes over what is others' without ending.
func TestEventsWatchPassesOverOthers(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it lets a pull run out")
	h := newHappening(t)
	h.happens("acme", messages.EventConnected)
	place := filepath.Join(t.TempDir(), "place")
	nc, err := nats.Connect(h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	at, err := openPlace(place, eventFilter{Connections: []string{"acme"}})
	if err != nil {
		t.Fatal(err)
	}
	defer at.close()
	w := &eventWatcher{place: at, open: 5 * time.Second, all: true, again: make(chan struct{}, 1),
		say:  func(format string, args ...any) { t.Errorf(format, args...) },
		show: func(context.Context, messages.ConnectionEvent, []byte) error { return nil }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx, nc) }()
	h.listens(1)
	h.happens("globex", messages.EventConnected)
	bridgetest.Await(t, "the place", func() error {
		text, err := os.ReadFile(place)
		if err == nil && (!strings.Contains(string(text), `"passed": 2`) || !strings.Contains(string(text), `"sequence": 1`)) {
			err = errors.New(string(text))
		}
		return err
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// NATS goes away with a kill and comes back, and the stream is taken away meanwhile: the watch goes on.
func TestEventsWatchOutlivesNATS(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it starts NATS again")
	port, folder := bridgetest.Port(t), t.TempDir()
	h := &happening{t: t, url: fmt.Sprintf("nats://127.0.0.1:%d", port)}
	start := func() *server.Server {
		s := streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: folder,
			NoLog: true, NoSigs: true})
		_, h.js = streamstest.Connect(t, s)
		return s
	}
	s := start()
	h.makeStream()
	w := h.starts(nil, "--json")
	h.listens(1)
	h.happens("acme", messages.EventConnected)
	w.shows("acme.1")
	s.Shutdown()
	s.WaitForShutdown()
	w.says("NATS is away")
	start()
	h.happens("acme", messages.EventDeleted)
	w.shows("acme.1", "acme.2")
	w.says("NATS is back")
	// A consumer that somebody removes is made again.
	stream, err := h.js.Stream(t.Context(), messages.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	h.happens("acme", messages.EventConnected)
	w.shows("acme.1", "acme.2", "acme.3")
	if err := h.js.DeleteStream(t.Context(), messages.EventsStream); err != nil {
		t.Fatal(err)
	}
	w.says("there is no stream CRM_EVENTS")
	h.makeStream()
	h.happens("acme", messages.EventDeleted)
	w.shows("acme.1", "acme.2", "acme.3", "acme.4")
	w.says("was made anew")
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.ends(0)
	h.listens(0)
}

// The command ends when its reader does, also where nothing more happens; with what is waiting, a
// signal ends it; and a slow reader gets everything.
func TestEventsWatchAndItsReader(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it runs processes with slow readers")
	h := newHappening(t)
	h.happens("acme", messages.EventConnected)
	h.happens("acme", messages.EventDeleted)
	t.Run("gone", func(t *testing.T) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		place := filepath.Join(t.TempDir(), "place")
		w := h.starts(write, "--all", "--json", "--state="+place)
		_ = write.Close()
		if line, err := bufio.NewReader(io.LimitReader(read, 20)).ReadString('"'); err != nil || line != `{"` {
			t.Error(line, err)
		}
		bridgetest.Await(t, "the place", func() error {
			if text, err := os.ReadFile(place); err != nil || !strings.Contains(string(text), "acme.2") {
				return fmt.Errorf("%s %w", text, err)
			}
			return nil
		})
		_ = read.Close()
		w.ends(0)
	})
	t.Run("interrupted", func(t *testing.T) {
		w := h.starts(nil, "--all", "--json")
		w.shows("acme.1", "acme.2")
		if err := w.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		w.ends(0)
		if w.diag.String() != "" {
			t.Error(w.diag.String())
		}
	})
	t.Run("slow", func(t *testing.T) {
		const many = 1500 // more than a pipe and a pull hold
		for range many - h.n {
			h.happens("acme", messages.EventConnected)
		}
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		w := h.starts(write, "--all", "--json", "--max="+fmt.Sprint(many))
		_ = write.Close()
		// It stands still until the pipe is full: the consumer is gone by then.
		h.listens(1)
		bridgetest.Await(t, "a full pipe", func() error {
			stream, err := h.js.Stream(t.Context(), messages.EventsStream)
			if err != nil {
				return err
			}
			for info := range stream.ListConsumers(t.Context()).Info() {
				if info.NumPending < many-200 {
					return stream.DeleteConsumer(t.Context(), info.Name)
				}
			}
			return errors.New("it has not read yet")
		})
		text, err := io.ReadAll(read)
		if err != nil {
			t.Fatal(err)
		}
		ids := idsIn(string(text))
		for i, id := range ids {
			if id != fmt.Sprint("acme.", i+1) {
				t.Fatalf("%s is number %d", id, i+1)
			}
		}
		if len(ids) != many {
			t.Errorf("%d events", len(ids))
		}
		w.ends(0)
	})
	t.Run("stuck", func(t *testing.T) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		w := h.starts(write, "--all", "--json")
		_ = write.Close()
		h.listens(1)
		if err := w.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		w.ends(0)
	})
}

// An event that is none is passed over.
func TestEventsWatchPassesOverWhatIsNoEvent(t *testing.T) {
	h := newHappening(t)
	for _, text := range []string{"", "[]", "{", `{"kind":"connected"}`, `{"kind":"connected","connection":"other"}`,
		`{"kind":"deleted","connection":"acme"}`, `{"kind":"connected","connection":"` + strings.Repeat("x", 100_000) + `"}`} {
		if _, err := h.js.Publish(context.Background(), "crm.events.connections.connected.acme", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	h.happens("acme", messages.EventDeleted)
	status, out, diag := h.watch("--all", "--max=1", "--json")
	if status != 0 || len(idsIn(out)) != 1 || strings.Count(diag, "is no event") != 7 {
		t.Errorf("status %d: %s%s", status, out, diag)
	}
}

// While nothing happens one pull follows the other, by the same consumer.
func TestEventsWatchIdles(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it lets pulls run out")
	h := newHappening(t)
	nc, err := nats.Connect(h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	place, err := openPlace("", eventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	w := &eventWatcher{place: place, open: 5 * time.Second, most: 1, again: make(chan struct{}, 1),
		say: func(format string, args ...any) { t.Errorf(format, args...) },
		show: func(_ context.Context, event messages.ConnectionEvent, _ []byte) error {
			shown <- event.EventID
			return nil
		}}
	ended := make(chan error, 1)
	go func() { ended <- w.run(t.Context(), nc) }()
	h.listens(1)
	consumer := func() *jetstream.ConsumerInfo {
		t.Helper()
		stream, err := h.js.Stream(t.Context(), messages.EventsStream)
		if err != nil {
			t.Fatal(err)
		}
		for info := range stream.ListConsumers(t.Context()).Info() {
			return info
		}
		t.Fatal("there is no consumer")
		return nil
	}
	first := consumer()
	time.Sleep(2*w.open + time.Second) // two pulls have run out
	if now := consumer(); now.Name != first.Name || now.NumWaiting != 1 {
		t.Errorf("%+v, and before %+v", now, first)
	}
	h.happens("acme", messages.EventConnected)
	if id := <-shown; id != "acme.1" {
		t.Error(id)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
