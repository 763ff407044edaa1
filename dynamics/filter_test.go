package dynamics_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/crmbridge/crmbridge/dynamics"
)

type (
	and  = dynamics.And
	or   = dynamics.Or
	not  = dynamics.Not
	test = dynamics.Test
)

func leaf(c dynamics.Column, op dynamics.Op, values ...string) test {
	return test{Column: c, Op: op, Values: values}
}

var (
	name     = column("name", dynamics.Text)
	staff    = column("numberofemployees", dynamics.Integer)
	revenue  = column("revenue", dynamics.Money)
	industry = column("industrycode", dynamics.Choice)
	channels = column("new_channels", dynamics.Choices)
	created  = column("createdon", dynamics.DateTime)
	founded  = column("new_founded", dynamics.Date)
	optOut   = column("donotemail", dynamics.Boolean)
	owner    = column("ownerid", dynamics.Lookup)
)

// filterOnTheWire sends f and returns the $filter that a server reads.
func filterOnTheWire(t *testing.T, f dynamics.Filter) string {
	t.Helper()
	r := newRig(t, answer(200, emptyPage))
	if _, err := firstPage(t.Context(), r.open(t), dynamics.Query{Filter: f}); err != nil {
		t.Fatal(err)
	}
	u, err := url.ParseRequestURI(r.uris()[0])
	if err != nil {
		t.Fatal(err)
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(options["$filter"]) != 1 || len(options) != 3 {
		t.Fatalf("options %v, %v", options, err)
	}
	return options.Get("$filter")
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		filter dynamics.Filter
		want   string
	}{
		{leaf(name, dynamics.Eq, "O'Brien"), `name eq 'O''Brien'`},
		{leaf(name, dynamics.Ne, "a"), `(name ne 'a' or name eq null)`},
		{not{leaf(name, dynamics.Eq, "a")}, `(name ne 'a' or name eq null)`},
		{not{leaf(name, dynamics.Ne, "a")}, `name eq 'a'`},
		{leaf(name, dynamics.In, "a", "b"), `(name eq 'a' or name eq 'b')`},
		{leaf(name, dynamics.In, "a"), `name eq 'a'`},
		{leaf(name, dynamics.NotIn, "a", "b"), `((name ne 'a' and name ne 'b') or name eq null)`},
		{not{leaf(name, dynamics.NotIn, "a", "b")}, `(name eq 'a' or name eq 'b')`},
		{leaf(name, dynamics.Contains, "50_50 [x]%"), `contains(name,'50[_]50 [[]x][%]')`},
		{leaf(name, dynamics.Eq, "50_50 [x]%"), `name eq '50_50 [x]%'`},
		{leaf(name, dynamics.NotContains, "a"), `(not contains(name,'a') or name eq null)`},
		{not{leaf(name, dynamics.StartsWith, "a")}, `(not startswith(name,'a') or name eq null)`},
		{leaf(name, dynamics.EndsWith, "a"), `endswith(name,'a')`},
		{leaf(name, dynamics.IsNull), `name eq null`},
		{not{leaf(name, dynamics.IsNull)}, `name ne null`},
		{leaf(name, dynamics.NotNull), `name ne null`},
		{not{leaf(name, dynamics.NotNull)}, `name eq null`},
		{not{leaf(staff, dynamics.Lt, "5")}, `(numberofemployees ge 5 or numberofemployees eq null)`},
		{not{leaf(staff, dynamics.Ge, "5")}, `(numberofemployees lt 5 or numberofemployees eq null)`},
		{leaf(staff, dynamics.Between, "5", "9"), `(numberofemployees ge 5 and numberofemployees le 9)`},
		{not{leaf(staff, dynamics.Between, "5", "9")}, `((numberofemployees lt 5 or numberofemployees gt 9) or numberofemployees eq null)`},
		{leaf(revenue, dynamics.Gt, "12345678901234567890.1230"), `revenue gt 12345678901234567890.1230`},
		{leaf(revenue, dynamics.Gt, "-1.5E3"), `revenue gt -1500`},
		{leaf(revenue, dynamics.Gt, "15e-3"), `revenue gt 0.015`},
		{leaf(industry, dynamics.Eq, "7"), `industrycode eq 7`},
		{leaf(industry, dynamics.Eq, "7.00"), `industrycode eq 7`},
		{leaf(staff, dynamics.In, "5.0", "50e-1", "-0.0", "2147483647.000", "2.5e1"), `(numberofemployees eq 5 or numberofemployees eq 5 or numberofemployees eq 0 or numberofemployees eq 2147483647 or numberofemployees eq 25)`},
		{leaf(channels, dynamics.Eq, "3.0", "2", "30e-1"), `new_channels eq '2,3'`},
		{leaf(channels, dynamics.ContainsAny, "2e0"), `Microsoft.Dynamics.CRM.ContainValues(PropertyName='new_channels',PropertyValues=["2"])`},
		{leaf(channels, dynamics.ContainsAny, "2", "3"), `Microsoft.Dynamics.CRM.ContainValues(PropertyName='new_channels',PropertyValues=["2","3"])`},
		{leaf(channels, dynamics.ContainsNone, "2"), `(Microsoft.Dynamics.CRM.DoesNotContainValues(PropertyName='new_channels',PropertyValues=["2"]) or new_channels eq null)`},
		{leaf(channels, dynamics.Eq, "3", "2", "3"), `new_channels eq '2,3'`},
		{not{leaf(channels, dynamics.Eq, "3")}, `(new_channels ne '3' or new_channels eq null)`},
		{leaf(created, dynamics.Ge, "2024-01-31T09:30:00+02:00"), `createdon ge 2024-01-31T07:30:00Z`},
		{leaf(created, dynamics.Ge, "2024-01-31"), `createdon ge 2024-01-31T00:00:00Z`},
		{leaf(created, dynamics.Ge, "2024-01-31t09:30:00z"), `createdon ge 2024-01-31T09:30:00Z`},
		{leaf(created, dynamics.Lt, "2024-01-31T09:30:00.5Z"), `createdon lt 2024-01-31T09:30:00.5Z`},
		{leaf(founded, dynamics.Eq, "2024-02-29"), `new_founded eq 2024-02-29`},
		{leaf(optOut, dynamics.Ne, "true"), `(donotemail ne true or donotemail eq null)`},
		{leaf(owner, dynamics.Eq, strings.ToUpper(someID)), `_ownerid_value eq ` + someID},
		{leaf(owner, dynamics.IsNull), `_ownerid_value eq null`},
		{not{and{leaf(name, dynamics.Eq, "a"), not{or{leaf(staff, dynamics.Gt, "1"), leaf(name, dynamics.IsNull)}}}},
			`((name ne 'a' or name eq null) or (numberofemployees gt 1 or name eq null))`},
		{not{or{leaf(staff, dynamics.Le, "1"), leaf(name, dynamics.NotNull)}},
			`((numberofemployees gt 1 or numberofemployees eq null) and name eq null)`},
	} {
		if got := filterOnTheWire(t, c.filter); got != c.want {
			t.Errorf("%+v\n got %s\nwant %s", c.filter, got, c.want)
		}
	}
}

func TestHostileTextsStayLiterals(t *testing.T) {
	for _, text := range []string{
		`O'Brien & Söhne 100% "GmbH"`, `50_50 [x]`, `' or 1 eq 1 or name eq '`, `''`, `'`, `a+b`, `a#b?c=d;e`, `%27`, `%2527`, `\'`,
		"👩‍🚀 Café", "\u202eevil\u2066", "شركة", "日本", `a') or contains(name,'`, `],"x":["`, "x&$top=1", "/../",
		"Main Street 1\r\n1010 Wien", "tab\there", "\n",
	} {
		if got, want := filterOnTheWire(t, leaf(name, dynamics.Eq, text)), "name eq '"+strings.ReplaceAll(text, "'", "''")+
			"'"; got != want {
			t.Errorf("%q: got %s", text, got)
		}
	}
}

func TestPlusAndSpaceOnTheWire(t *testing.T) {
	r := newRig(t, answer(200, emptyPage))
	_, err := firstPage(t.Context(), r.open(t),
		dynamics.Query{Select: nameOnly.Select, Filter: leaf(name, dynamics.Eq, "ö +'"),
			OrderBy: []dynamics.Order{{Column: revenue, Desc: true}}, Count: true})
	want := "/api/data/v9.2/accounts?$select=name,accountid,revenue&$filter=name%20eq%20'%C3%B6%20%2B'''&$orderby=revenue%20desc,accountid%20asc&$count=true"
	if err != nil || r.uris()[0] != want {
		t.Fatalf("%v\n got %s\nwant %s", err, r.uris()[0], want)
	}
}

func TestRefusedFilters(t *testing.T) {
	tooMany := make(and, 501)
	for i := range tooMany {
		tooMany[i] = leaf(staff, dynamics.Eq, strconv.Itoa(i))
	}
	var deep dynamics.Filter = leaf(name, dynamics.IsNull)
	for range 40 {
		deep = not{deep}
	}
	for _, f := range []dynamics.Filter{
		and{}, or{}, and{nil}, not{}, deep,
		leaf(name, dynamics.Eq), leaf(name, dynamics.Eq, "geheim", "b"), leaf(name, dynamics.Eq, ""),
		leaf(name, dynamics.In), leaf(name, dynamics.IsNull, "geheim"),
		leaf(name, dynamics.Lt, "geheim"), leaf(name, "like", "geheim"), leaf(name, dynamics.Eq, "geheim\x00"),
		leaf(name, dynamics.Eq, "geheim\x1b"), leaf(name, dynamics.Eq, "geheim\u0085"), leaf(name, dynamics.Eq, "geheim\xff"),
		leaf(staff, dynamics.Contains, "5"), leaf(staff, dynamics.Eq, "5.5"), leaf(staff, dynamics.Eq, "+5"),
		leaf(staff, dynamics.Eq, "3000000000"), leaf(staff, dynamics.Eq, "5 or 1 eq 1"),
		leaf(staff, dynamics.Eq, "5.0000001"), leaf(staff, dynamics.Eq, "5e-1"), leaf(staff, dynamics.Eq, "3e9"),
		leaf(staff, dynamics.Eq, "5."), leaf(staff, dynamics.Eq, ""), leaf(industry, dynamics.Eq, "7.5"),
		leaf(channels, dynamics.Eq, "2.5"),
		leaf(revenue, dynamics.Eq, "NaN"), leaf(revenue, dynamics.Eq, "1e99"), leaf(revenue, dynamics.Eq, "0x10"),
		leaf(revenue, dynamics.Eq, "1."), leaf(revenue, dynamics.Eq, ".5"), leaf(revenue, dynamics.Eq, "007"),
		leaf(revenue, dynamics.Eq, strings.Repeat("9", 29)), leaf(revenue, dynamics.Between, "1"),
		leaf(optOut, dynamics.Eq, "yes"), leaf(optOut, dynamics.In, "true"), leaf(industry, dynamics.Lt, "7"),
		leaf(industry, dynamics.Eq, "geheim"),
		leaf(channels, dynamics.In, "2"), leaf(channels, dynamics.ContainsAny, `2"]`), leaf(channels, dynamics.Eq, "x"),
		leaf(created, dynamics.Eq, "2024-02-30"), leaf(created, dynamics.Eq, "2024-01-31T25:00:00Z"),
		leaf(created, dynamics.Eq, "1066-10-14"), leaf(founded, dynamics.Eq, "2024-01-31T00:00:00Z"),
		leaf(created, dynamics.Eq, "2024-01-31T09:30:00,5Z"), leaf(created, dynamics.Eq, "2024-01-31T9:30:00Z"),
		leaf(created, dynamics.Eq, "2024-01-31 09:30:00Z"), leaf(created, dynamics.Eq, "2024-01-31T09:30:00"),
		leaf(created, dynamics.Eq, "2024-01-31T09:30:00.Z"), leaf(created, dynamics.Eq, "2024-01-31T09:30:00+24:00"),
		leaf(created, dynamics.Eq, "2024-01-31T09:30:00+02:60"), leaf(created, dynamics.Eq, "2024-01-31T09:30Z"),
		leaf(created, dynamics.Eq, "2024-01-31T09:30:00Z\n"),
		leaf(owner, dynamics.Eq, "geheim"), leaf(owner, dynamics.Eq, "{"+someID+"}"), leaf(owner, dynamics.Gt, someID),
		leaf(column("name eq 'x' or name", dynamics.Text), dynamics.IsNull),
		leaf(column("Name", dynamics.Text), dynamics.IsNull), leaf(column("", dynamics.Text), dynamics.IsNull),
		leaf(column("entityimage", dynamics.Unsupported), dynamics.IsNull),
		tooMany,
	} {
		r := newRig(t, answer(200, emptyPage))
		_, err := firstPage(t.Context(), r.open(t), dynamics.Query{Filter: f})
		if e := kind(t, err, dynamics.Invalid); e.Status != 0 || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%+v: %v", f, err)
		}
		if len(r.uris()) != 0 {
			t.Errorf("%+v was sent", f)
		}
		if checked := dynamics.Check(f); checked == nil || checked.Error() != err.Error() {
			t.Errorf("%+v: Check says %v, the query %v", f, checked, err)
		}
	}
	if err := dynamics.Check(leaf(name, dynamics.Eq, "a")); err != nil {
		t.Error(err)
	}
}

// forbidden tells the characters that no text in Dataverse has.
func forbidden(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) }

func FuzzTextLiteral(f *testing.F) {
	for _, s := range []string{"a", "'", "''%27", "%_[x]", "ö+ &"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || len(text) > 1000 || !utf8.ValidString(text) || strings.ContainsFunc(text, forbidden) {
			t.Skip("no text that a filter may hold: TestRefusedFilters has those")
		}
		got := filterOnTheWire(t, leaf(name, dynamics.Eq, text))
		inner, ok := strings.CutPrefix(got, "name eq '")
		inner, ok2 := strings.CutSuffix(inner, "'")
		if !ok || !ok2 || strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") ||
			strings.ReplaceAll(inner, "''", "'") != text {
			t.Fatalf("%q became %s", text, got)
		}
	})
}
