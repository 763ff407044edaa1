package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Two processes share the work; one is stopped by SIGTERM in the middle of 500
// requests, and every request still gets exactly one answer.
func TestSIGTERMUnderLoadLosesAndRepeatsNoAnswer(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "processes are stopped under load")
	w := bridgetest.New(t, emulator.Options{Accounts: 500, Latency: 20 * time.Millisecond})
	// However slow the machine is: what is in hand must come to its end.
	settings := func(first bool) bridge.Settings {
		s := w.Settings(first)
		s.ShutdownGrace = "3m"
		return s
	}
	first := bridgetest.Serve(t, settings(true))
	w.Connect("acme")
	second := bridgetest.Serve(t, settings(false))
	for _, stopped := range []*bridgetest.Process{second, first} {
		answers := load(t, w, 500, func(sent int) {
			if sent == 250 {
				if err := stopped.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			}
		})
		codes := map[string]int{}
		for id, got := range answers {
			if len(got) != 1 {
				t.Errorf("request %s got %d answers", id, len(got))
			}
			for _, code := range got {
				codes[code]++
			}
		}
		if len(answers) != 500 {
			t.Errorf("%d of 500 requests were answered", len(answers))
		}
		t.Logf("answers by code: %v", codes)
		for code := range codes {
			if code != "ok" && code != string(messages.Overloaded) {
				t.Errorf("%d requests got %s", codes[code], code)
			}
		}
		if err := stopped.Wait(); err != nil {
			t.Errorf("the stopped process: %v; log: %s", err, stopped.Log)
		}
		if stopped == second { // the other one goes on alone, then beside a new one
			second = bridgetest.Serve(t, settings(false))
		}
	}
}

// load sends requests and returns the codes of the answers to each, after long
// enough for a second answer to have come.
func load(t *testing.T, w *bridgetest.World, requests int, sending func(int)) map[string][]string {
	t.Helper()
	_, nc := w.Client()
	var mu sync.Mutex
	answers := map[string][]string{}
	inbox := nc.NewInbox()
	sub, err := nc.Subscribe(inbox, func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		code := msg.Header.Get(messages.HeaderErrorCode)
		if code == "" {
			code = "ok"
		}
		id := msg.Header.Get(messages.HeaderRequestID)
		answers[id] = append(answers[id], code)
	})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(messages.MaxDeadline).Format(time.RFC3339)
	for i := range requests {
		msg := nats.NewMsg(messages.Accounts.Operation(messages.VerbSearch).ScopedSubject("acme"))
		msg.Header.Set(messages.HeaderDeadline, deadline)
		msg.Reply = inbox
		msg.Header.Set(messages.HeaderRequestID, fmt.Sprintf("request-%d", i))
		msg.Data = []byte(`{"page_size":5}`)
		if err := nc.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		sending(i)
	}
	bridgetest.Await(t, "all answers", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(answers) < requests {
			return fmt.Errorf("%d of %d", len(answers), requests)
		}
		return nil
	})
	// An answer too many would come from a process that has not noticed yet: one
	// more round trip through each of them, and then nothing is left to come.
	for range 20 {
		if _, err := nc.Request(messages.Accounts.Operation(messages.VerbSearch).ScopedSubject("acme"), []byte(`{"page_size":1}`), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := sub.Drain(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return answers
}

// 200 concurrent requests over four crmbridges on an access token that is no good
// any more cause exactly one token request.
func TestOneTokenRequestForAFleet(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it waits for tokens to end")
	const life = 6 * time.Second
	for name, spoil := range map[string]func(*bridgetest.World){
		"expired by its time":  func(*bridgetest.World) { time.Sleep(life) },
		"refused by Dataverse": func(w *bridgetest.World) { w.Emulator.Control().ExpireAccessTokens() },
	} {
		t.Run(name, func(t *testing.T) {
			w := bridgetest.New(t, emulator.Options{Accounts: 50})
			if name == "expired by its time" {
				w.Emulator.Control().SetAccessTokenLifetime(life)
			}
			for i := range 4 {
				w.Bridge(w.Settings(i == 0), nil)
			}
			w.Connect("acme")
			w.Emulator.Control().SetAccessTokenLifetime(time.Hour) // the next one needs no other while this runs
			w.Emulator.Control().ResetCounts()
			spoil(w)
			client, _ := w.Client()
			var wait sync.WaitGroup
			failures := make(chan error, 200)
			for range 200 {
				wait.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if _, err := client.WhoAmI(ctx, "acme"); err != nil {
						failures <- err
					}
				})
			}
			wait.Wait()
			close(failures)
			for err := range failures {
				t.Error(err)
			}
			if n := w.Emulator.Control().Counts().TokenRequests(); n != 1 {
				t.Errorf("%d token requests, want 1", n)
			}
		})
	}
}

// A page of 5000 rows does not fit one message: it comes in fewer, and following
// the cursors, from any process, gives every row exactly once. Stream mode does
// the same in one request.
func TestPagesThatAreTooLargeAreSplit(t *testing.T) {
	bridgetest.Long(t, "it reads large pages")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{})
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	w.Connect("acme")
	client, nc := w.Client()
	want := map[string]bool{}
	for account := range w.Emulator.Control().Accounts() {
		want[account.ID] = true
	}
	fields := []string{"id", "name", "website", "phone", "email", "city", "country", "industry", "classification", "revenue", "employees", "owner"}
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: fields,
		PageSize: 5000, OrderBy: []string{"-revenue", "name"}, IncludeTotal: true}

	t.Run("page mode", func(t *testing.T) {
		seen, pages := map[string]bool{}, 0
		for page, err := range client.Accounts().Pages(t.Context(), in) {
			if err != nil {
				t.Fatal(err)
			}
			pages++
			if page.Total == nil || *page.Total != int64(len(want)) {
				t.Fatalf("page %d: total %v, want %d", pages, page.Total, len(want))
			}
			collect(t, seen, page)
		}
		compare(t, seen, want)
		t.Logf("%d rows in %d replies", len(seen), pages)
	})
	t.Run("stream mode", func(t *testing.T) {
		seen, parts := map[string]bool{}, 0
		for page, err := range client.Accounts().Stream(t.Context(), in) {
			if err != nil {
				t.Fatal(err)
			}
			parts++
			collect(t, seen, page)
		}
		compare(t, seen, want)
		t.Logf("%d rows in %d messages", len(seen), parts)
	})
	t.Run("every reply fits max_payload", func(t *testing.T) {
		body, err := json.Marshal(&in)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := nc.Request(messages.Accounts.Operation(messages.VerbSearch).Subject(), body, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if size := reply.Size(); int64(size) > nc.MaxPayload()+512 || len(reply.Data) < int(nc.MaxPayload())*8/10 {
			t.Errorf("the reply has %d bytes of %d", len(reply.Data), nc.MaxPayload())
		}
	})
	t.Run("limit", func(t *testing.T) {
		in := in
		in.Limit = 2500
		seen := map[string]bool{}
		for page, err := range client.Accounts().Pages(t.Context(), in) {
			if err != nil {
				t.Fatal(err)
			}
			collect(t, seen, page)
		}
		if len(seen) != 2500 {
			t.Errorf("%d rows, want 2500", len(seen))
		}
	})
}

// Rows that change while a split page is being read neither repeat nor hide
// others.
func TestSplitPageSurvivesChanges(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 6000})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 5000,
		Fields:  []string{"id", "name", "website", "phone", "email", "city", "country", "industry", "classification", "revenue", "employees", "owner"},
		OrderBy: []string{"name"}}
	page, err := client.Accounts().Search(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	collect(t, seen, page)
	// The last delivered rows go away or move to the end, and new ones come in front.
	control := w.Emulator.Control()
	delivered := page.Rows
	moved := map[string]bool{}
	for i, account := range delivered[len(delivered)-9:] {
		id := account.Text("id")
		if i%2 == 0 {
			control.DeleteAccount(id)
			continue
		}
		for row := range control.Accounts() {
			if row.ID == id {
				row.Name = "zzzz moved to the end"
				control.PutAccount(row)
			}
		}
		moved[id] = true
	}
	control.PutAccount(emulator.Account{Name: "!!! new in front"})
	want := map[string]bool{}
	for row := range control.Accounts() {
		if row.Name != "!!! new in front" && !moved[row.ID] {
			want[row.ID] = true
		}
	}
	for id := range seen {
		want[id] = true // delivered before it was deleted
	}
	for page.NextCursor != "" {
		page, err = client.Accounts().Search(t.Context(), messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range page.Rows {
			id := account.Text("id")
			if seen[id] && !moved[id] {
				t.Errorf("row %s came twice", id)
			}
			seen[id] = true
		}
	}
	for id := range want {
		if !seen[id] {
			t.Errorf("row %s is missing", id)
		}
	}
}

// Rows that are written between pages without moving, as a campaign that stamps
// them does, and thousands of rows that come in front, do not lose the place.
func TestSplitPageSurvivesStampsAndInserts(t *testing.T) {
	bridgetest.Long(t, "it pages through random changes")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 3000})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 5000, OrderBy: []string{"name"},
		Fields: []string{"id", "name", "website", "phone", "email", "city", "country", "industry", "classification", "revenue", "employees", "owner", "cb_leadscore", "parent"}}
	page, err := client.Accounts().Search(t.Context(), in)
	if err != nil || page.NextCursor == "" {
		t.Fatalf("%v; the page was not split", err)
	}
	control, seen, want := w.Emulator.Control(), map[string]bool{}, map[string]bool{}
	collect(t, seen, page)
	for row := range control.Accounts() {
		want[row.ID] = true
		if seen[row.ID] && len(want)%8 == 0 {
			row.Website = "https://stamped.example/"
			control.PutAccount(row)
		}
	}
	for _, account := range page.Rows[len(page.Rows)-64:] { // those that mark the place, all of them
		for row := range control.Accounts() {
			if row.ID == account.Text("id") {
				row.Website = "https://stamped.example/"
				control.PutAccount(row)
			}
		}
	}
	for i := range 5100 {
		control.PutAccount(emulator.Account{Name: fmt.Sprintf("!!! in front %d", i)})
	}
	for page.NextCursor != "" {
		if page, err = client.Accounts().Search(t.Context(), messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor}); err != nil {
			t.Fatal(err)
		}
		collect(t, seen, page)
	}
	compare(t, seen, want)
}

func TestCursorsAreBoundToConnectionIncarnationAndQuery(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 300})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	w.Connect("globex")
	client, _ := w.Client()
	search := func(in messages.SearchRequest) (*messages.Page, error) {
		return client.Accounts().Search(t.Context(), in)
	}
	acme, globex := messages.Target{Connection: "acme"}, messages.Target{Connection: "globex"}
	page, err := search(messages.SearchRequest{Target: acme, PageSize: 10, OrderBy: []string{"name"}})
	if err != nil {
		t.Fatal(err)
	}
	cursor := page.NextCursor
	for name, in := range map[string]messages.SearchRequest{
		"another connection": {Target: globex, Cursor: cursor},
		"another query":      {Target: acme, Cursor: cursor, PageSize: 10, OrderBy: []string{"-name"}},
		"tampered":           {Target: acme, Cursor: cursor[:len(cursor)-4] + "AAAA"},
		"not a cursor":       {Target: acme, Cursor: "%%%"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := search(in)
			wantCode(t, err, messages.InvalidRequest)
		})
	}
	if _, err := search(messages.SearchRequest{Target: acme, Cursor: cursor, PageSize: 10, OrderBy: []string{"name"}}); err != nil {
		t.Errorf("with the identical query: %v", err)
	}
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	_, err = search(messages.SearchRequest{Target: acme, Cursor: cursor})
	wantCode(t, err, messages.ConnectionNotFound)
	w.Connect("acme")
	_, err = search(messages.SearchRequest{Target: acme, Cursor: cursor})
	wantCode(t, err, messages.InvalidRequest)
}

func wantCode(t *testing.T, err error, want messages.Code) {
	t.Helper()
	fault, ok := errors.AsType[*messages.Error](err)
	if !ok || fault.Code != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func collect(t *testing.T, seen map[string]bool, page *messages.Page) {
	t.Helper()
	for _, account := range page.Rows {
		id := account.Text("id")
		if seen[id] {
			t.Errorf("row %s came twice", id)
		}
		seen[id] = true
	}
}

func compare(t *testing.T, got, want map[string]bool) {
	t.Helper()
	for id := range want {
		if !got[id] {
			t.Errorf("row %s is missing", id)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}
