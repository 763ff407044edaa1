package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// A stand is a world with a NATS server and the streams of results and records, and nothing
// else: what is stored in them is the test's.
func stand(t *testing.T) *world {
	w := &world{printer: &printer{to: io.Discard, begun: time.Now()}, ctx: t.Context()}
	w.nc, w.js = streamstest.Connect(t, streamstest.Server(t, nil))
	for name, subject := range map[string]string{messages.ResultsStream: messages.ResultSubjects,
		messages.StateStream: messages.StateSubjects, messages.JobsStream: "crm.accounts.*.job.*.*"} {
		if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject},
			AllowDirect: true, Storage: jetstream.MemoryStorage}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// A tinyPage is one message of results as a test makes it.
type tinyPage struct {
	ids           []int
	page, rows    int
	last          bool
	code, another string
}

// tell stores results and a record.
func (w *world) tell(t *testing.T, j job, pages []tinyPage, record messages.JobRecord) {
	t.Helper()
	for _, p := range pages {
		msg := nats.NewMsg(j.results())
		msg.Header.Set(messages.HeaderPage, strconv.Itoa(p.page))
		msg.Header.Set(messages.HeaderRows, strconv.Itoa(p.rows))
		msg.Header.Set(messages.HeaderIncarnation, "first"+p.another)
		if p.last {
			msg.Header.Set(messages.HeaderLast, "true")
		}
		if p.code != "" {
			msg.Header.Set(messages.HeaderErrorCode, p.code)
		}
		rows := []map[string]string{}
		for _, id := range p.ids {
			rows = append(rows, map[string]string{"id": tinyID(id)})
		}
		msg.Data, _ = json.Marshal(map[string]any{"accounts": rows})
		if _, err := w.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	record.ID, record.Connection = j.id, j.connection
	body, _ := json.Marshal(record)
	if _, err := w.js.Publish(t.Context(), messages.StateSubject(j.connection, j.id), body); err != nil {
		t.Fatal(err)
	}
}

func tinyID(n int) string { return fmt.Sprintf("id-%d", n) }

// The check tells right results from each way in which they can be wrong.
func TestTheCheckTellsRightFromWrong(t *testing.T) {
	w := stand(t)
	want := map[string]bool{tinyID(1): true, tinyID(2): true, tinyID(3): true, tinyID(4): true}
	done := func(pages, rows int) messages.JobRecord {
		return messages.JobRecord{Job: messages.Job{State: messages.JobDone, Pages: pages, Rows: int64(rows)}}
	}
	for i, c := range []struct {
		name   string
		pages  []tinyPage
		record messages.JobRecord
		fault  string // part of the first one; "" is none
	}{
		{"right", []tinyPage{{[]int{1, 2}, 1, 2, false, "", ""}, {[]int{4, 3}, 2, 4, true, "", ""}}, done(2, 4), ""},
		{"an empty end", []tinyPage{{[]int{1, 2, 3, 4}, 1, 4, false, "", ""}, {nil, 2, 4, true, "", ""}}, done(2, 4), ""},
		{"a row twice", []tinyPage{{[]int{1, 2}, 1, 2, false, "", ""}, {[]int{2, 3, 4}, 2, 5, true, "", ""}}, done(2, 5),
			"row id-2 is on page 1 and on page 2"},
		{"a page twice", []tinyPage{{[]int{1, 2}, 1, 2, false, "", ""}, {[]int{1, 2}, 1, 2, false, "", ""},
			{[]int{3, 4}, 2, 4, true, "", ""}}, done(2, 4), `message 2 of the subject (sequence`},
		{"a row missing", []tinyPage{{[]int{1, 2}, 1, 2, false, "", ""}, {[]int{3}, 2, 3, true, "", ""}}, done(2, 3),
			"1 of 4 rows are missing"},
		{"a row of nobody", []tinyPage{{[]int{1, 2, 3, 4, 5}, 1, 5, true, "", ""}}, done(1, 5), "row id-5 of page 1 is none"},
		{"a gap", []tinyPage{{[]int{1, 2}, 1, 2, false, "", ""}, {[]int{3, 4}, 3, 4, true, "", ""}}, done(2, 4), `has Crm-Page "3"`},
		{"wrong rows so far", []tinyPage{{[]int{1, 2, 3, 4}, 1, 3, true, "", ""}}, done(1, 4), `Crm-Rows "3"`},
		{"no end", []tinyPage{{[]int{1, 2, 3, 4}, 1, 4, false, "", ""}}, done(1, 4), "0 ends"},
		{"two ends", []tinyPage{{[]int{1, 2, 3, 4}, 1, 4, true, "", ""}, {nil, 2, 4, true, "", ""}}, done(2, 4), "comes after the end"},
		{"another incarnation", []tinyPage{{[]int{1, 2}, 1, 2, false, "", ""}, {[]int{3, 4}, 2, 4, true, "", "!"}}, done(2, 4),
			"page 2 is of another incarnation"},
		{"a record that disagrees", []tinyPage{{[]int{1, 2, 3, 4}, 1, 4, true, "", ""}}, done(2, 4), "the record says done with 2 pages"},
		{"a record of another end", []tinyPage{{[]int{1, 2, 3, 4}, 1, 4, true, "cancelled", ""}}, done(1, 4),
			"the results say cancelled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJob(accountsSearch, "acme", fmt.Sprintf("job-%d", i), nil)
			w.tell(t, j, c.pages, c.record)
			report, err := w.check(t.Context(), j, want)
			if err != nil {
				t.Fatal(err)
			}
			if c.fault == "" && len(report.faults) > 0 || c.fault != "" && !strings.Contains(strings.Join(report.faults, "\n"), c.fault) {
				t.Errorf("found %q, want %q", report.faults, c.fault)
			}
		})
	}
}

// A tiny worker publishes pages of what it takes for the rest, and goes on from its own place:
// with the guard two of them are right together, without it they are not.
type tinyWorker struct {
	w     *world
	nc    *nats.Conn
	order []int // in which this one reads
}

func (v tinyWorker) run(ctx context.Context, j job) error {
	for {
		var got []int
		at, page := uint64(0), 0
		if msg, err := v.w.last(ctx, messages.ResultsStream, j.results()); err == nil {
			if msg.Header.Get(messages.HeaderLast) == "true" {
				return nil
			}
			at = msg.Sequence
			page, _ = strconv.Atoi(msg.Header.Get(messages.HeaderPage))
			if err := json.Unmarshal([]byte(msg.Header.Get(messages.HeaderCheckpoint)), &got); err != nil {
				return err
			}
		}
		for _, n := range v.order {
			if !contains(got, n) {
				got = append(got, n)
				break
			}
		}
		msg := nats.NewMsg(j.results())
		msg.Header.Set(messages.HeaderPage, strconv.Itoa(page+1))
		msg.Header.Set(messages.HeaderRows, strconv.Itoa(len(got)))
		place, _ := json.Marshal(got)
		msg.Header.Set(messages.HeaderCheckpoint, string(place))
		msg.Header.Set(guardHeader, strconv.FormatUint(at, 10))
		if len(got) == len(v.order) {
			msg.Header.Set(messages.HeaderLast, "true")
		}
		msg.Data, _ = json.Marshal(map[string]any{"accounts": []map[string]string{{"id": tinyID(got[len(got)-1])}}})
		if _, err := v.nc.RequestMsgWithContext(ctx, msg); err != nil {
			return err
		}
	}
}

func contains(list []int, n int) bool {
	for _, have := range list {
		if have == n {
			return true
		}
	}
	return false
}

// Two workers on one job, one of them behind a wire that holds its first page until the other
// one is done: right with the guard, wrong when the wire takes it off.
func TestTheGuardIsWhatKeepsRowsOnce(t *testing.T) {
	want := map[string]bool{tinyID(1): true, tinyID(2): true, tinyID(3): true}
	for _, mutate := range []string{"", mutateNoGuard} {
		t.Run("mutate="+mutate, func(t *testing.T) {
			w := stand(t)
			j := newJob(accountsSearch, "acme", "job", nil)
			lazy := &wire{mutate: mutate}
			p, err := newProxy(w.nc.ConnectedAddr(), lazy)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.close() })
			nc, err := nats.Connect(urls([]int{p.port()}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			released := make(chan struct{})
			lazy.until = released
			lazy.armHold(time.Minute)
			ended := make(chan error, 1)
			go func() { ended <- tinyWorker{w, nc, []int{3, 2, 1}}.run(t.Context(), j) }()
			if err := await(t.Context(), time.Minute, "a held page", func(context.Context) error {
				if lazy.held.Load() == 0 {
					return errNoMessage
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := (tinyWorker{w, w.nc, []int{1, 2, 3}}).run(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			close(released)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			w.tell(t, j, nil, messages.JobRecord{Job: messages.Job{State: messages.JobDone, Pages: 3, Rows: 3}})
			report, err := w.check(t.Context(), j, want)
			if err != nil {
				t.Fatal(err)
			}
			if broken := len(report.faults) > 0; broken != (mutate != "") {
				t.Errorf("found %q", report.faults)
			}
		})
	}
}
