package plan

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// accounts is the entity of most tests.
var accounts = func() *Entity {
	e, err := NewEntity(messages.Accounts)
	if err != nil {
		panic(err)
	}
	return e
}()

// access lets everything ask one environment.
type access string

func (a access) Access(context.Context, string) (dynamics.Access, error) {
	return dynamics.Access{Tables: []string{"accounts"}, Environment: string(a), Incarnation: "1",
		Token: dynamics.NewSecret("x")}, nil
}

func (a access) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	return a.Access(ctx, connection)
}

// sessionOf opens a session in an environment that a handler answers for.
func sessionOf(t *testing.T, handler http.Handler) *dynamics.Session {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com",
		[]string{strings.TrimPrefix(server.URL, "http://")}, true)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Hosts: hosts, Tokens: access(server.URL), RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	session, err := client.Open(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// plannerOf plans for a Dataverse without metadata, whose choices are Microsoft's.
func plannerOf(t *testing.T) Planner {
	t.Helper()
	session := sessionOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":{"code":"","message":"Resource not found"}}`))
	}))
	return Planner{columns: NewCatalog(nil, 0, slog.New(slog.DiscardHandler)).Of(session, accounts)}
}

// refusedWith fails the test unless err is an answered error of code whose text has says.
func refusedWith(t *testing.T, err error, code messages.Code, says string) {
	t.Helper()
	fault, ok := err.(*messages.Error)
	if !ok || fault.Code != code || !strings.Contains(fault.Message, says) {
		t.Errorf("%v, want %s: …%s…", err, code, says)
	}
}

func leafOf(field string, op messages.Op, value string) messages.Where {
	where := messages.Where{Field: field, Op: op}
	if value != "" {
		where.Value = jsontext.Value(value)
	}
	return where
}

func TestFiltersAsTheyArePlanned(t *testing.T) {
	p := plannerOf(t)
	test := func(field string, op dynamics.Op, values ...string) dynamics.Test {
		if values == nil {
			values = []string{}
		}
		return dynamics.Test{Column: accounts.friendly[field], Op: op, Values: values}
	}
	const id = "78914942-34cb-ed11-b596-0022481d68cd"
	name := leafOf("name", messages.Eq, `"A"`)
	for _, c := range []struct {
		where messages.Where
		want  dynamics.Filter
	}{
		{name, test("name", dynamics.Eq, "A")},
		{leafOf("name", messages.In, `["A","B"]`), test("name", dynamics.In, "A", "B")},
		{leafOf("name", messages.IsNull, ``), test("name", dynamics.IsNull)},
		{leafOf("name", messages.NotNull, `null`), test("name", dynamics.NotNull)},
		{leafOf("employees", messages.Between, `[5,5]`), test("employees", dynamics.Between, "5", "5")},
		{leafOf("revenue", messages.Between, `[-1.5,12345678901234567]`), test("revenue", dynamics.Between, "-1.5", "12345678901234567")},
		{leafOf("created_at", messages.Between, `["2024-01-31","2024-01-31T00:00:00Z"]`), test("created_at", dynamics.Between, "2024-01-31", "2024-01-31T00:00:00Z")},
		{leafOf("do_not_email", messages.Eq, `true`), test("do_not_email", dynamics.Eq, "true")},
		{leafOf("id", messages.Eq, `"`+id+`"`), test("id", dynamics.Eq, id)},
		{leafOf("owner", messages.Ne, `"`+id+`"`), test("owner", dynamics.Ne, id)},
		{leafOf("industry", messages.In, `["consulting","RETAIL banking",7]`), nil},
		{leafOf("industry", messages.In, `["consulting","WHOLESALE",9]`), test("industry", dynamics.In, "7", "33", "9")},
		{messages.All(name, messages.Any(name, messages.Not(name))), dynamics.And{test("name", dynamics.Eq, "A"),
			dynamics.Or{test("name", dynamics.Eq, "A"), dynamics.Not{Of: test("name", dynamics.Eq, "A")}}}},
	} {
		got, err := p.Where(t.Context(), &c.where, "where")
		if c.want == nil {
			refusedWith(t, err, messages.InvalidRequest, "no option with this label; the operation fields lists its 33 options, such as 1 Accounting, 2 Agri")
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %#v, %v", c.where, got, err)
		}
	}
}

func TestFiltersThatAreRefused(t *testing.T) {
	p := plannerOf(t)
	for _, c := range []struct {
		where      messages.Where
		path, says string
	}{
		{leafOf("employees", messages.Contains, `"1"`), "where.op", "which knows eq ne lt"},
		{leafOf("industry", messages.Eq, `"Consultng"`), "where.value", "no option with this label; did you mean Consulting?"},
		{leafOf("category", messages.Eq, `"Gold"`), "where.value", "its options are 1 Preferred Customer, 2 Standard"},
		{leafOf("created_at", messages.Gt, `"yesterday"`), "where.value",
			`created_at (date and time), operator "gt": a value is not an RFC 3339`},
		{leafOf("createdon", messages.Gt, `"yesterday"`), "where.value", `createdon (date and time), operator "gt"`},
		{leafOf("name", messages.Lt, `"A"`), "where.op", "which knows eq ne in"},
		{leafOf("do_not_email", messages.In, `[true]`), "where.op", "which knows eq ne is_null"},
		{leafOf("industry", messages.ContainsAny, `[1]`), "where.op", "which knows eq ne in"},
		{leafOf("created_at", messages.In, `["2024-01-31"]`), "where.op", "knows eq ne lt"},
		{leafOf("name", messages.IsNull, `"A"`), "where.value", "takes no value"},
		{leafOf("name", messages.Eq, ``), "where.value", "is missing"},
		{leafOf("name", messages.Eq, `null`), "where.value", "is missing"},
		{leafOf("name", messages.Eq, `""`), "where.value", "is empty; to find"},
		{leafOf("name", messages.Eq, `["A"]`), "where.value", "takes one value, not an array"},
		{leafOf("name", messages.In, `"A"`), "where.value", "takes an array"},
		{leafOf("name", messages.In, `[]`), "where.value", "the list is empty"},
		{leafOf("name", messages.In, `["A",null]`), "where.value[1]", "is null"},
		{leafOf("name", messages.In, `["A","B",1]`), "where.value[2]", "must be a string, not a number"},
		{leafOf("employees", messages.Between, `[1]`), "where.value", "takes an array of two"},
		{leafOf("employees", messages.Between, `[1,2,3]`), "where.value", "takes an array of two"},
		{leafOf("employees", messages.Between, `7`), "where.value", "takes an array of two"},
		{leafOf("employees", messages.Between, `[2,1]`), "where.value", "the first value of between is above the second"},
		{leafOf("revenue", messages.Between, `[1e3,9.5e2]`), "where.value", "the first value of between is above the second"},
		{leafOf("created_at", messages.Between, `["2024-02-01","2024-01-31T23:00:00Z"]`), "where.value", "the first value of between is above the second"},
		{leafOf("employees", messages.Eq, `"7"`), "where.value", "must be a number, not a string"},
		{leafOf("do_not_email", messages.Eq, `1`), "where.value", "must be true or false, not a number"},
		{leafOf("industry", messages.Eq, `true`), "where.value", "must be a label or an integer, not true or false"},
		{leafOf("id", messages.Eq, `"7"`), "where.value", "GUID"},
		{leafOf("id", messages.Eq, `7`), "where.value", "must be a GUID as a string, not a number"},
		{leafOf("created_at", messages.Eq, `7`), "where.value", "must be a date as a string"},
		{messages.All(messages.Null("name"), messages.Any(messages.Not(leafOf("employees", messages.Eq, `"7"`)))), "where.and[1].or[0].not.value", "must be a number"},
	} {
		t.Run(fmt.Sprint(c.where.Field, " ", c.where.Op, " ", string(c.where.Value)), func(t *testing.T) {
			_, err := p.Where(t.Context(), &c.where, "where")
			refusedWith(t, err, messages.InvalidRequest, c.says)
			if fault, ok := err.(*messages.Error); ok && fault.Details[0].Path != c.path {
				t.Errorf("path %q, want %q", fault.Details[0].Path, c.path)
			}
		})
	}
	several := dynamics.Column{Logical: "new_colours", Type: dynamics.Choices}
	if _, err := plannerOf(t).valuesOf(nil, &messages.Where{Op: messages.Eq, Value: jsontext.Value(`1`)}, several.Type, spot{root: "where.value"}); err == nil {
		t.Error("several choices take one value")
	}
}

// A label that stands for several options is refused with them; in any case it is found.
func TestFiltersByLabel(t *testing.T) {
	labels := map[int]string{1: "Red", 2: "red", 3: "Blue"}
	if got := labelled(labels, "BLUE"); len(got) != 1 || got[0] != 3 {
		t.Errorf("%v", got)
	}
	if got := labelled(labels, "red"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := messages.OptionList(choices(labels, []int{1, 2})); got != "1 Red, 2 red" {
		t.Error(got)
	}
}
