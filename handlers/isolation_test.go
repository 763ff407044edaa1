package handlers

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/interactive"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A crowd is a Dataverse of many tenants that misbehaves at random. Each request has a mark of
// its own in its filter, mark-TTT-NNNNNN with the tenant's number, and whatever is said in
// return, rows, links and errors, has that mark in it.
type crowd struct {
	url     string
	strange atomic.Pointer[string] // the first thing of one tenant at another
	answers [len(tempers)]atomic.Int64
	tokens  atomic.Int64 // that were made, each another one
}

var marks = regexp.MustCompile(`mark-(\d{3})-\d{6}`)

func (c *crowd) found(what string, args ...any) {
	text := fmt.Sprintf(what, args...)
	c.strange.CompareAndSwap(nil, &text)
}

// others finds a mark in text that is none of want's.
func others(text []byte, want string) string {
	for _, mark := range marks.FindAll(text, -1) {
		if !strings.HasPrefix(string(mark), want) {
			return string(mark)
		}
	}
	return ""
}

func (c *crowd) Access(_ context.Context, connection string) (dynamics.Access, error) {
	token := fmt.Sprintf("head.body.%s-%08d-abcdefghijklmnop", connection, c.tokens.Load())
	return dynamics.Access{Environment: c.url, Incarnation: "1", Token: dynamics.NewSecret(token),
		Tables: []string{"accounts"},
		Principal: dynamics.Principal{Organization: "11111111-2222-3333-4444-555555555555",
			User: "11111111-2222-3333-4444-000000000" + connection[len("tenant-"):]}}, nil
}

func (c *crowd) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	c.tokens.Add(1)
	return c.Access(ctx, connection)
}

// tempers are how the environment answers.
var tempers = [...]func(w http.ResponseWriter, r *http.Request, page []byte, mark string){
	func(w http.ResponseWriter, _ *http.Request, page []byte, _ string) { _, _ = w.Write(page) },
	func(w http.ResponseWriter, _ *http.Request, page []byte, _ string) { // compressed
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = zip.Write(page)
		_ = zip.Close()
	},
	func(w http.ResponseWriter, _ *http.Request, page []byte, _ string) { // compressed and cut
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = zip.Write(page[:len(page)/2])
		_ = zip.Flush()
		panic(http.ErrAbortHandler)
	},
	func(w http.ResponseWriter, _ *http.Request, page []byte, _ string) { // cut
		_, _ = w.Write(page[:rand.IntN(len(page))])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	},
	func(w http.ResponseWriter, r *http.Request, page []byte, _ string) { // in drops
		for len(page) > 0 && r.Context().Err() == nil {
			n := min(len(page), 1+rand.IntN(20_000))
			_, _ = w.Write(page[:n])
			w.(http.Flusher).Flush()
			page = page[n:]
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		}
	},
	func(w http.ResponseWriter, _ *http.Request, page []byte, _ string) { // no JSON from some place on
		at := rand.IntN(len(page))
		_, _ = w.Write(append(append(bytes.Clone(page[:at]), 0), page[at:]...))
	},
	func(w http.ResponseWriter, _ *http.Request, _ []byte, mark string) {
		says(w, http.StatusUnauthorized, "0x80072560", mark)
	},
	func(w http.ResponseWriter, _ *http.Request, _ []byte, mark string) {
		w.Header().Set("Retry-After", "0")
		says(w, http.StatusTooManyRequests, "0x80072322", mark)
	},
	func(w http.ResponseWriter, _ *http.Request, _ []byte, mark string) {
		says(w, http.StatusServiceUnavailable, "0x80040216", mark)
	},
	func(w http.ResponseWriter, _ *http.Request, _ []byte, mark string) {
		says(w, http.StatusBadRequest, "0x80041103", "'account' entity doesn't contain attribute with Name = '"+mark+"'")
	},
	func(w http.ResponseWriter, r *http.Request, page []byte, _ string) { // late
		select {
		case <-r.Context().Done():
		case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
			_, _ = w.Write(page)
		}
	},
}

func says(w http.ResponseWriter, status int, code, text string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"code":%q,"message":%q}}`, code, text)
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, of, _ := strings.Cut(r.Header.Get("Authorization"), "tenant-")
	tenant, _, _ := strings.Cut(of, "-")
	asked := r.URL.RequestURI()
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		asked = string(body)
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.Contains(asked, "EntityDefinitions") {
		says(w, http.StatusNotFound, "", "none")
		return
	}
	if other := others([]byte(asked), "mark-"+tenant); other != "" {
		c.found("%s is asked for with the token of %s", other, tenant)
	}
	mark := marks.FindString(asked)
	number := 0
	if _, text, there := strings.Cut(asked, "skiptoken=page"); there {
		number, _ = strconv.Atoi(text[:1])
	}
	var page bytes.Buffer
	page.WriteString(`{"value":[`)
	for i := range 1 + rand.IntN(60) {
		if i > 0 {
			page.WriteByte(',')
		}
		size := rand.IntN(400)
		if rand.IntN(200) == 0 {
			size = 40_000
		}
		_, _ = fmt.Fprintf(&page, `{"@odata.etag":"W/\"%d\"","accountid":"00000000-0000-0000-0000-%012d","name":"%s \ud83d %s","websiteurl":"%[3]s"}`,
			i, i, mark, strings.Repeat("x", size))
	}
	page.WriteString(`]`)
	if number < 5 && rand.IntN(3) > 0 {
		_, _ = fmt.Fprintf(&page, `,"@odata.nextLink":"%s/api/data/v9.2/accounts?$skiptoken=page%d-%s"`, c.url, number+
			1, mark)
	}
	page.WriteString(`}`)
	temper := 0
	if rand.IntN(2) == 0 {
		temper = rand.IntN(len(tempers))
	}
	c.answers[temper].Add(1)
	if r.Method == http.MethodPost {
		inner := httptest.NewRecorder()
		if temper < 2 || temper > 4 {
			tempers[temper%2*temper](inner, r, page.Bytes(), mark)
		} else {
			_, _ = inner.Write(page.Bytes())
		}
		result := inner.Result()
		w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
		text := fmt.Sprintf("--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 %s\r\n"+
			"Content-Type: application/json\r\n\r\n%s\r\n--b--\r\n", result.Status, inner.Body.Bytes())
		w.WriteHeader(result.StatusCode)
		_, _ = io.WriteString(w, text[:len(text)-rand.IntN(2)*rand.IntN(len(text))])
		return
	}
	tempers[temper](w, r, page.Bytes(), mark)
}

// lines is a log that is looked at line by line: one of a tenant has no mark of another.
type lines struct{ c *crowd }

func (l lines) Write(line []byte) (int, error) {
	if _, of, there := strings.Cut(string(line), `"connection":"tenant-`); there {
		if other := others(line, "mark-"+of[:3]); other != "" {
			l.c.found("%s in the log: %s", other, line)
		}
	}
	return len(line), nil
}

// TestTenantsNeverMeet: whatever fails, is cancelled, cut off, late or abandoned, each requester
// gets what was said to its own request and nothing of another's, of other tenants or of its
// own, and no token is sent with another's filter. Buffers of all kinds are used again
// meanwhile; with -race a use after they were given back is found as well.
func TestTenantsNeverMeet(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it asks for some thousand pages")
	}
	c := &crowd{}
	web := httptest.NewServer(c)
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(web.Close)
	c.url = web.URL
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com",
		[]string{strings.TrimPrefix(web.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Hosts: hosts, Tokens: c, RetryDelay: time.Millisecond})
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
	memory, err := budget.New(budget.Bounds{Bytes: 24 << 20, Reserve: 8 << 20, Intake: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := streamstest.Server(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	operations := &Operations{Dynamics: client, Tables: messages.Tables(), Sealer: keys,
		Catalog: plan.NewCatalog(nil, 0, slog.New(slog.DiscardHandler))}
	consumer, err := interactive.Start(t.Context(), dial(t, s.ClientURL()), routesOf(t, operations),
		interactive.Options{Log: slog.New(slog.NewJSONHandler(lines{c}, nil)), Metrics: prometheus.NewRegistry(),
			Version: "0.0.0", Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	const tenants, requesters, each = 16, 32, 20
	var asked sync.WaitGroup
	var good, failed, abandoned, serial atomic.Int64
	for i := range requesters {
		nc := dial(t, s.ClientURL())
		asked.Go(func() {
			for range each {
				tenant := fmt.Sprintf("%03d", i%tenants)
				mark := fmt.Sprintf("mark-%s-%06d", tenant, serial.Add(1))
				switch outcome, text := c.ask(nc, tenant, mark); outcome {
				case "ok":
					good.Add(1)
				case "abandoned":
					abandoned.Add(1)
				case "wrong":
					c.found("%s", text)
				default:
					failed.Add(1)
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
	if strange := c.strange.Load(); strange != nil {
		t.Error(*strange)
	}
	if used := memory.Usage().Used; used != 0 {
		t.Errorf("%d bytes are held at the end", used)
	}
	t.Logf("%d answered, %d refused, %d abandoned", good.Load(), failed.Load(), abandoned.Load())
	if good.Load() < requesters*each/10 || failed.Load() == 0 || abandoned.Load() == 0 {
		t.Error("little was tried")
	}
	for i := range c.answers {
		if c.answers[i].Load() == 0 {
			t.Errorf("no answer was of kind %d", i)
		}
	}
}

// ask sends one search and looks at all that comes.
func (c *crowd) ask(nc *nats.Conn, tenant, mark string) (outcome, text string) {
	values := []string{mark}
	if rand.IntN(8) == 0 { // longer than a URL
		for len(values) < 1000 {
			values = append(values, mark+strings.Repeat("y", 20))
		}
	}
	in := map[string]any{"connection": "tenant-" + tenant, "fields": []string{"id", "name", "website"},
		"where": map[string]any{"field": "name", "op": "in", "value": values}}
	if rand.IntN(2) == 0 {
		in["mode"] = "stream"
	}
	body, err := json.Marshal(in)
	if err != nil {
		return "wrong", err.Error()
	}
	replies, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return "wrong", err.Error()
	}
	defer func() { _ = replies.Unsubscribe() }()
	msg := &nats.Msg{Subject: "crm.accounts.search.request", Reply: replies.Subject, Data: body, Header: nats.Header{}}
	msg.Header.Set(messages.HeaderRequestID, mark)
	if rand.IntN(4) == 0 {
		msg.Header.Set(messages.HeaderDeadline,
			time.Now().Add(time.Duration(rand.IntN(60))*time.Millisecond).Format(time.RFC3339Nano))
	}
	if err := nc.PublishMsg(msg); err != nil {
		return "wrong", err.Error()
	}
	for {
		if rand.IntN(20) == 0 {
			return "abandoned", ""
		}
		reply, err := replies.NextMsg(30 * time.Second)
		if err != nil {
			return "wrong", "no answer to " + mark
		}
		if other := others(append(fmt.Append(nil, reply.Header), reply.Data...), mark); other != "" {
			return "wrong", fmt.Sprintf("%s in an answer to %s", other, mark)
		}
		var answer struct {
			RequestID  string `json:"request_id"`
			Connection string
			Accounts   []struct{ Name, Website string }
		}
		if err := json.Unmarshal(reply.Data, &answer); err != nil || answer.RequestID != mark ||
			reply.Header.Get(messages.HeaderRequestID) != mark ||
			answer.Connection != "tenant-"+tenant && answer.Connection != "" {
			return "wrong", fmt.Sprintf("%v: to %s came %.300s", err, mark, reply.Data)
		}
		if reply.Header.Get(messages.HeaderErrorCode) != "" {
			return reply.Header.Get(messages.HeaderErrorCode), ""
		}
		for _, row := range answer.Accounts {
			if rest, ours := strings.CutPrefix(row.Name, mark+" \uFFFD "); !ours || strings.Trim(rest, "x") != "" ||
				row.Website != mark {
				return "wrong", fmt.Sprintf("a row of %s is %.200q, %q", mark, row.Name, row.Website)
			}
		}
		if in["mode"] == nil || reply.Header.Get(messages.HeaderLast) == "true" {
			return "ok", ""
		}
	}
}
