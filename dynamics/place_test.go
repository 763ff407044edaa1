package dynamics_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// filtered is a query with a value that no place may hold.
func filtered() dynamics.Query {
	q := nameOnly
	q.Count = true
	q.Filter = dynamics.Test{Column: column("name", dynamics.Text), Op: dynamics.Eq,
		Values: []string{"Canary & Söhne+Co"}}
	return q
}

const filteredOptions = "$select=name,accountid&$filter=name%20eq%20'Canary%20%26%20S%C3%B6hne%2BCo'&$orderby=accountid%20asc&$count=true"

// placed is what becomes of a page whose link has the given query: the place behind it,
// and what is asked for there.
func placed(t *testing.T, q dynamics.Query, query string) (place, asked string, err error) {
	t.Helper()
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if len(r.uris()) > 1 {
			_, _ = io.WriteString(w, emptyPage)
			return
		}
		_, _ = fmt.Fprintf(w, `{"@odata.nextLink":"%s/api/data/v9.2/accounts?%s","value":[]}`, r.URL, query)
	})
	s := r.open(t)
	p, err := s.Prepare(accounts, q)
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.Page(t.Context(), p, "")
	if err != nil {
		t.Fatal(err)
	}
	place, next, err := s.After(p, page)
	if err != nil {
		return "", "", err
	}
	if next == page.NextLink() == (place == "t7") {
		t.Errorf("the next page is asked for with %s", next)
	}
	later := r.open(t) // another day
	link, err := later.LinkTo(p, place)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Page(t.Context(), p, link); err != nil {
		t.Fatal(err)
	}
	return place, strings.TrimPrefix(r.uris()[1], "/api/data/v9.2/accounts?"), nil
}

// A place is the link's token where everything else is what was sent, however it is
// encoded, and makes the query that was sent.
func TestAPlaceIsAToken(t *testing.T) {
	const token = `%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%22%20/%3E`
	for name, link := range map[string]string{
		"as sent":           filteredOptions + "&$skiptoken=" + token,
		"names encoded":     strings.ReplaceAll(filteredOptions, "$", "%24") + "&%24skiptoken=" + token,
		"another order":     "$skiptoken=" + token + "&" + filteredOptions,
		"spaces as plus":    strings.ReplaceAll(filteredOptions, "%20", "+") + "&$skiptoken=" + token,
		"plus as it is":     strings.ReplaceAll(filteredOptions, "%2B", "+") + "&$skiptoken=" + token,
		"quotes encoded":    strings.ReplaceAll(filteredOptions, "'", "%27") + "&$skiptoken=" + token,
		"commas encoded":    strings.ReplaceAll(filteredOptions, ",", "%2C") + "&$skiptoken=" + token,
		"without the count": strings.ReplaceAll(filteredOptions, "&$count=true", "") + "&$skiptoken=" + token,
		"another case":      filteredOptions + "&$SkipToken=" + token,
	} {
		t.Run(name, func(t *testing.T) {
			place, asked, err := placed(t, filtered(), link)
			if err != nil || place != "t"+token {
				t.Fatalf("%q, %v", place, err)
			}
			if want := filteredOptions + "&$skiptoken=" + token; asked != want {
				t.Errorf("asked for\n%s, want\n%s", asked, want)
			}
		})
	}
}

// A link of another form is kept where it is short and names no filter.
func TestAPlaceIsALink(t *testing.T) {
	for _, link := range []string{"$skiptoken=7", "page=2", "$skiptoken=7&$select=name",
		"$skiptoken=" + strings.Repeat("x", 4<<10-11),
		filteredOptions[:13] + "&x=1"} {
		place, asked, err := placed(t, filtered(), link)
		if err != nil || place != "q"+link || asked != link {
			t.Errorf("%.60s: %.60q, asked for %.60q, %v", link, place, asked, err)
		}
	}
	for name, link := range map[string]string{
		"no token, a filter":  "$filter=name",
		"two tokens":          filteredOptions + "&$skiptoken=7&$skiptoken=8",
		"an empty token":      filteredOptions + "&$skiptoken=",
		"no token":            filteredOptions,
		"broken encoding":     "$skiptoken=7&%zz=1",
		"no token, an alias":  "@p=7",
		"long, without token": "x=" + strings.Repeat("x", 4<<10),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := placed(t, filtered(), link)
			if e := kind(t, err, dynamics.Upstream); strings.Contains(e.Error(), "Canary") {
				t.Error(e)
			}
		})
	}
}

// A link with a filter that is not the query's is not followed, whatever it is called: its
// token goes on in the query.
func TestALinkBringsNoFilter(t *testing.T) {
	for name, link := range map[string]string{
		"another filter": strings.ReplaceAll(filteredOptions, "Co", "Cy") + "&$skiptoken=7",
		"two filters":    filteredOptions + "&$filter=x&$skiptoken=7",
		"encoded":        "%24filter=name&$skiptoken=7",
		"another case":   "$Filter=name&$skiptoken=7",
		"without dollar": "filter=name&$skiptoken=7",
		"a space":        "%20$filter%20=name&$skiptoken=7",
		"an alias":       "@p=7&$skiptoken=7",
		"an aggregate":   "$apply=filter(x)&$skiptoken=7",
		"FetchXML":       "fetchXml=x&$skiptoken=7",
		"long":           "$skiptoken=7&x=" + strings.Repeat("x", 4<<10),
	} {
		t.Run(name, func(t *testing.T) {
			place, asked, err := placed(t, filtered(), link)
			if err != nil || place != "t7" || asked != filteredOptions+"&$skiptoken=7" {
				t.Errorf("%q, asked for %s, %v", place, asked, err)
			}
		})
	}
	place, asked, err := placed(t, nameOnly, "$select=name,accountid&$filter=x&$orderby=accountid%20asc&$skiptoken=7")
	if err != nil || place != "t7" || asked != "$select=name,accountid&$orderby=accountid%20asc&$skiptoken=7" {
		t.Errorf("%q, asked for %s, %v", place, asked, err)
	}
	// What is made of a token is looked at like a link.
	_, _, err = placed(t, filtered(), "$filter=x&$skiptoken="+strings.Repeat("7", 1<<16-100))
	kind(t, err, dynamics.TooLarge)
}

// A place was written by somebody: what it is made of is looked at again.
func TestLinksToPlacesThatAreNone(t *testing.T) {
	r := newRig(t, answer(200, emptyPage))
	s := r.open(t)
	p, err := s.Prepare(accounts, filtered())
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"", "t", "q", "x7", "t7&$filter=x", "q$filter=x", "q%zz", "q@p=1"} {
		link, err := s.LinkTo(p, place)
		if kind(t, err, dynamics.Invalid); link != "" {
			t.Errorf("%q: %s", place, link)
		}
	}
	for _, place := range []string{"t7 8", "t7#", "q7\r\nHost: evil", "t\x00", "t" + strings.Repeat("x", 1<<17)} {
		link, err := s.LinkTo(p, place)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Page(t.Context(), p, link)
		kind(t, err, dynamics.Upstream)
	}
	if len(r.uris()) != 0 {
		t.Errorf("asked for %q", r.uris())
	}
}

func TestTheLastPageHasNoPlaceBehindIt(t *testing.T) {
	r := newRig(t, answer(200, emptyPage))
	s := r.open(t)
	p, err := s.Prepare(accounts, nameOnly)
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.Page(t.Context(), p, "")
	if err != nil {
		t.Fatal(err)
	}
	if place, link, err := s.After(p, page); place != "" || link != "" || err != nil {
		t.Errorf("%q, %q, %v", place, link, err)
	}
}

// timed asks for rows in the order of their creation.
var timed = dynamics.Query{Select: nameOnly.Select, PageSize: 2, Moments: true,
	OrderBy: []dynamics.Order{{Column: dynamics.CreatedOn()}}}

func TestMoments(t *testing.T) {
	row := func(at string) string { return `{"accountid":"` + someID + `","name":"x"` + at + `}` }
	for text, want := range map[string]int64{
		`,"createdon":"1970-01-01T00:00:01Z"`: 1, `,"createdon":"1970-01-01T00:00:01.999Z"`: 1,
		`,"createdon":"1969-12-31T23:59:58.001Z"`:  -2,
		`,"createdon":"1970-01-01T02:00:05+02:00"`: 5, `,"createdon":"9999-12-31T23:59:59Z"`: 253402300799,
		`,"createdon":null`: -1, ``: -1,
	} {
		page, err := readOne(t, timed, `{"value":[`+row(text)+`]}`)
		if err != nil {
			t.Fatal(err)
		}
		if second, there := page.Moment(0); there != (want != -1) || there && second != want {
			t.Errorf("%s: %d, %t", text, second, there)
		}
		if string(page.Row(0)) != `{"name":"x"}` {
			t.Errorf("%s", page.Row(0))
		}
	}
	for _, text := range []string{`,"createdon":7`, `,"createdon":"7"`, `,"createdon":"1970-01-01"`,
		`,"createdon":{}`, `,"createdon":"1970-01-01T00:00:01"`} {
		_, err := readOne(t, timed, `{"value":[`+row(text)+`]}`)
		kind(t, err, dynamics.Upstream)
	}
	s := newRig(t, answer(200, emptyPage)).open(t)
	for _, order := range [][]dynamics.Order{nil, {{Column: column("name", dynamics.Text)}}} {
		q := timed
		q.OrderBy = order
		_, err := s.Prepare(accounts, q)
		kind(t, err, dynamics.Invalid)
	}
}

// A refusal for a limit is told of the page that came in the end.
func TestALimitedPageSaysSo(t *testing.T) {
	for _, c := range []struct {
		status int
		want   bool
	}{{200, false}, {429, true}, {503, false}} {
		var r *rig
		r = newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			if len(r.uris()) == 1 {
				w.WriteHeader(c.status)
			}
			_, _ = io.WriteString(w, emptyPage)
		})
		page, err := firstPage(t.Context(), r.open(t), timed)
		if err != nil || page.Limited() != c.want {
			t.Errorf("%d: %v, %v", c.status, page, err)
		}
	}
}

// Pages with moments and without are two answers, also while one of them is under way.
func TestMomentsAreNotSharedWithoutThem(t *testing.T) {
	arrived, both := make(chan struct{}, 2), make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-both
		_, _ = io.WriteString(w, `{"value":[{"accountid":"`+someID+`","createdon":"1970-01-01T00:00:01Z"}]}`)
	})
	without := timed
	without.Moments = false
	s, done := r.open(t), make(chan error, 1)
	go func() {
		_, err := firstPage(t.Context(), s, without)
		done <- err
	}()
	<-arrived
	go func() {
		select {
		case <-arrived:
		case <-time.After(time.Minute): // then the page below has no moments
		}
		close(both)
	}()
	page, err := firstPage(t.Context(), r.open(t), timed)
	if err != nil || page == nil {
		t.Fatal(err)
	}
	if second, there := page.Moment(0); !there || second != 1 {
		t.Errorf("%d, %t", second, there)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Ranges of time are all rows once, and the newest and oldest row are found in one request.
func TestRangesOfTime(t *testing.T) {
	server, _, s, _ := emulated(t, 200)
	control := server.Control()
	newest, there, err := s.Newest(t.Context(), accounts, nil)
	oldest, also, err2 := s.Oldest(t.Context(), accounts, nil)
	if err != nil || err2 != nil || !there || !also || !oldest.Before(newest) {
		t.Fatal(newest, oldest, err, err2)
	}
	for account := range control.Accounts() {
		if account.CreatedOn.Truncate(time.Second).After(newest) || account.CreatedOn.Before(oldest) {
			t.Errorf("%s is not between %s and %s", account.CreatedOn, oldest, newest)
		}
	}
	whole := dynamics.TimeRange{From: oldest.Unix(), To: newest.Unix() + 1, FromAny: true, ToAny: true}
	total := 0
	for _, one := range append(whole.Split(7), dynamics.TimeRange{WithoutTime: true}) {
		n, err := s.Count(t.Context(), accounts, one.Within(nil))
		if err != nil {
			t.Fatal(err)
		}
		total += int(n)
	}
	if total != 200 {
		t.Errorf("%d rows", total)
	}
	none := dynamics.TimeRange{From: newest.Unix() + 1, ToAny: true}.Within(nil)
	if _, there, err := s.Newest(t.Context(), accounts, none); there || err != nil {
		t.Errorf("%t, %v", there, err)
	}
	if len(whole.Split(1)) != 1 || whole.Split(1)[0] != whole || (dynamics.TimeRange{From: 1, To: 2}).Divisible() ||
		(dynamics.TimeRange{From: 1, To: 5, WithoutTime: true}).Divisible() {
		t.Error("a range is split wrongly")
	}
}

func TestASessionOfAnotherIncarnation(t *testing.T) {
	s := newRig(t, answer(200, emptyPage)).open(t)
	if err := s.IsOf("1"); err != nil {
		t.Error(err)
	}
	if e := kind(t, s.IsOf("2"), dynamics.Invalid); e.Err != dynamics.ErrConnectionChanged {
		t.Error(e.Err)
	}
}
