package dynamics_test

import (
	"encoding/json"
	"iter"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// emulated opens a session of the emulator's application user.
func emulated(t *testing.T, accounts int) (*emulator.Server, *dynamics.Client, *dynamics.Session, string) {
	t.Helper()
	return emulatedWith(t, emulator.Options{Accounts: accounts})
}

func emulatedWith(t *testing.T, options emulator.Options) (*emulator.Server, *dynamics.Client, *dynamics.Session,
	string) {
	t.Helper()
	server, err := emulator.New(options)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	resp, err := web.Client().PostForm(web.URL+"/"+emulator.DefaultTenantID+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {emulator.DefaultClientID}, "client_secret": {emulator.DefaultClientSecret}, "scope": {web.URL + "/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var grant struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil || grant.Token == "" {
		t.Fatalf("no token: %v %v", resp.Status, err)
	}
	hosts := policy(t, web.URL, true, strings.TrimPrefix(web.URL, "http://"))
	source := &tokens{access: dynamics.Access{Tables: told, Environment: web.URL, Incarnation: "1",
		Token: dynamics.NewSecret(grant.Token)}}
	client, err := dynamics.New(dynamics.Config{Tokens: source, Hosts: hosts, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	session, err := client.Open(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	return server, client, session, grant.Token
}

// ids reads all pages of a query.
func ids(t *testing.T, s *dynamics.Session, q dynamics.Query) map[string]int {
	t.Helper()
	found := map[string]int{}
	page, err := firstPage(t.Context(), s, q)
	for {
		if err != nil {
			t.Fatalf("%+v: %v", q.Filter, err)
		}
		for i := range page.Len() {
			found[page.ID(i)]++
		}
		if page.NextLink() == "" {
			return found
		}
		page, err = nextPage(t.Context(), s, q, page.NextLink())
	}
}

func count[T any](seq iter.Seq[T], match func(T) bool) (n int) {
	for v := range seq {
		if match(v) {
			n++
		}
	}
	return n
}

func TestEmulatedIdentity(t *testing.T) {
	_, client, s, token := emulated(t, 10)
	challenge, err := client.Challenge(t.Context(), s.Environment())
	if err != nil || challenge.Tenant != emulator.DefaultTenantID {
		t.Errorf("%+v, %v", challenge, err)
	}
	who, err := s.WhoAmI(t.Context())
	again, err2 := client.Identify(t.Context(), s.Environment(), token)
	if err != nil || err2 != nil || who != again || who.UserID == "" {
		t.Errorf("%+v %+v, %v %v", who, again, err, err2)
	}
	_, err = client.Identify(t.Context(), s.Environment(), "nonsense")
	kind(t, err, dynamics.Unauthorized)
	people, err := s.UsersByEmail(t.Context(), strings.ToUpper(emulator.DefaultUser))
	if err != nil || len(people) != 1 {
		t.Fatalf("%+v, %v", people, err)
	}
	user, err := s.User(t.Context(), people[0].ID)
	if err != nil || user.Name != people[0].Name || len(user.Roles) == 0 {
		t.Errorf("%+v, %v", user, err)
	}
	_, err = s.User(t.Context(), someID)
	kind(t, err, dynamics.NotFound)
	_, err = s.Row(t.Context(), accounts, someID, nil)
	kind(t, err, dynamics.NotFound)
	_, err = firstPage(t.Context(), s, dynamics.Query{Select: []dynamics.Output{output("nosuchcolumn", dynamics.Text)}})
	if e := kind(t, err, dynamics.UnknownColumn); e.Column != "nosuchcolumn" {
		t.Errorf("%+v", *e)
	}
}

func TestEmulatedMetadata(t *testing.T) {
	_, _, s, _ := emulated(t, 10)
	columns, err := s.Columns(t.Context(), accounts)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]dynamics.ColumnType{}
	for _, c := range columns {
		types[c.Logical] = c.Type
		if _, err := firstPage(t.Context(), s, dynamics.Query{Select: []dynamics.Output{{Column: c.Column, As: "x"}}}); err != nil && c.Type != dynamics.Unsupported {
			t.Errorf("%s is listed and cannot be asked for: %v", c.Logical, err)
		}
	}
	for logical, want := range map[string]dynamics.ColumnType{"accountid": dynamics.UniqueID, "name": dynamics.Text, "revenue": dynamics.Money, "createdon": dynamics.DateTime,
		"cb_lastcampaign": dynamics.Date, "cb_channels": dynamics.Choices, "industrycode": dynamics.Choice, "statecode": dynamics.Choice, "ownerid": dynamics.Lookup} {
		if types[logical] != want {
			t.Errorf("%s is %v, want %v", logical, types[logical], want)
		}
	}
	for k, logical := range map[dynamics.ColumnKind]string{dynamics.Picklist: "industrycode", dynamics.State: "statecode", dynamics.Status: "statuscode", dynamics.MultiSelect: "cb_channels"} {
		options, err := s.Options(t.Context(), accounts, k)
		if err != nil {
			t.Fatal(err)
		}
		for name, set := range options { // half of them are global choices
			if len(set.Options) == 0 || len(set.Options) != set.Count || set.Options[0].Label == "" {
				t.Errorf("%s: %+v", name, set)
			}
		}
		if options[logical].Count == 0 {
			t.Errorf("%s: no options of %s", k, logical)
		}
	}
}

func TestEmulatedPages(t *testing.T) {
	server, _, s, _ := emulated(t, 2000)
	for _, order := range [][]dynamics.Order{nil, {{Column: industry}}, {{Column: revenue, Desc: true}, {Column: name}}} {
		found := ids(t, s, dynamics.Query{Select: nameOnly.Select, PageSize: 77, OrderBy: order})
		if len(found) != 2000 {
			t.Errorf("order %v: %d accounts", order, len(found))
		}
		for a := range server.Control().Accounts() {
			if found[a.ID] != 1 {
				t.Fatalf("order %v: %s came %d times", order, a.ID, found[a.ID])
			}
		}
	}
}

// TestNotIsTheExactComplement: whatever the operator and with null columns about,
// each row matches a condition or its negation, and never both.
func TestNotIsTheExactComplement(t *testing.T) {
	server, _, s, _ := emulated(t, 600)
	all := count(server.Control().Accounts(), func(emulator.Account) bool { return true })
	tier := column("cb_campaigntier", dynamics.Choice)
	several := column("cb_channels", dynamics.Choices)
	day := column("cb_lastcampaign", dynamics.Date)
	values, err := s.Options(t.Context(), accounts, dynamics.MultiSelect)
	if err != nil {
		t.Fatal(err)
	}
	first := []string{jsonNumber(values["cb_channels"].Options[0].Value)}
	for _, f := range []dynamics.Filter{
		leaf(name, dynamics.Contains, "a"), leaf(name, dynamics.StartsWith, "C"), leaf(name, dynamics.EndsWith, "%"),
		leaf(name, dynamics.In, "a", "b"), leaf(column("websiteurl", dynamics.Text), dynamics.Contains, "e"),
		leaf(staff, dynamics.Lt, "100"), leaf(staff, dynamics.Between, "50", "500"), leaf(staff, dynamics.Eq, "7"),
		leaf(staff, dynamics.IsNull), leaf(revenue, dynamics.Ge, "1000000.50"),
		leaf(industry, dynamics.In, "7", "8", "9"), leaf(tier, dynamics.Ne, "100000000"), leaf(optOut, dynamics.Eq, "true"),
		leaf(several, dynamics.ContainsAny, first...), leaf(several, dynamics.Eq, first...), leaf(several, dynamics.IsNull),
		leaf(day, dynamics.Ge, "2024-01-01"), leaf(created, dynamics.Lt, "2023-06-01T00:00:00Z"),
		leaf(owner, dynamics.Eq, someID),
		and{leaf(staff, dynamics.Gt, "10"), not{leaf(industry, dynamics.Eq, "7")}},
		or{leaf(revenue, dynamics.Lt, "5"), leaf(name, dynamics.NotContains, "e")},
	} {
		yes := ids(t, s, dynamics.Query{Filter: f, PageSize: 5000})
		no := ids(t, s, dynamics.Query{Filter: not{f}, PageSize: 5000})
		for id := range yes {
			if no[id] != 0 {
				t.Errorf("%+v: %s matches both", f, id)
			}
		}
		n, err := s.Count(t.Context(), accounts, f)
		if err != nil || n != int64(len(yes)) || len(yes)+len(no) != all {
			t.Errorf("%+v: %d and %d of %d; count %d, %v", f, len(yes), len(no), all, n, err)
		}
	}
	want := count(server.Control().Accounts(),
		func(a emulator.Account) bool { return a.Industry == nil || *a.Industry != 7 })
	if got := ids(t, s, dynamics.Query{Filter: leaf(industry, dynamics.Ne, "7"), PageSize: 5000}); len(got) != want {
		t.Errorf("ne 7: %d, want %d with those without a value", len(got), want)
	}
}

func jsonNumber(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestHostileNamesFindTheirRow(t *testing.T) {
	server, _, s, _ := emulated(t, 200)
	for _, text := range []string{`O'Brien & Söhne 100% "GmbH"`, `50_50 [x]`, `' or 1 eq 1 or name eq '`, "a+b #1;c=d?", "🚀 Café", "شركة النور", `%27 %2527 \`, "[[a]]^%_"} {
		before := ids(t, s, dynamics.Query{Filter: leaf(name, dynamics.Eq, text)})
		id := server.Control().PutAccount(emulator.Account{Name: text, CreatedOn: time.Unix(1e9, 0),
			ModifiedOn: time.Unix(1e9, 0)})
		for _, op := range []dynamics.Op{dynamics.Eq, dynamics.In, dynamics.Contains, dynamics.StartsWith, dynamics.EndsWith} {
			found := ids(t, s, dynamics.Query{Filter: leaf(name, op, text)})
			exact := op == dynamics.Eq || op == dynamics.In
			if found[id] != 1 || exact && len(found) != len(before)+1 || len(found) > len(before)+5 {
				t.Errorf("%s %q found %v", op, text, found)
			}
		}
		row, err := s.Row(t.Context(), accounts, id, nameOnly.Select)
		var read map[string]string
		if err != nil || json.Unmarshal(row, &read) != nil || read["name"] != text {
			t.Errorf("%q came back as %s, %v", text, row, err)
		}
	}
}

// A list that is too long for comparisons finds the same rows whatever its texts
// hold: brackets and apostrophes do not end it, nor quotation marks behind a backslash.
func TestLongListsHoldAnyText(t *testing.T) {
	server, _, s, _ := emulated(t, -1)
	hostile := []string{"it's", `a[b`, `a]b`, `a"b`, `a\`, `\"`, `"]) or (name ne "`, `'`, `(a){b}`, "tab\there",
		`\u0027`, "é🚀'"}
	want := map[string]bool{}
	for _, text := range hostile {
		want[server.Control().PutAccount(emulator.Account{Name: text, CreatedOn: time.Unix(1e9, 0)})] = true
	}
	many := append(numbers(500-len(hostile)), hostile...)
	found := ids(t, s, dynamics.Query{Filter: and{leaf(name, dynamics.In, many...), leaf(name, dynamics.NotNull)},
		PageSize: 100})
	if len(found) != len(want) {
		t.Errorf("%d rows, want %d", len(found), len(want))
	}
	for id := range want {
		if found[id] != 1 {
			t.Errorf("%s is missing", id)
		}
	}
	other := server.Control().PutAccount(emulator.Account{Name: "other", CreatedOn: time.Unix(1e9, 0)})
	if rest := ids(t, s, dynamics.Query{Filter: leaf(name, dynamics.NotIn, many...), PageSize: 100}); len(rest) != 1 ||
		rest[other] != 1 {
		t.Errorf("not in: %v, want %s", rest, other)
	}
}

func TestTheEmulatorsRecordCountAndParallelHint(t *testing.T) {
	_, _, s, _ := emulated(t, 37)
	n, err := s.RecordCount(t.Context(), accounts)
	if err != nil || n != 37 {
		t.Errorf("%d, %v", n, err)
	}
	page, err := firstPage(t.Context(), s, nameOnly)
	if err != nil || page.ParallelHint() != 4 {
		t.Errorf("%+v, %v", page, err)
	}
}
