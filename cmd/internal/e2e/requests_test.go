package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Names that would mean something to a filter, a URL or LIKE find exactly their
// row, or nothing.
func TestHostileNamesFindExactlyTheirRow(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "every hostile name is asked for by every operator")
	w := bridgetest.New(t, emulator.Options{Accounts: 1000})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	rows := map[string]int{}
	for account := range w.Emulator.Control().Accounts() {
		rows[account.Name]++
	}
	names := []string{`O'Brien & Söhne 100% "GmbH"`, `50_50 [x]`, `' or 1 eq 1 or name eq '`, `100% GmbH`, `%`, `_`,
		`[a-z]%`,
		`x') or contains(name,'`, `a+b`, `%27%20or%201%20eq%201`, `#$&?/\`, "🚀", "Иванов", "東京", "שלום"}
	for name := range rows {
		if strings.ContainsAny(name, `'"%_[]&+#\/`) || strings.ContainsFunc(name, func(r rune) bool { return r > 0x2000 }) {
			names = append(names, name)
		}
	}
	t.Logf("%d names", len(names))
	for n, name := range names {
		for o, op := range []messages.Op{messages.Eq, messages.Contains, messages.StartsWith, messages.EndsWith} {
			if raceDetector && (n+o)%4 != 0 { // what takes four times as long shows it no other code
				continue
			}
			where := messages.Leaf("name", op, name)
			got := 0
			for page, err := range client.Accounts().Pages(t.Context(), messages.SearchRequest{
				Target: messages.Target{Connection: "acme"}, Where: &where, Fields: []string{"name"}, PageSize: 5000}) {
				if err != nil {
					t.Fatalf("%s %q: %v", op, name, err)
				}
				got += len(page.Rows)
			}
			if want := matching(rows, op, name); got != want {
				t.Errorf("%s %q: %d rows, want %d", op, name, got, want)
			}
		}
	}
}

// matching counts the rows that a literal comparison without case finds.
func matching(rows map[string]int, op messages.Op, value string) int {
	n := 0
	value = strings.ToLower(value)
	for name, times := range rows {
		name = strings.ToLower(name)
		if op == messages.Eq && name == value || op == messages.Contains && strings.Contains(name, value) ||
			op == messages.StartsWith && strings.HasPrefix(name, value) || op == messages.EndsWith &&
			strings.HasSuffix(name, value) {
			n += times
		}
	}
	return n
}

func TestReplySubjects(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	settings := w.Settings(true)
	b := w.Bridge(settings, nil)
	_ = b
	w.Connect("acme")
	_, nc := w.Client()
	request := func(reply string) {
		t.Helper()
		if err := nc.PublishRequest(messages.Accounts.Operation(messages.VerbSearch).ScopedSubject("acme"), reply, []byte(`{"page_size":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("allowed", func(t *testing.T) {
		sub, err := nc.SubscribeSync("campaigns.replies.spring")
		if err != nil {
			t.Fatal(err)
		}
		request("campaigns.replies.spring")
		msg, err := sub.NextMsg(time.Minute)
		if err != nil || !strings.Contains(string(msg.Data), `"accounts":[{`) {
			t.Fatalf("%v %s", err, msg.Data)
		}
	})
	refused := []string{"", "crm.events.connections.deleted.other", "crm.accounts.search.request.other",
		"$JS.API.STREAM.DELETE.X",
		"$SYS.x", "other.replies.x", "crm.x", "campaigns.replies", "_INBOX"}
	all, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range refused {
		if reply == "" {
			if err := nc.Publish(messages.Accounts.Operation(messages.VerbSearch).ScopedSubject("acme"), []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		request(reply)
	}
	bridgetest.Await(t, "the count of refused replies", func() error {
		return metric(settings.AdminAddr, fmt.Sprintf("crmbridge_requests_refused_total{reason=\"reply_subject\"} %d",
			len(refused)))
	})
	for {
		msg, err := all.NextMsg(200 * time.Millisecond)
		if err != nil {
			break
		}
		for _, reply := range refused {
			if msg.Subject == reply && msg.Reply == "" && !strings.HasSuffix(reply, "request.other") {
				t.Errorf("something was published to %s", reply)
			}
		}
		if strings.HasPrefix(msg.Subject, "crm.accounts.search.request.other") {
			t.Errorf("something was published to %s", msg.Subject)
		}
	}
}

func metric(admin, line string) error {
	response, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var text strings.Builder
	if _, err := fmt.Fprint(&text, readAll(response)); err != nil {
		return err
	}
	if !strings.Contains(text.String(), line+"\n") {
		return fmt.Errorf("no line %q", line)
	}
	return nil
}

// Clients write numbers and times in more than one way; all of them mean the same.
func TestFormsOfOneValueFindTheSame(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 300})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	_, nc := w.Client()
	count := func(leaf string) string {
		t.Helper()
		reply, err := nc.Request("crm.accounts.count.request.acme", []byte(`{"where":`+leaf+`}`), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Count *int64 }
		if json.Unmarshal(reply.Data, &answer) != nil || answer.Count == nil || *answer.Count == 0 || *answer.Count == 300 {
			t.Fatalf("%s: %s", leaf, reply.Data)
		}
		return fmt.Sprint(*answer.Count)
	}
	for field, forms := range map[string][]string{
		`"field":"employees","op":"ge"`:  {`100`, `100.0`, `1e2`, `1000.00E-1`},
		`"field":"industry","op":"in"`:   {`[7,8]`, `[7.0,8]`, `["Consulting",80e-1]`},
		`"field":"created_at","op":"lt"`: {`"2024-01-31"`, `"2024-01-31T00:00:00Z"`, `"2024-01-31t00:00:00.0z"`, `"2024-01-31t02:00:00+02:00"`},
	} {
		want := count(`{` + field + `,"value":` + forms[0] + `}`)
		for _, form := range forms[1:] {
			if got := count(`{` + field + `,"value":` + form + `}`); got != want {
				t.Errorf("%s %s finds %s, %s finds %s", field, forms[0], want, form, got)
			}
		}
	}
}

func TestServicesAPICountsTruly(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20, Latency: 30 * time.Millisecond})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	_, nc := w.Client()
	for i := range 10 {
		body := `{"connection":"acme","page_size":1}`
		if i%2 == 0 {
			body = `{"connection":"acme","where":{"field":"industri","op":"eq","value":"x"}}`
		}
		if _, err := nc.Request(messages.Accounts.Operation(messages.VerbSearch).Subject(), []byte(body), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	var stats micro.Stats
	ask(t, nc, "$SRV.STATS.crmbridge", &stats)
	found := false
	for _, e := range stats.Endpoints {
		if e.Name != "accounts-search" {
			continue
		}
		found = true
		if e.NumRequests != 10 || e.NumErrors != 5 || e.LastError != string(messages.InvalidRequest) {
			t.Errorf("%d requests, %d errors, last %q; want 10, 5, invalid_request", e.NumRequests, e.NumErrors, e.LastError)
		}
		if e.ProcessingTime < 5*30*time.Millisecond {
			t.Errorf("processing time %s, want at least the upstream's", e.ProcessingTime)
		}
	}
	if !found {
		t.Error("no endpoint accounts-search")
	}
	var info micro.Info
	ask(t, nc, "$SRV.INFO.crmbridge."+stats.ID, &info)
	names := map[string]bool{}
	for _, e := range info.Endpoints {
		names[e.Name] = true
		for _, key := range []string{"request_schema", "response_schema"} {
			if !json.Valid([]byte(e.Metadata[key])) {
				t.Errorf("%s: %s is not JSON", e.Name, key)
			}
		}
	}
	for _, entity := range []string{"accounts", "connections", "users"} {
		if !strings.Contains(info.Description, entity) {
			t.Errorf("the description %q does not name %s", info.Description, entity)
		}
	}
	for _, name := range []string{"accounts-search", "accounts-search-scoped", "connections-authorize", "users-get-scoped"} {
		if !names[name] {
			t.Errorf("no endpoint %s", name)
		}
	}
	var ping micro.Ping
	ask(t, nc, "$SRV.PING", &ping)
	if ping.Type != micro.PingResponseType || ping.Name != "crmbridge" {
		t.Errorf("ping: %+v", ping)
	}
}

func ask(t *testing.T, nc *nats.Conn, subject string, into any) {
	t.Helper()
	msg, err := nc.Request(subject, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(msg.Data, into); err != nil {
		t.Fatal(err)
	}
}

// Bad requests get one error each that names the place and never repeats a value.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	_, nc := w.Client()
	const canary = "canary-value-7719"
	for _, c := range []struct {
		name, subject, body string
		header              [2]string
		code                messages.Code
		says                string
	}{
		{"not JSON", "crm.accounts.search.request", `{"connection":`, [2]string{}, messages.InvalidRequest, "ends in the middle"},
		{"no object", "crm.accounts.search.request", `[]`, [2]string{}, messages.InvalidRequest, "not a JSON object"},
		{"no connection", "crm.accounts.search.request", `{}`, [2]string{}, messages.InvalidRequest, "connection: is missing"},
		{"another connection", "crm.accounts.search.request.acme", `{"connection":"globex"}`, [2]string{}, messages.InvalidRequest, "another connection"},
		{"unknown connection", "crm.accounts.search.request.nobody", `{}`, [2]string{}, messages.ConnectionNotFound, "nobody"},
		{"unknown member", "crm.accounts.search.request.acme", `{"pagesize":5}`, [2]string{}, messages.InvalidRequest, "did you mean page_size"},
		{"unknown nested member", "crm.accounts.search.request.acme", `{"where":{"and":[{"field":"name","op":"eq","val":"` + canary + `"}]}}`, [2]string{}, messages.InvalidRequest, "where.and[0].val"},
		{"unknown field", "crm.accounts.search.request.acme", `{"where":{"field":"industri","op":"eq","value":"` + canary + `"}}`, [2]string{}, messages.InvalidRequest, "industry"},
		{"unknown label", "crm.accounts.search.request.acme", `{"where":{"field":"industry","op":"eq","value":"` + canary + `"}}`, [2]string{}, messages.InvalidRequest, "lists its 33 options, such as 1 Accounting"},
		{"wrong type", "crm.accounts.search.request.acme", `{"where":{"field":"employees","op":"gt","value":"` + canary + `"}}`, [2]string{}, messages.InvalidRequest, "must be a number"},
		{"wrong operator", "crm.accounts.search.request.acme", `{"where":{"field":"name","op":"lt","value":"` + canary + `"}}`, [2]string{}, messages.InvalidRequest, "where.op"},
		{"null value", "crm.accounts.search.request.acme", `{"where":{"field":"name","op":"eq","value":null}}`, [2]string{}, messages.InvalidRequest, "use is_null"},
		{"empty text", "crm.accounts.search.request.acme", `{"where":{"field":"name","op":"eq","value":""}}`, [2]string{}, messages.InvalidRequest, "use is_null"},
		{"empty list", "crm.accounts.search.request.acme", `{"where":{"field":"name","op":"in","value":[]}}`, [2]string{}, messages.InvalidRequest, "use is_null"},
		{"null in a list", "crm.accounts.search.request.acme", `{"where":{"field":"name","op":"in","value":["` + canary + `",null]}}`, [2]string{}, messages.InvalidRequest, "where.value[1]: is null; to find accounts without a value use is_null"},
		{"empty text in a list", "crm.accounts.search.request.acme", `{"where":{"field":"name","op":"not_in","value":[""]}}`, [2]string{}, messages.InvalidRequest, "where.value[0]: is empty; to find accounts without a value use is_null"},
		{"null among numbers", "crm.accounts.search.request.acme", `{"where":{"field":"employees","op":"between","value":[null,7719]}}`, [2]string{}, messages.InvalidRequest, "where.value[0]: is null; to find accounts without a value use is_null"},
		{"empty text for a choice", "crm.accounts.search.request.acme", `{"where":{"not":{"field":"industry","op":"in","value":[7,""]}}}`, [2]string{}, messages.InvalidRequest, "where.not.value[1]: is empty; to find accounts without a value use is_null"},
		{"empty text for a number", "crm.accounts.search.request.acme", `{"where":{"field":"employees","op":"eq","value":""}}`, [2]string{}, messages.InvalidRequest, "use is_null"},
		{"bad date", "crm.accounts.search.request.acme", `{"where":{"field":"created_at","op":"gt","value":"` + canary + `"}}`, [2]string{}, messages.InvalidRequest, "where.value"},
		{"comma in a time", "crm.accounts.search.request.acme", `{"where":{"field":"created_at","op":"gt","value":"2024-01-31T09:30:00,5Z"}}`, [2]string{}, messages.InvalidRequest, "where.value"},
		{"bounds the wrong way round", "crm.accounts.search.request.acme", `{"where":{"field":"created_at","op":"between","value":["2024-02-01t00:00:00z","2024-01-31"]}}`, [2]string{}, messages.InvalidRequest, "the first value of between is above the second"},
		{"fraction of a choice", "crm.accounts.search.request.acme", `{"where":{"field":"industry","op":"eq","value":7.5}}`, [2]string{}, messages.InvalidRequest, "a value is not a whole number"},
		{"fraction", "crm.accounts.search.request.acme", `{"where":{"field":"employees","op":"gt","value":1.5}}`, [2]string{}, messages.InvalidRequest, "where.value"},
		{"page size", "crm.accounts.search.request.acme", `{"page_size":5001}`, [2]string{}, messages.InvalidRequest, "page_size"},
		{"star", "crm.accounts.search.request.acme", `{"fields":["*"]}`, [2]string{}, messages.InvalidRequest, "fields[0]"},
		{"mode", "crm.accounts.search.request.acme", `{"mode":"all"}`, [2]string{}, messages.InvalidRequest, "mode"},
		{"request id", "crm.accounts.search.request.acme", `{}`, [2]string{messages.HeaderRequestID, "a b"}, messages.InvalidRequest, messages.HeaderRequestID},
		{"deadline", "crm.accounts.search.request.acme", `{}`, [2]string{messages.HeaderDeadline, "tomorrow"}, messages.InvalidRequest, messages.HeaderDeadline},
		{"comma in the deadline", "crm.accounts.search.request.acme", `{}`, [2]string{messages.HeaderDeadline, "2020-01-01T00:00:00,5Z"}, messages.InvalidRequest, messages.HeaderDeadline},
		{"past deadline in lower case", "crm.accounts.search.request.acme", `{}`, [2]string{messages.HeaderDeadline, "2020-01-01t00:00:00z"}, messages.DeadlineExceeded, ""},
		{"past deadline", "crm.accounts.search.request.acme", `{}`, [2]string{messages.HeaderDeadline, "2020-01-01T00:00:00Z"}, messages.DeadlineExceeded, ""},
		{"count of an unknown field", "crm.accounts.count.request.acme", `{"where":{"field":"industri","op":"eq","value":"` + canary + `"}}`, [2]string{}, messages.InvalidRequest, "industry"},
		{"count of an empty tree", "crm.accounts.count.request.acme", `{"where":{"and":[]}}`, [2]string{}, messages.InvalidRequest, "where.and"},
		{"count of a page", "crm.accounts.count.request.acme", `{"page_size":5}`, [2]string{}, messages.InvalidRequest, "page_size"},
		{"account id", "crm.accounts.get.request.acme", `{"account_id":"` + canary + `"}`, [2]string{}, messages.InvalidRequest, "account_id"},
		{"no account", "crm.accounts.get.request.acme", `{"account_id":"00000000-0000-0000-0000-00000000dead"}`, [2]string{}, messages.NotFound, ""},
		{"user twice", "crm.users.get.request.acme", `{"user_id":"x","email":"` + canary + `"}`, [2]string{}, messages.InvalidRequest, "email"},
		{"no user", "crm.users.get.request.acme", `{"email":"` + canary + `@example.com"}`, [2]string{}, messages.NotFound, ""},
		{"completion is off", "crm.connections.complete.request", `{"state":"` + canary + `","code":"` + canary + `"}`, [2]string{}, messages.NotSupported, "BUS_COMPLETION"},
		{"environment", "crm.connections.authorize.request.new", `{"environment_url":"https://` + canary + `.example.com"}`, [2]string{}, messages.InvalidRequest, "environment_url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			msg := nats.NewMsg(c.subject)
			msg.Data = []byte(c.body)
			if c.header[0] != "" {
				msg.Header.Set(c.header[0], c.header[1])
			}
			reply, err := nc.RequestMsg(msg, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			var body messages.ErrorReply
			if err := json.Unmarshal(reply.Data, &body); err != nil || body.Error == nil {
				t.Fatalf("%v: %s", err, reply.Data)
			}
			if body.Error.Code != c.code || !strings.Contains(body.Error.Message, c.says) {
				t.Errorf("got %s %q, want %s with %q", body.Error.Code, body.Error.Message, c.code, c.says)
			}
			if got := reply.Header.Get(messages.HeaderServiceErrorCode); got != fmt.Sprint(c.code.Number()) {
				t.Errorf("number %s, want %d", got, c.code.Number())
			}
			if reply.Header.Get(messages.HeaderErrorCode) != string(c.code) ||
				reply.Header.Get(messages.HeaderServiceError) == "" {
				t.Errorf("headers: %v", reply.Header)
			}
			if body.RequestID == "" || body.RequestID != reply.Header.Get(messages.HeaderRequestID) {
				t.Errorf("request id %q in the body, %q in the header", body.RequestID, reply.Header.Get(messages.HeaderRequestID))
			}
			if strings.Contains(string(reply.Data)+fmt.Sprint(reply.Header), canary) {
				t.Errorf("the answer repeats a value: %s %v", reply.Data, reply.Header)
			}
		})
	}
}

// A column that Dataverse does not know any more is planned again with metadata
// that is read anew, once.
func TestMetadataIsReadAgainWhenDataverseDisagrees(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"cb_externalref"},
		PageSize: 1}
	if _, err := client.Accounts().Search(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	w.Emulator.Control().ResetCounts()
	unknown := emulator.Fault{Route: "accounts", Status: 400,
		Header: map[string]string{"Content-Type": "application/json"},
		Body:   `{"error":{"code":"0x80060888","message":"Could not find a property named 'cb_externalref' on type 'Microsoft.Dynamics.CRM.account'."}}`}
	w.Emulator.Control().Fail(unknown)
	if _, err := client.Accounts().Search(t.Context(), in); err != nil {
		t.Errorf("after one refusal: %v", err)
	}
	read := 0
	for route, calls := range w.Emulator.Control().Counts().Data {
		if strings.HasPrefix(route, "EntityDefinitions") {
			read += calls
		}
	}
	if read == 0 {
		t.Error("the metadata was not read again")
	}
	w.Emulator.Control().Fail(emulator.Fault{Route: "accounts", Status: 400, Header: unknown.Header,
		Body: strings.Replace(unknown.Body, "cb_externalref", "name", 1)})
	where := messages.Leaf("name", messages.NotNull, nil)
	if n, err := client.Accounts().Count(t.Context(), messages.CountRequest{Target: in.Target, Where: &where}); err != nil || n != 20 {
		t.Errorf("a count after one refusal: %d, %v", n, err)
	}
	unknown.Times = 2
	w.Emulator.Control().Fail(unknown)
	_, err := client.Accounts().Search(t.Context(), in)
	wantCode(t, err, messages.InvalidRequest)
}
