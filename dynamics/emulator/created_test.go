package emulator_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

var importHour = time.Date(2024, 1, 1, 8, 0, 0, 0, time.UTC)

// shares are how many rows were created within the hour, within its first second and never, and how many there are.
func shares(rows emulator.TableControl) (hour, second, never, all int) {
	for row := range rows.Rows() {
		at, ok := row["createdon"].(time.Time)
		switch all++; {
		case !ok:
			never++
		case at.Equal(importHour):
			second++
			hour++
		case at.After(importHour) && at.Before(importHour.Add(time.Hour)):
			hour++
		}
		if changed := row["modifiedon"].(time.Time); ok && changed.Before(at) {
			panic(fmt.Sprint("modified at ", changed, " and created at ", at))
		}
	}
	return hour, second, never, all
}

func near(n, of, percent int) bool { return n*100 > of*(percent-4) && n*100 < of*(percent+4) }

// A part of the rows was created as the options say; everything else about them is as without.
func TestWhenRowsWereCreated(t *testing.T) {
	list := []emulator.Created{{Percent: 40, From: importHour, Span: time.Hour}, {Percent: 30, From: importHour},
		{Percent: 10, Null: true}}
	plain := start(t, emulator.Options{Accounts: 2000, Contacts: 2000})
	g := start(t, emulator.Options{Accounts: 2000, Contacts: 2000, Created: list})
	for _, set := range []string{"accounts", "contacts", "leads"} {
		hour, second, never, all := shares(g.s.Control().Table(set))
		if all < 1000 || !near(hour, all, 70) || !near(second, all, 30) || !near(never, all, 10) {
			t.Errorf("%s: %d in the hour, %d in the second, %d never, of %d", set, hour, second, never, all)
		}
		if hour, _, never, _ := shares(plain.s.Control().Table(set)); hour > 2 || never > 0 {
			t.Errorf("%s of a plain server: %d in the hour, %d never", set, hour, never)
		}
	}
	before := slices.Collect(plain.s.Control().Accounts())
	for i, a := range slices.Collect(g.s.Control().Accounts()) {
		a.CreatedOn, a.ModifiedOn = before[i].CreatedOn, before[i].ModifiedOn
		if fmt.Sprintf("%+v", a)[:200] != fmt.Sprintf("%+v", before[i])[:200] || a.Name != before[i].Name ||
			a.OwnerID != before[i].OwnerID {
			t.Fatalf("row %d is another: %+v", i, a)
		}
	}
}

func TestWhatIsWrongWithCreated(t *testing.T) {
	for name, list := range map[string][]emulator.Created{
		"no percent":      {{From: importHour}},
		"too many":        {{Percent: 60, From: importHour}, {Percent: 60, Null: true}},
		"no time":         {{Percent: 10}},
		"null and a time": {{Percent: 10, Null: true, From: importHour}},
		"negative":        {{Percent: 10, From: importHour, Span: -1}},
		"too long":        {{Percent: 10, From: importHour, Span: 200 * 365 * 24 * time.Hour}},
	} {
		if _, err := emulator.New(emulator.Options{Created: list}); err == nil {
			t.Errorf("%s: accepted", name)
		}
		g := start(t, emulator.Options{Accounts: 1})
		if err := g.s.Control().Table("accounts").SpreadCreated(list); err == nil {
			t.Errorf("%s: accepted by a control", name)
		}
	}
}

// Rows are created at other times while programs run: all, one, and one that comes with an earlier time.
func TestCreatedOverHTTP(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 2000})
	tok, accounts := g.signIn("").AccessToken, g.s.Control().Table("accounts")
	tracked := g.do("GET", "/api/data/v9.2/accounts?$select=name", tok, nil, "Prefer", "odata.track-changes")
	var first struct {
		Delta string `json:"@odata.deltaLink"`
	}
	if err := json.Unmarshal([]byte(tracked.body), &first); err != nil || first.Delta == "" {
		t.Fatal(err, tracked.body[:200])
	}
	changed := func(least, most int, when string) {
		t.Helper()
		r := g.do("GET", first.Delta, tok, nil)
		if n := strings.Count(r.body, `"@odata.etag"`); r.status != 200 || n < least || n > most {
			t.Errorf("%s: %d, %d changes, want %d to %d", when, r.status, n, least, most)
		}
	}
	do := func(path, body string, want int) {
		t.Helper()
		if r := g.do("POST", "/_emulator/"+path, "", strings.NewReader(body)); r.status != want || r.status == 400 &&
			!strings.Contains(r.body, `"error":"`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	var id string
	for row := range accounts.Rows() {
		id = row["accountid"].(string)
		break
	}
	do("created?id="+id+"&at=2001-02-03T04:05:06Z", "", 200)
	changed(1, 1, "one was rewritten")
	if r := g.api(tok, "accounts("+id+")?$select=createdon"); !strings.Contains(r.body,
		`"createdon":"2001-02-03T04:05:06Z"`) {
		t.Error(r.body)
	}
	do("created?id="+id+"&off=1", "", 200)
	if r := g.api(tok, "accounts("+id+")?$select=createdon"); !strings.Contains(r.body, `"createdon":null`) {
		t.Error(r.body)
	}
	do("created", `[{"percent":70,"from":"2024-01-01T08:00:00Z","span":"1h"}]`, 200)
	hour, _, _, all := shares(accounts)
	if !near(hour, all, 70) || all != 2000 {
		t.Errorf("%d of %d in the hour", hour, all)
	}
	changed(hour, hour+1, "many were rewritten")
	do("row", `{"name":"earlier","createdon":"1999-01-01T00:00:00Z"}`, 200)
	if r := g.api(tok, "accounts?$select=name,createdon&$orderby=createdon&$filter="+
		url.QueryEscape("createdon ne null")+"&$top=1"); !strings.Contains(r.body,
		`"name":"earlier","createdon":"1999-01-01T00:00:00Z"`) {
		t.Error(r.body)
	}
	for path, body := range map[string]string{"created": "{}", "created?table=nix": "[]", "created?table=roles": "[]",
		"created?id=" + id:                     "",
		"created?id=x&at=2001-02-03T04:05:06Z": "", "created?id=" + id + "&at=2001-02-03": "",
		"created?table=leads": `[{"percent":101,"null":true}]`} {
		do(path, body, 400)
	}
}

func TestRecordCountAndHintOverHTTP(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 37})
	tok := g.signIn("").AccessToken
	do := func(path string, want int) {
		t.Helper()
		if r := g.do("POST", "/_emulator/"+path, "", nil); r.status != want {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	told := func(count, hint string) {
		t.Helper()
		r := g.api(tok, "RetrieveTotalRecordCount(EntityNames=['account','lead'])")
		if !strings.Contains(r.body, `"Values":[`+count+`,18]`) || r.header.Get("x-ms-dop-hint") != hint {
			t.Errorf("%s with hint %q; want %s and %q", r.body, r.header.Get("x-ms-dop-hint"), count, hint)
		}
	}
	told("37", "4")
	do("record-count?count=9223372036854775807", 200)
	do("dop-hint?value=8", 200)
	told("9223372036854775807", "8")
	if r := g.api(tok, "nix"); r.status != 404 || r.header.Get("x-ms-dop-hint") != "8" {
		t.Errorf("a refusal: %d, hint %q", r.status, r.header.Get("x-ms-dop-hint"))
	}
	do("record-count?count=0&table=accounts", 200)
	do("dop-hint?off=1", 200)
	told("0", "")
	do("record-count?off=1", 200)
	told("37", "")
	for _, path := range []string{"record-count", "record-count?count=-1", "record-count?count=1&table=nix",
		"record-count?count=1.5",
		"dop-hint", "dop-hint?value=0", "dop-hint?value=x", "dop-hint?value=1001"} {
		do(path, 400)
	}
	for hint, want := range map[int]string{16: "16", -1: "", 0: "4"} {
		g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, ParallelHint: hint})
		if r := g.api(g.signIn("").AccessToken, "WhoAmI"); r.header.Get("x-ms-dop-hint") != want {
			t.Errorf("option %d: %q", hint, r.header.Get("x-ms-dop-hint"))
		}
	}
}

// Ranges of createdon that adjoin hold every row once, page by page, also where a third of the rows
// is of one second; and rows that stay as they are come once whatever becomes of others meanwhile.
func TestRangesOfCreatedHoldEveryRowOnce(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 3000, Created: []emulator.Created{
		{Percent: 30, From: importHour}, {Percent: 40, From: importHour, Span: time.Hour}, {Percent: 3, Null: true}}})
	tok, c := g.signIn("").AccessToken, g.s.Control()
	at := func(d time.Duration) string { return importHour.Add(d).Format(time.RFC3339) }
	ranges := []string{"createdon eq null", "createdon lt " + at(-8760*time.Hour),
		"createdon ge " + at(-8760*time.Hour) + " and createdon lt " + at(0),
		"createdon ge " + at(0) + " and createdon lt " + at(time.Second),
		"createdon ge " + at(time.Second) + " and createdon lt " + at(10*time.Minute),
		"createdon ge " + at(10*time.Minute) + " and createdon lt " + at(time.Hour), "createdon ge " + at(time.Hour)}
	for _, disturbed := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(3, 4))
		want, gone := map[string]bool{}, map[string]bool{}
		var rows []emulator.Account
		for a := range c.Accounts() {
			want[a.ID] = true
			rows = append(rows, a)
		}
		seen := map[string]int{}
		links := make([]string, len(ranges))
		for i, text := range ranges {
			links[i] = "/api/data/v9.2/accounts?$select=createdon&$orderby=createdon,accountid&$filter=" +
				url.QueryEscape("("+text+")")
		}
		for open := len(links); open > 0; {
			i := rng.IntN(len(links))
			if links[i] == "" {
				continue
			}
			if disturbed {
				a := rows[rng.IntN(len(rows))]
				gone[a.ID] = true
				switch rng.IntN(3) {
				case 0:
					c.Table("accounts").SetCreated(a.ID, importHour.Add(time.Duration(rng.IntN(4000))*time.Second))
				case 1:
					c.DeleteAccount(a.ID)
				case 2:
					c.PutAccount(emulator.Account{Name: "earlier", CreatedOn: importHour})
				}
			}
			p := g.page(tok, links[i], 1+rng.IntN(150))
			for _, row := range p.Value {
				seen[row.AccountID]++
			}
			if links[i] = p.NextLink; p.NextLink == "" {
				open--
			}
		}
		for id := range want {
			if n := seen[id]; n != 1 && !gone[id] {
				t.Fatalf("disturbed %v: row %s came %d times", disturbed, id, n)
			}
		}
		if !disturbed && len(seen) != len(want) {
			t.Errorf("%d rows of %d", len(seen), len(want))
		}
	}
}

// One fault is of several kinds by chance, and requests that are answered whole are counted.
func TestFaultsOfSeveralKinds(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 3})
	tok := g.signIn("").AccessToken
	run := func() (statuses string) {
		g.s.Control().Clear()
		g.s.Control().ResetCounts()
		if r := g.do("POST", "/_emulator/fail", "",
			strings.NewReader(`{"route":"accounts","probability":0.5,"seed":3,"retry_after":2,"kinds":["throttle","error","gateway","unavailable"]}`)); r.status != 200 {
			t.Fatal(r.body)
		}
		for range 100 {
			r := g.api(tok, "accounts?$top=1&$select=name")
			statuses += fmt.Sprint(r.status, " ")
			if r.status == 429 && r.header.Get("Retry-After") != "2" {
				t.Error("429 without the wait")
			}
		}
		return statuses
	}
	one := run()
	for _, status := range []string{"200", "429", "500", "502", "503"} {
		if strings.Count(one, status) < 5 {
			t.Errorf("status %s came %d times", status, strings.Count(one, status))
		}
	}
	n := g.s.Control().Counts()
	if n.Data["accounts"] != 100 || n.Answered["accounts"] != strings.Count(one, "200") ||
		n.Faults != 100-n.Answered["accounts"] {
		t.Errorf("%+v", n)
	}
	if again := run(); again != one {
		t.Error("the same seed strikes otherwise")
	}
	for _, text := range []string{`{"kinds":["nix"]}`, `{"kind":"error","kinds":["error"]}`,
		`{"where":"token","kinds":["error","bad-cookie"]}`, `{"kinds":[]}`} {
		if _, err := emulator.ParseFault([]byte(text)); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
	g.s.Control().Clear()
	g.s.Control().Fail(emulator.Fault{Kinds: []string{emulator.KindBadCookie}, Probability: 1})
	if r := g.api(tok, "accounts"); r.status != 200 {
		t.Errorf("a first page met the fault of a cookie: %d", r.status)
	}
}
