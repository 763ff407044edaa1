package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// The same requests are answered by messagestest and by crmbridge in the same way: code, place of a
// fault, rows, pages, totals and headers. Many of them are wrong somewhere.
func TestMessagestestAnswersAsCrmbridgeDoes(t *testing.T) {
	bridgetest.Long(t, "it asks hundreds of requests of two sides")
	t.Parallel()
	seed := numberFrom(t, "CRMBRIDGE_TEST_SEED", 7)
	count := numberFrom(t, "CRMBRIDGE_TEST_ASKED", map[bool]uint64{false: 300, true: 100}[raceDetector])
	t.Logf("CRMBRIDGE_TEST_SEED=%d, %d requests", seed, count)
	rng := rand.New(rand.NewPCG(seed, 2))
	table := testedAccounts(messages.Accounts)
	w := table.world(t, table.options(150))
	w.Tables = "accounts,contacts,leads,opportunities"
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	o := hostileWorld(rng, table, w.Emulator.Control())
	client, nc := w.Client()
	bridge := messagestest.New(t)
	rows, columns := everythingOf(t, client)
	bridge.Connect("acme", messagestest.Rows{"accounts": rows}, messagestest.Columns{"accounts": columns})
	p := &parity{t: t, real: nc, fake: bridge.Conn(), rng: rng, trees: newWhereTrees(rng, o), codes: map[string]int{}}
	for range count {
		if p.one(); p.differ >= 10 {
			return
		}
	}
	for number := range 30 {
		p.job(fmt.Sprintf("job-%d", number))
	}
	t.Logf("codes: %v; %d replies with rows, %d of several pages", p.codes, p.withRows, p.paged)
	for _, code := range []string{"", "invalid_request", "not_found", "connection_not_found"} {
		if p.codes[code] == 0 {
			t.Errorf("no request ended with %q: %v", code, p.codes)
		}
	}
	if p.withRows < int(count)/4 || p.paged < int(count)/20 {
		t.Errorf("%d replies had rows and %d had several pages: the requests are not worth asking", p.withRows, p.paged)
	}
}

// everythingOf is what crmbridge says of a table, for messagestest to say it too.
func everythingOf(t *testing.T, client *messages.Client) (rows []messagestest.Row, columns []messagestest.Column) {
	t.Helper()
	acme := messages.Target{Connection: "acme"}
	var names []string
	in := messages.FieldsRequest{Target: acme}
	for {
		reply, err := client.Accounts().Fields(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range reply.Fields {
			columns = append(columns, messagestest.Column{Name: field.LogicalName, Label: field.Label, Type: field.Type,
				Options: field.Options, Standard: !field.Custom, Hidden: !field.Readable,
				Unsearchable: !field.Searchable})
			if field.Name != "id" {
				names = append(names, field.Name)
			}
		}
		if in.Cursor = reply.NextCursor; in.Cursor == "" {
			break
		}
	}
	byID := map[string]messagestest.Row{}
	for part := range slices.Chunk(names, messages.MaxFields-1) {
		search := messages.SearchRequest{Target: acme, Fields: append([]string{"id"}, part...)}
		for page, err := range client.Accounts().Stream(t.Context(), search) {
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				into := byID[row.Text("id")]
				if into == nil {
					into = messagestest.Row{}
					byID[row.Text("id")] = into
				}
				for name, value := range row {
					into[name] = value
				}
			}
		}
	}
	return slices.Collect(maps.Values(byID)), columns
}

// A parity asks two sides the same.
type parity struct {
	t          *testing.T
	real, fake *nats.Conn
	rng        *rand.Rand
	trees      *whereTrees
	codes      map[string]int // how often each came, "" for a result

	withRows, paged, differ int
}

// A parityRequest is a request in the form in which it is made worse.
type parityRequest struct {
	op   string
	body map[string]any
}

// one asks one request, with the pages that follow on it.
func (p *parity) one() {
	in := p.request()
	if p.rng.IntN(3) == 0 {
		p.spoil(in.body)
	}
	body, err := json.Marshal(in.body)
	must(err)
	subject := "crm." + in.op + ".request.acme"
	switch p.rng.IntN(25) {
	case 0:
		subject = "crm." + in.op + ".request"
	case 1:
		subject = "crm." + in.op + ".request.nobody"
	}
	header := nats.Header{messages.HeaderRequestID: {fmt.Sprintf("r-%d", p.rng.IntN(1000))}}
	if p.rng.IntN(30) == 0 {
		header = nats.Header{messages.HeaderRequestID: {"with blanks"}}
	}
	if p.rng.IntN(30) == 0 {
		header.Set(messages.HeaderDeadline, one(p.rng, []string{"soon", "2020-01-01T00:00:00Z",
			"2099-01-01T00:00:00Z"}))
	}
	var ids [2][]string
	cursors := [2]string{}
	for page := 1; page <= 8; page++ {
		var got [2]parityAnswer
		for side, nc := range []*nats.Conn{p.real, p.fake} {
			request := body
			if page > 1 {
				request = []byte(fmt.Sprintf(`{"cursor":%q}`, cursors[side]))
			}
			got[side] = p.ask(nc, subject, header, request)
			cursors[side] = got[side].cursor
			ids[side] = append(ids[side], slices.Sorted(maps.Keys(got[side].rows))...)
		}
		if real, fake := got[0].String(), got[1].String(); real != fake {
			p.differ++
			p.t.Errorf("%s %s, page %d:\ncrmbridge    %s\nmessagestest %s", subject, body, page, real, fake)
			return
		}
		p.codes[got[0].code]++
		if len(got[0].rows) > 0 {
			p.withRows++
		}
		for id, row := range got[0].rows {
			if other, there := got[1].rows[id]; there && other != row {
				p.differ++
				p.t.Errorf("%s %s:\ncrmbridge    %s\nmessagestest %s", subject, body, row, other)
				return
			}
		}
		if page == 2 {
			p.paged++
		}
		if got[0].cursor == "" || strings.HasSuffix(in.op, ".changes") && got[0].last {
			break
		}
	}
	for side := range ids {
		slices.Sort(ids[side])
	}
	if whole := cursors[0] == "" && in.body["limit"] == nil; whole && !slices.Equal(ids[0], ids[1]) {
		p.t.Errorf("%s %s: crmbridge brings %d rows, messagestest %d", subject, body, len(ids[0]), len(ids[1]))
	}
}

// A parityAnswer is what is the same on both sides.
type parityAnswer struct {
	code, paths, message string
	retryable, last      bool
	messages, total      int
	counted              string
	sizes                []int
	numbers              []string // Crm-Page and Crm-Last of each message
	cursor               string
	rows                 map[string]string // by id
}

func (a parityAnswer) String() string {
	return fmt.Sprintf("%q at %s (%s), retryable %v, last %v, %d messages of %v rows, numbered %v, total %d, %s, a cursor: %v",
		a.code, a.paths, a.message, a.retryable, a.last, a.messages, a.sizes, a.numbers, a.total, a.counted,
		a.cursor != "")
}

// ask sends one request and reads its answer, all messages of a stream.
func (p *parity) ask(nc *nats.Conn, subject string, header nats.Header, body []byte) (a parityAnswer) {
	p.t.Helper()
	inbox, err := nc.SubscribeSync(nats.NewInbox())
	must(err)
	defer func() { must(inbox.Unsubscribe()) }()
	must(nc.PublishMsg(&nats.Msg{Subject: subject, Reply: inbox.Subject, Header: header, Data: body}))
	a.rows = map[string]string{}
	for {
		msg, err := inbox.NextMsg(time.Minute)
		if err != nil {
			p.t.Fatalf("%s %s: %v", subject, body, err)
		}
		id := msg.Header.Get(messages.HeaderRequestID)
		if sent := header.Get(messages.HeaderRequestID); sent != id && messages.ValidRequestID(sent) || id == "" {
			p.t.Errorf("%s is answered with the request id %q", subject, id)
		}
		a.read(msg)
		if number := msg.Header.Get(messages.HeaderPage); number == "" ||
			msg.Header.Get(messages.HeaderLast) == "true" {
			return a
		}
	}
}

func (a *parityAnswer) read(msg *nats.Msg) {
	a.messages++
	a.numbers = append(a.numbers, msg.Header.Get(messages.HeaderPage)+msg.Header.Get(messages.HeaderLast))
	a.code = msg.Header.Get(messages.HeaderErrorCode)
	var reply struct {
		Connection jsontext.Value
		Accounts   []map[string]jsontext.Value
		Account    map[string]jsontext.Value
		Count      *int64
		Total      *int64
		NextCursor string `json:"next_cursor"`
		HasMore    *bool  `json:"has_more"`
		Fields     []jsontext.Value
		Checks     []messages.PermissionCheck
		Error      *messages.Error
	}
	must(json.Unmarshal(msg.Data, &reply, json.MatchCaseInsensitiveNames(true)))
	if fault := reply.Error; fault != nil {
		a.retryable = fault.Retryable
		for _, detail := range fault.Details {
			a.paths += detail.Path + " "
		}
		if fault.Code == messages.InvalidRequest {
			a.message = fault.Message
		}
	}
	if a.cursor = reply.NextCursor; reply.HasMore != nil {
		a.last = !*reply.HasMore
	}
	if reply.Total != nil {
		a.total = int(*reply.Total)
	}
	if reply.Count != nil {
		a.counted = fmt.Sprint(*reply.Count)
	}
	for _, field := range reply.Fields {
		must(field.Canonicalize())
		a.counted += string(field) + "\n"
	}
	for _, check := range reply.Checks {
		a.counted += fmt.Sprint(check.Name, check.OK, check.Depth, " ")
	}
	if reply.Account != nil {
		reply.Accounts = append(reply.Accounts, reply.Account)
	}
	a.sizes = append(a.sizes, len(reply.Accounts))
	for i, row := range reply.Accounts {
		id := string(row["id"])
		if id == "" {
			id = fmt.Sprint(i)
		}
		text, err := json.Marshal(row, json.Deterministic(true))
		must(err)
		a.rows[id] = string(text)
	}
}

// job has both sides run the same job, and reads its results.
func (p *parity) job(id string) {
	in := p.request()
	for !strings.HasPrefix(in.op, "accounts.") || in.body["mode"] == "stream" {
		in = p.request()
	}
	if p.rng.IntN(3) == 0 {
		p.spoil(in.body)
	}
	if in.body["parallel"] = false; p.rng.IntN(4) == 0 {
		in.body["encoding"] = "gzip"
	}
	body, err := json.Marshal(in.body)
	must(err)
	var said, rows [2]string
	for side, nc := range []*nats.Conn{p.real, p.fake} {
		newRequester(p.t, nc).job(in.op, id, string(body))
		client, all := messages.NewClient(nc), map[string]bool{}
		var sizes []int
		var ended error
		for result, err := range client.Jobs().Results(p.t.Context(), "acme", id, messages.ResultsOptions{}) {
			if ended = err; err != nil {
				break
			}
			a := parityAnswer{rows: map[string]string{}}
			a.read(&nats.Msg{Data: result.Body})
			for _, row := range a.rows {
				all[row] = true
			}
			sizes = append(sizes, len(a.rows))
		}
		job, err := client.Jobs().Get(p.t.Context(), "acme", id)
		if err != nil {
			p.t.Fatal(err)
		}
		said[side] = fmt.Sprintf("%s, %d pages, %d rows in %v, %v", job.State, job.Pages, job.Rows, sizes, ended)
		rows[side] = strings.Join(slices.Sorted(maps.Keys(all)), "\n")
		p.codes[string(codeOfJob(job))]++
	}
	if said[0] != said[1] {
		p.t.Errorf("job %s %s:\ncrmbridge    %s\nmessagestest %s", in.op, body, said[0], said[1])
	}
	if in.body["limit"] == nil && rows[0] != rows[1] {
		p.t.Errorf("job %s %s: the rows differ", in.op, body)
	}
}

// codeOfJob is the code of a job's error, "" for none.
func codeOfJob(job *messages.Job) messages.Code {
	if job.Error == nil {
		return ""
	}
	return job.Error.Code
}

// request is a request that can be answered.
func (p *parity) request() parityRequest {
	in := parityRequest{op: "accounts.search", body: map[string]any{}}
	with := func(name string, in10 int, value any) {
		if p.rng.IntN(10) < in10 {
			in.body[name] = value
		}
	}
	fields := []string{"id"}
	for range p.rng.IntN(6) {
		if c := one(p.rng, p.trees.o.table.columns); !slices.Contains(fields, c.names[0]) {
			fields = append(fields, c.names[0])
		}
	}
	switch p.rng.IntN(10) {
	case 0:
		in.op = "accounts.count"
		in.body["where"] = p.trees.tree()
	case 1:
		in.op = "accounts.get"
		in.body["account_id"] = one(p.rng, p.trees.o.rows).id
		with("account_id", 2, "11111111-2222-3333-4444-555555555555")
		with("fields", 5, fields)
	case 2:
		in.op = "accounts.changes"
		with("page_size", 9, 20+p.rng.IntN(200))
		with("fields", 5, fields)
	case 3:
		in.op = one(p.rng, []string{"accounts.fields", "contacts.count", "users.whoami", "connections.get",
			"connections.check",
			"connections.limits", "jobs.get", "jobs.results", "jobs.cancel", "jobs.delete", "jobs.retry", "jobs.list"})
		switch {
		case in.op == "contacts.count":
			in.body["where"] = messages.Leaf("email", messages.Eq, "nobody@nowhere.example")
		case strings.HasPrefix(in.op, "jobs.") && in.op != "jobs.list":
			in.body["job_id"] = "nothing"
			if in.op == "jobs.results" {
				in.body["page"] = 1
			}
		case in.op == "accounts.fields":
			with("custom_only", 5, true)
		}
	default:
		with("where", 7, p.trees.tree())
		with("fields", 8, fields)
		with("order_by", 4, []string{one(p.rng, []string{"name", "-name", "employees", "-revenue", "created_at",
			"-industry"}), "-city"})
		with("page_size", 7, 10+p.rng.IntN(100))
		with("limit", 2, 1+p.rng.IntN(60))
		with("include_total", 3, true)
		with("mode", 4, one(p.rng, []string{"stream", "page"}))
	}
	return in
}

// spoil makes a request worse, in one place.
func (p *parity) spoil(body map[string]any) {
	values := []any{nil, true, -1, 0, 1.5, 5001, "", "x", []any{}, []any{1}, []any{"name", "name"}, map[string]any{},
		"AAAA",
		[]any{"*"}, []any{"nmae"}, []any{"-name", "name"}, "all", strings.Repeat("x", 70_000)}
	names := []string{"where", "fields", "order_by", "page_size", "limit", "include_total", "mode", "cursor",
		"connection",
		"account_id", "job_id", "page", "wher", "custom_only"}
	if where, there := body["where"].(messages.Where); there && p.rng.IntN(2) == 0 {
		body["where"] = p.worse(where)
		return
	}
	body[one(p.rng, names)] = one(p.rng, values)
}

// worse is a filter with one of its leaves made wrong.
func (p *parity) worse(w messages.Where) messages.Where {
	for _, list := range []*[]messages.Where{&w.And, &w.Or} {
		if len(*list) > 0 {
			*list = slices.Clone(*list)
			at := p.rng.IntN(len(*list))
			(*list)[at] = p.worse((*list)[at])
			return w
		}
	}
	if w.Not != nil {
		return messages.Not(p.worse(*w.Not))
	}
	switch p.rng.IntN(4) {
	case 0:
		w.Field = one(p.rng, []string{"", "nmae", "industri", "Name", "accountid2"})
	case 1:
		w.Op = one(p.rng, append(messages.Ops(), "like", ""))
	case 2:
		w.Value = one(p.rng, []jsontext.Value{jsontext.Value(`null`), jsontext.Value(`""`), jsontext.Value(`[]`),
			jsontext.Value(`1e3`), jsontext.Value(`1.5`), jsontext.Value(`"2024-13-01"`), jsontext.Value(`true`),
			jsontext.Value(`{}`),
			jsontext.Value(`["a",null]`), jsontext.Value(`[3,1]`), jsontext.Value(`"Nothing"`),
			jsontext.Value(`99999999999`),
			jsontext.Value(`"a\u0000b"`), jsontext.Value(`["2024-01-01","2023-01-01"]`), nil})
	default:
		w.And = []messages.Where{}
	}
	return w
}
