package dynamics_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Queries of the same fields share their layout. What differs between them does not
// pass from one to the other: labels, page sizes, filters, tables.
func TestPreparedQueriesDoNotMix(t *testing.T) {
	row := `{"accountid":"` + someID + `","contactid":"` + guid(7) + `","new_channels":"1,2","name":"x"}`
	r := newRig(t, answer(200, `{"value":[`+row+`]}`))
	s := r.open(t)
	var kept []*dynamics.Prepared
	for i := range 600 { // more than are kept
		q := dynamics.Query{PageSize: i + 1, Select: []dynamics.Output{
			{Column: column("new_channels", dynamics.Choices), As: fmt.Sprintf("c%d", i%300), Labels: map[int]string{1: fmt.Sprint("one of ", i), 2: "two"}}}}
		table := []dynamics.Table{accounts, contacts}[i%2]
		if i%3 == 0 {
			q.Filter = dynamics.Test{Column: column("name", dynamics.Text), Op: dynamics.Eq,
				Values: []string{fmt.Sprint("v", i)}}
		}
		p, err := s.Prepare(table, q)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, p)
	}
	for i, p := range kept {
		page, err := s.Page(t.Context(), p, "")
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"c%d":[{"value":1,"label":"one of %d"},{"value":2,"label":"two"}]}`, i%300, i)
		if got := string(page.Row(0)); got != want {
			t.Fatalf("%d: %s, want %s", i, got, want)
		}
		if want := []string{someID, guid(7)}[i%2]; page.ID(0) != want {
			t.Errorf("%d: id %s, want %s", i, page.ID(0), want)
		}
		last := r.seen[len(r.seen)-1]
		if got := last.Header.Get("Prefer"); !strings.HasPrefix(got, fmt.Sprintf("odata.maxpagesize=%d,", i+1)) {
			t.Errorf("%d: Prefer %s", i, got)
		}
		if got := strings.Contains(last.URL.RawQuery, fmt.Sprintf("eq%%20'v%d'", i)); got != (i%3 == 0) {
			t.Errorf("%d: asked %s", i, last.URL.RawQuery)
		}
	}
}

// A page size may be changed before the first page; the query stays as it is.
func TestAnotherPageSize(t *testing.T) {
	r := newRig(t, answer(200, emptyPage))
	s := r.open(t)
	p, err := s.Prepare(accounts, nameOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []struct{ asked, want int }{{500, 500}, {0, 1}, {9999, dynamics.MaxPageSize}} {
		if _, err := s.Page(t.Context(), p.WithPageSize(size.asked), ""); err != nil {
			t.Fatal(err)
		}
		last := r.seen[len(r.seen)-1]
		if got := last.Header.Get("Prefer"); got != fmt.Sprintf("odata.maxpagesize=%d", size.want) ||
			last.URL.RawQuery != r.seen[0].URL.RawQuery {
			t.Errorf("%d: Prefer %q, asked %s", size.asked, got, last.URL.RawQuery)
		}
	}
}

// A prepared query serves several sessions, and each asks in its own name.
func TestAPreparedQueryOfTwoSessions(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { answer(200, emptyPage)(w, req) })
	first, second := r.open(t), r.open(t)
	p, err := first.Prepare(contacts, nameOnly)
	if err != nil {
		t.Fatal(err)
	}
	r.tokens.set(func(a *dynamics.Access) { a.Tables = []string{"accounts"} })
	third := r.open(t)
	if _, err := second.Page(t.Context(), p, ""); err != nil {
		t.Error(err)
	}
	_, err = third.Page(t.Context(), p, "")
	kind(t, err, dynamics.NotConsented)
}
