package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/interactive"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A hall is a Dataverse of some tenants whose requesters ask the same few questions at once, so
// that most calls are shared. What it answers is known to the byte. Unless it is calm it
// misbehaves at random, as do the token source and the gate.
type hall struct {
	url    string
	calm   atomic.Bool
	held   atomic.Pointer[chan struct{}] // what answers wait for, nil: nothing
	opened atomic.Int64                  // how often a token was asked for
	asked  atomic.Int64                  // pages
	tokens atomic.Int64                  // that were made, each another one
	inside atomic.Int64                  // calls that have passed the gate and not left
	twice  atomic.Int64                  // those that have left twice
}

// A question's answer has pages of so many rows, each of so many bytes.
type question struct{ pages, rows, bytes int }

// Of the last one the pages are as long as those whose rows are laid out for messages.
var questions = [...]question{{1, 10, 30}, {1, 0, 0}, {3, 40, 300}, {2, 3, 5000}, {2, 1100, 500}}

func markOf(tenant string, q int) string { return fmt.Sprintf("mark-%s-%06d", tenant, q) }

// websiteOf makes rows of one page differ in length.
func (q question) websiteOf(row int) string { return strings.Repeat("x", q.bytes/2+row%7*q.bytes/12) }

// delivered are the rows from one page on, as requesters have them.
func delivered(tenant string, number, page int) []byte {
	q := questions[number]
	var all []byte
	for i := page * q.rows; i < q.pages*q.rows; i++ {
		all = fmt.Appendf(all, `,{"id":"00000000-0000-0000-0000-%012d","name":"%s row %d","website":%q}`, i,
			markOf(tenant, number), i, q.websiteOf(i))
	}
	return bytes.TrimPrefix(all, []byte(","))
}

func (h *hall) Access(_ context.Context, connection string) (dynamics.Access, error) {
	h.opened.Add(1)
	if !h.calm.Load() {
		switch rand.IntN(120) {
		case 0:
			panic(errSource)
		case 1:
			return dynamics.Access{}, messages.Errorf(messages.Unavailable, "no token")
		case 2, 3, 4:
			time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		}
	}
	token := fmt.Sprintf("head.body.%s-%08d-abcdefghijklmnop", connection, h.tokens.Load())
	return dynamics.Access{Environment: h.url, Incarnation: "1", Token: dynamics.NewSecret(token),
		Tables: []string{"accounts"},
		Principal: dynamics.Principal{Organization: "11111111-2222-3333-4444-555555555555",
			User: "11111111-2222-3333-4444-000000000" + connection[len("tenant-"):]}}, nil
}

func (h *hall) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	h.tokens.Add(1)
	return h.Access(ctx, connection)
}

// Enter implements [dynamics.Gate].
func (h *hall) Enter(ctx context.Context, _ dynamics.Principal, _ string) (func(dynamics.Answer), error) {
	wait := time.Duration(rand.IntN(20)) * time.Millisecond
	if rand.IntN(50) == 0 {
		wait = 150 * time.Millisecond // longer than what the token source said is believed
	}
	select {
	case <-ctx.Done():
		return nil, &dynamics.Error{Kind: dynamics.Cancelled, Err: ctx.Err()}
	case <-time.After(wait):
	}
	h.inside.Add(1)
	return (&hallSlot{h: h}).Leave, nil
}

// TryEnter implements [dynamics.QuickGate].
func (h *hall) TryEnter(dynamics.Principal, bool) (dynamics.Slot, bool) {
	if !h.calm.Load() && rand.IntN(2) == 0 {
		return nil, false
	}
	h.inside.Add(1)
	return &hallSlot{h: h}, true
}

type hallSlot struct {
	h    *hall
	left atomic.Bool
}

func (s *hallSlot) Leave(dynamics.Answer) {
	if s.left.Swap(true) {
		s.h.twice.Add(1)
	}
	s.h.inside.Add(-1)
}

func (h *hall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	asked := r.URL.RequestURI()
	if strings.Contains(asked, "EntityDefinitions") {
		says(w, http.StatusNotFound, "", "none")
		return
	}
	_, of, _ := strings.Cut(r.Header.Get("Authorization"), "tenant-")
	tenant, _, _ := strings.Cut(of, "-")
	mark := marks.FindString(asked)
	if !strings.HasPrefix(mark, "mark-"+tenant) {
		says(w, http.StatusForbidden, "", "another tenant's token")
		return
	}
	h.asked.Add(1)
	number, _ := strconv.Atoi(mark[len("mark-000-"):])
	q, at := questions[number], 0
	if _, text, there := strings.Cut(asked, "skiptoken=page"); there {
		at, _ = strconv.Atoi(text[:1])
	}
	var page bytes.Buffer
	page.WriteString(`{"value":[`)
	for i := at * q.rows; i < (at+1)*q.rows; i++ {
		if i > at*q.rows {
			page.WriteByte(',')
		}
		_, _ = fmt.Fprintf(&page, `{"@odata.etag":"W/\"%d\"","accountid":"00000000-0000-0000-0000-%012[1]d","name":"%s row %[1]d","websiteurl":%[3]q}`, i, mark, q.websiteOf(i))
	}
	page.WriteString(`]`)
	if at+1 < q.pages {
		_, _ = fmt.Fprintf(&page, `,"@odata.nextLink":"%s/api/data/v9.2/accounts?$skiptoken=page%d-%s"`, h.url, at+1, mark)
	}
	page.WriteString(`}`)
	if held := h.held.Load(); held != nil {
		<-*held
	}
	temper := 0
	if !h.calm.Load() {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		if rand.IntN(3) == 0 {
			temper = rand.IntN(len(tempers))
		}
	}
	tempers[temper](w, r, page.Bytes(), mark)
}

// openHall starts a hall, and a client and operations before it.
func openHall(t *testing.T) (*hall, map[messages.Operation]route.Route) {
	t.Helper()
	h := &hall{}
	web := httptest.NewServer(h)
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(web.Close)
	h.url = web.URL
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com",
		[]string{strings.TrimPrefix(web.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Hosts: hosts, Tokens: h, Gate: h, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	raw, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tokens.ReadKeyset(raw)
	if err != nil {
		t.Fatal(err)
	}
	return h, routesOf(t, &Operations{Dynamics: client, Tables: messages.Tables(), Sealer: keys,
		Catalog: plan.NewCatalog(nil, 0, slog.New(slog.DiscardHandler))})
}

func asks(tenant string, number int, mode string) []byte {
	q := questions[number]
	in := map[string]any{"connection": "tenant-" + tenant, "fields": []string{"id", "name", "website"},
		"where": map[string]any{"field": "name", "op": "eq", "value": markOf(tenant, number)}, "page_size": max(q.rows, 1)}
	if mode != "" {
		in["mode"] = mode
		if rand.IntN(2) == 0 { // it shares with few, and its parts stand in its own page
			in["page_size"] = q.rows + 1 + rand.IntN(100)
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	return body
}

// A reading gathers the parts of one answer.
type reading struct {
	tenant string
	number int
	id     string
	page   int // from which on
	rows   []byte
	cursor string // after the last part
}

// add takes a part, and says what is wrong with it.
func (r *reading) add(body []byte) error {
	var reply struct {
		RequestID  string `json:"request_id"`
		Connection string
		Accounts   json.RawMessage
		NextCursor string `json:"next_cursor"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return fmt.Errorf("%w in %.200q", err, body)
	}
	if reply.RequestID != r.id || reply.Connection != "tenant-"+r.tenant || len(reply.Accounts) < 2 {
		return fmt.Errorf("an answer to %s: %.200q", r.id, body)
	}
	if rows := reply.Accounts[1 : len(reply.Accounts)-1]; len(rows) > 0 {
		if len(r.rows) > 0 {
			r.rows = append(r.rows, ',')
		}
		r.rows = append(r.rows, rows...)
	}
	r.cursor = reply.NextCursor
	return nil
}

// whole says what is wrong with the answer, which has ended.
func (r *reading) whole() error {
	want := delivered(r.tenant, r.number, r.page)
	if r.cursor != "" && len(r.rows) > 0 && len(r.rows) < len(want) {
		q := questions[r.number] // page mode
		rest := delivered(r.tenant, r.number, r.page+1)
		if r.page+1 < q.pages {
			want = want[:len(want)-len(rest)-1]
		}
	}
	if !bytes.Equal(r.rows, want) {
		return fmt.Errorf("the answer to %s of %s has %d bytes of rows, want %d: %.200q, want %.200q", r.id,
			markOf(r.tenant, r.number),
			len(r.rows), len(want), r.rows, want)
	}
	return nil
}

// TestEachOfManyWhoAskTheSameIsAnswered: a hundred requesters ask four tenants for the same at
// once. Who makes a call ends, and its memory is another search's, while those who share its page
// still have to look at it.
func TestEachOfManyWhoAskTheSameIsAnswered(t *testing.T) {
	h, routes := openHall(t)
	h.calm.Store(true)
	const tenants, each = 4, 25
	for _, number := range []int{0, 1, 2, 3, 0} {
		hold := make(chan struct{})
		h.held.Store(&hold)
		h.opened.Store(0)
		h.asked.Store(0)
		var asking sync.WaitGroup
		for i := range tenants * each {
			r := &reading{tenant: fmt.Sprintf("%03d", i%tenants), number: number, id: fmt.Sprint("r", i)}
			mode := []string{"", "stream"}[i/tenants%2]
			asking.Go(func() {
				for part, err := range routes["accounts.search"].Serve(t.Context(), route.Call{Operation: "accounts.search", RequestID: r.id, Budget: 1 << 20}, asks(r.tenant, number, mode)).Parts {
					if err == nil {
						err = r.add(part.Body)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
				if err := r.whole(); err != nil {
					t.Error(err)
				}
			})
		}
		for h.opened.Load() < tenants*each { // then all are about to ask for the page
			time.Sleep(time.Millisecond)
		}
		h.held.Store(nil)
		close(hold)
		asking.Wait()
		if asked := int(h.asked.Load()); asked > tenants*each*questions[number].pages/2 {
			t.Errorf("%d pages were asked for: few were shared", asked)
		}
	}
}

// TestSharedPagesAreEachTenantsOwn: requesters of several tenants ask the same few questions at
// once, of an environment that fails in all ways, with deadlines that end anywhere. They go away,
// stop early, break down, or read slowly. What is answered is right to the byte, or an error.
func TestSharedPagesAreEachTenantsOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it asks for some thousand pages")
	}
	h, routes := openHall(t)
	memory, err := budget.New(budget.Bounds{Bytes: 20 << 20, Reserve: 6 << 20, Intake: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := streamstest.Server(t, nil)
	consumer, err := interactive.Start(t.Context(), dial(t, s.ClientURL()), routes,
		interactive.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Version: "0.0.0",
			Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	const tenants, requesters, each = 3, 36, 30
	var serial, jobs, streams, pages, failed, left atomic.Int64
	var asked sync.WaitGroup
	for i := range requesters {
		nc := dial(t, s.ClientURL())
		asked.Go(func() {
			for range each {
				r := &reading{tenant: fmt.Sprintf("%03d", i%tenants), number: rand.IntN(len(questions)),
					id: fmt.Sprint("request-", serial.Add(1))}
				mode, ask := []string{"", "stream"}[rand.IntN(2)], r.overNATS
				if questions[r.number].rows > 1000 && mode == "" {
					r.number = 0 // long ones less often
				}
				count := map[string]*atomic.Int64{"": &pages, "stream": &streams}[mode]
				switch i / tenants % 3 {
				case 1:
					ask = func(*nats.Conn, string) error { return r.inProcess(t, routes, memory, mode) }
				case 2:
					ask, count = func(*nats.Conn, string) error { return r.asJob(t, routes, memory) }, &jobs
				}
				switch err := ask(nc, mode); {
				case err == nil:
					count.Add(1)
				case errors.Is(err, errLeft):
					left.Add(1)
				case errors.Is(err, errRefused):
					failed.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	asked.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := consumer.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if used, inside, twice := memory.Usage().Used, h.inside.Load(), h.twice.Load(); used != 0 || inside != 0 ||
		twice != 0 {
		t.Errorf("at the end %d bytes and %d slots are held, and %d were left twice", used, inside, twice)
	}
	t.Logf("%d pages, %d streams and %d jobs, %d refused, %d left; %d pages were asked for", pages.Load(),
		streams.Load(), jobs.Load(),
		failed.Load(), left.Load(), h.asked.Load())
	if min(pages.Load(), streams.Load(), jobs.Load(), failed.Load(), left.Load()) < requesters*each/50 {
		t.Error("little was tried")
	}
}

var (
	errRefused = errors.New("an error was answered")
	errLeft    = errors.New("the requester went away")
	errSource  = errors.New("the source of tokens breaks down")
)

// brokeDown is the error of an operation that panicked, which only the token source does.
func brokeDown(thrown any) error {
	if thrown == errSource {
		return errRefused
	}
	return fmt.Errorf("the operation panicked: %v", thrown)
}

// overNATS asks with a deadline, or in page mode goes on at the cursor.
func (r *reading) overNATS(nc *nats.Conn, mode string) error {
	replies, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return err
	}
	defer func() { _ = replies.Unsubscribe() }()
	for body := asks(r.tenant, r.number, mode); ; {
		msg := &nats.Msg{Subject: "crm.accounts.search.request", Reply: replies.Subject, Data: body, Header: nats.Header{}}
		msg.Header.Set(messages.HeaderRequestID, r.id)
		if rand.IntN(3) == 0 {
			msg.Header.Set(messages.HeaderDeadline,
				time.Now().Add(time.Duration(rand.IntN(120))*time.Millisecond).Format(time.RFC3339Nano))
		}
		if err := nc.PublishMsg(msg); err != nil {
			return err
		}
		for last := false; !last; {
			if rand.IntN(30) == 0 {
				return errLeft
			}
			reply, err := replies.NextMsg(30 * time.Second)
			if err != nil {
				return fmt.Errorf("%w: no answer to %s", err, r.id)
			}
			if reply.Header.Get(messages.HeaderRequestID) != r.id {
				return fmt.Errorf("%v in answer to %s", reply.Header, r.id)
			}
			if reply.Header.Get(messages.HeaderErrorCode) != "" {
				return errRefused
			}
			if err := r.add(reply.Data); err != nil {
				return err
			}
			last = mode == "" || reply.Header.Get(messages.HeaderLast) == "true"
		}
		if err := r.whole(); err != nil || r.cursor == "" {
			return err
		}
		if body, err = json.Marshal(map[string]string{"connection": "tenant-" + r.tenant, "cursor": r.cursor}); err != nil {
			return err
		}
		r.page, r.rows = r.page+1, nil
	}
}

// inProcess asks the operation itself, which is cancelled at some time, or its requester stops,
// or breaks down.
func (r *reading) inProcess(t *testing.T, routes map[messages.Operation]route.Route, memory *budget.Budget,
	mode string) (err error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if rand.IntN(3) == 0 {
		defer time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, cancel).Stop()
	}
	account, err := memory.Open(4 << 10)
	if err != nil {
		return errRefused
	}
	defer account.Close()
	defer func() {
		if thrown := recover(); thrown == errLeft {
			err = errLeft
		} else if thrown != nil {
			err = brokeDown(thrown)
		}
	}()
	call := route.Call{Operation: "accounts.search", RequestID: r.id, Budget: 1 << 20}
	for part, err := range routes["accounts.search"].Serve(budget.With(ctx, account), call, asks(r.tenant, r.number, mode)).Parts {
		if err != nil {
			return errRefused
		}
		before := bytes.Clone(part.Body)
		if rand.IntN(3) == 0 {
			time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond) // a slow reader
		}
		if !bytes.Equal(before, part.Body) {
			return fmt.Errorf("a part of %s was changed while it was read", r.id)
		}
		if err := r.add(part.Body); err != nil {
			return err
		}
		switch rand.IntN(30) {
		case 0:
			return errLeft
		case 1:
			panic(errLeft)
		}
	}
	return r.whole()
}

// asJob asks as the durable lane does: parts are kept until one says where to go on.
func (r *reading) asJob(t *testing.T, routes map[messages.Operation]route.Route, memory *budget.Budget) (err error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if rand.IntN(4) == 0 {
		defer time.AfterFunc(time.Duration(rand.IntN(100))*time.Millisecond, cancel).Stop()
	}
	defer func() {
		if thrown := recover(); thrown != nil {
			err = brokeDown(thrown)
		}
	}()
	turn := func(ctx context.Context) (context.Context, func(), error) {
		account, err := memory.Open(4 << 10)
		if err != nil {
			return nil, nil, err
		}
		return dynamics.WithBackground(budget.With(ctx, account)), account.Close, nil
	}
	call := route.Call{Operation: "accounts.search", RequestID: r.id, Budget: 200 << 10,
		Job: &route.Job{ID: r.id, Incarnation: "1", MaxParts: 20, Turn: turn}}
	var kept [][]byte
	for part, err := range routes["accounts.search"].Serve(ctx, call, asks(r.tenant, r.number, "")).Parts {
		if err != nil {
			return errRefused
		}
		kept = append(kept, part.Body)
		if part.Place == nil && !part.Last {
			continue
		}
		if rand.IntN(3) == 0 {
			time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond) // a slow stream
		}
		for _, body := range kept {
			if err := r.add(body); err != nil {
				return err
			}
		}
		kept = kept[:0]
		if rand.IntN(40) == 0 {
			return errLeft
		}
	}
	return r.whole()
}
