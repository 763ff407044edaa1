package handlers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// filled is an environment of accounts that were created over three years, several in one
// second and some in the same.
func filled(t testing.TB, random *rand.Rand, n int) (e *emulated, ids []string) {
	t.Helper()
	e = emulate(t, -1).connect(t)
	begin := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	for i := range n {
		at := begin.Add(time.Duration(random.Int64N(int64(3 * 365 * 24 * time.Hour)))).Truncate(time.Millisecond)
		switch i % 10 {
		case 0, 1, 2:
			at = begin.Add(1000 * time.Hour) // one second
		case 3, 4:
			at = begin.Add(2000*time.Hour + time.Duration(random.IntN(60))*time.Second)
		}
		ids = append(ids, e.control.PutAccount(emulator.Account{Name: fmt.Sprintf("Name %d %s", i,
			strings.Repeat("x", random.IntN(200))), CreatedOn: at}))
	}
	return e, ids
}

// Each row of a job comes once, wherever its executions end, in its order, in parts that
// fit, compressed or not.
func TestASearchJobInSequence(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	e, ids := filled(t, random, 700)
	for i := range 12 {
		in := messages.SearchRequest{PageSize: messages.Count(1 + random.IntN(150)), Fields: []string{"id", "name"},
			IncludeTotal: i%2 == 0}
		if i%3 == 0 {
			in.OrderBy = []string{"-name"}
		}
		if i%4 == 1 {
			in.Limit = messages.Count(1 + random.IntN(800))
		}
		l := newLane(t, e.operations, "accounts.search", in)
		l.call.Job.Sequential = true
		l.call.Budget = 1000 + random.IntN(20_000)
		if i%2 == 1 {
			l.call.Job.Encode = encoder(t)
		}
		l.finish(t, random)
		got := l.ids(t)
		if limit := int(in.Limit); limit > 0 && limit < len(ids) {
			if len(got) != limit || len(slices.Compact(slices.Sorted(slices.Values(got)))) != limit {
				t.Errorf("%d rows of %d", len(got), limit)
			}
		} else {
			sameRows(t, got, ids)
		}
		once := newLane(t, e.operations, "accounts.search", in)
		once.call.Job.Sequential = true
		once.once(t)
		if !slices.Equal(once.ids(t), got) {
			t.Error("the order is another than without crashes")
		}
		for _, r := range l.stored {
			if in.IncludeTotal && (r.Total == nil || r.total == nil || *r.Total != 700 || *r.total != 700) {
				t.Fatalf("total %v", r.Total)
			}
		}
		if l.widest > 2000 {
			t.Errorf("a place has %d bytes", l.widest)
		}
	}
}

// Five thousand rows of twelve columns, compressed, are one message.
func TestACompressedPageIsOneMessage(t *testing.T) {
	e := emulate(t, 5001).connect(t)
	l := newLane(t, e.operations, "accounts.search",
		messages.SearchRequest{Fields: []string{"id", "name", "website", "industry", "employees", "city", "country",
			"email", "phone", "classification", "revenue", "created_at"}})
	l.call.Job.Encode, l.call.Job.Sequential = encoder(t), true
	l.once(t)
	if len(l.stored) != 2 || len(l.stored[0].Accounts) != 5000 || len(l.stored[1].Accounts) != 1 {
		t.Errorf("%d messages", len(l.stored))
	}
	plain := newLane(t, e.operations, "accounts.search", messages.SearchRequest{})
	plain.call.Job.Sequential = true
	plain.once(t)
	if plain.groups != 2 || len(plain.stored) < 2 || len(plain.stored) > 4 {
		t.Errorf("%d messages of %d pages", len(plain.stored), plain.groups)
	}
}

// Nothing is an answer of one part.
func TestAJobWithoutRows(t *testing.T) {
	e := emulate(t, 10).connect(t)
	where := messages.Where{Field: "name", Op: messages.Eq, Value: []byte(`"nobody has this"`)}
	for _, sequential := range []bool{true, false} {
		l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{Where: &where, IncludeTotal: true})
		l.call.Job.Sequential = sequential
		l.once(t)
		if len(l.stored) != 1 || len(l.stored[0].Accounts) != 0 || l.stored[0].Total == nil || *l.stored[0].Total != 0 {
			t.Errorf("%+v", l.stored)
		}
	}
}

// A place holds nothing of the query.
func TestAPlaceHoldsNoQuery(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	e, _ := filled(t, random, 300)
	where := messages.Where{Not: &messages.Where{Field: "name", Op: messages.Contains, Value: []byte(`"CanaryValue"`)}}
	for _, sequential := range []bool{true, false} {
		l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{Where: &where, PageSize: 20})
		l.call.Job.Sequential = sequential
		l.between = func() {
			plain := l.place
			if plain[0] == compressed {
				var err error
				if plain, err = inflated(plain[1:], maxPlacePlain); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.HasPrefix(plain, []byte(`{"v":1,`)) || bytes.Contains(bytes.ToLower(plain), []byte("canary")) ||
				bytes.Contains(plain, []byte("$filter")) ||
				bytes.Contains(plain, []byte("contains")) || bytes.Contains(plain, []byte("$select")) {
				t.Errorf("%s", plain)
			}
		}
		l.once(t)
		if len(l.ids(t)) != 300 {
			t.Errorf("%d rows", len(l.ids(t)))
		}
	}
}

// What cannot be gone on from is refused, and by a newer version's place is waited for it.
func TestPlacesOfOtherForms(t *testing.T) {
	e := emulate(t, 100).connect(t)
	for place, code := range map[string]messages.Code{
		`{"v":2,"a":"tx"}`: messages.Unavailable, "": messages.Internal, "{": messages.Internal,
		"z": messages.Internal, "zz": messages.Internal,
		`{"v":0,"a":"tx"}`: messages.Internal, `{"v":1}`: messages.Internal,
		`{"v":1,"a":"x"}`: messages.InvalidRequest, `{"v":1,"n":-1,"a":"tx"}`: messages.Internal,
		`{"v":1,"a":"ta&$filter=name eq 'x'"}`: messages.InvalidRequest,
		`{"v":1,"a":"q$filter=x"}`:             messages.InvalidRequest, `{"v":1,"a":"qx y"}`: messages.UpstreamError,
		`{"v":1,"a":"tx","r":{"n":1,"o":[{"b":2,"a":"tx"}]}}`: messages.Internal,
		`{"v":1,"r":{"n":1}}`: messages.Internal, `{"v":1,"r":{"n":1,"o":[{"b":64}]}}`: messages.Internal,
		`{"v":1,"r":{"n":0,"o":[{"b":2}]}}`: messages.Internal, `{"v":1,"r":{"n":1,"o":[{"b":8}]}}`: messages.Internal,
		`{"v":1,"r":{"n":1,"o":[` + strings.Repeat(`{},`, 64) + `{}]}}`: messages.Internal,
	} {
		l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{PageSize: 10})
		l.place = []byte(place)
		if err := l.execute(t, never, 0); err == nil || codeOf(t, err) != code {
			t.Errorf("%.60s: %v, want %s", place, err, code)
		}
	}
	// One of this form with members that are not known yet is of a version between.
	l := newLane(t, e.operations, "accounts.search", messages.SearchRequest{PageSize: 10})
	if err := l.execute(t, afterStoring, 0); err != nil {
		t.Fatal(err)
	}
	l.place = bytes.Replace(l.place, []byte(`{"v":1,`), []byte(`{"v":1,"later":[1,{"x":2}],`), 1)
	l.once(t)
	if len(l.ids(t)) != 100 {
		t.Errorf("%d rows", len(l.ids(t)))
	}
}

// What is wrong with a job is said as on the interactive lane.
func TestJobsThatAreRefused(t *testing.T) {
	e := emulate(t, 10).connect(t)
	for op, cases := range map[messages.Operation]map[messages.Code]any{
		"accounts.search":  {messages.InvalidRequest: messages.SearchRequest{Cursor: "x"}},
		"accounts.changes": {messages.InvalidRequest: messages.ChangesRequest{Cursor: "x"}},
		"accounts.get":     {messages.NotFound: map[string]string{"account_id": nobody}},
	} {
		for code, in := range cases {
			l := newLane(t, e.operations, op, in)
			if err := l.execute(t, never, 0); err == nil || codeOf(t, err) != code {
				t.Errorf("%s: %v, want %s", op, err, code)
			}
			if l.taken.Load() != 0 {
				t.Errorf("%s: a turn was taken for it", op)
			}
		}
	}
	for _, in := range []messages.SearchRequest{{Mode: messages.ModeStream, PageSize: 4},
		{Mode: messages.ModePage, PageSize: 4}} {
		l := newLane(t, e.operations, "accounts.search", in)
		l.once(t)
		if len(l.ids(t)) != 10 {
			t.Errorf("mode %s: %d rows", in.Mode, len(l.ids(t)))
		}
	}
}

// A connection that was made again gets nothing of a job of the old one.
func TestAJobOfAnotherIncarnation(t *testing.T) {
	e := emulate(t, 10).connect(t)
	for op, in := range map[messages.Operation]any{"accounts.search": messages.SearchRequest{},
		"accounts.changes": messages.ChangesRequest{}, "accounts.count": messages.CountRequest{},
		"accounts.get": map[string]string{"account_id": nobody}, "accounts.fields": messages.FieldsRequest{},
		"users.whoami": struct{}{}, "users.get": messages.UserGetRequest{UserID: nobody}} {
		l := newLane(t, e.operations, op, in)
		l.call.Job.Incarnation = "another"
		err := l.execute(t, never, 0)
		if !isChanged(err) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// Operations with one answer run as they do on the interactive lane.
func TestJobsOfOnePart(t *testing.T) {
	e := emulate(t, 10).connect(t)
	for op, in := range map[messages.Operation]any{"accounts.count": messages.CountRequest{},
		"accounts.fields": messages.FieldsRequest{}, "users.whoami": struct{}{},
		"users.get": messages.UserGetRequest{Email: emulator.DefaultUser}} {
		l := newLane(t, e.operations, op, in)
		parts := 0
		for part, err := range l.serve(t.Context(), l.call, l.body).Parts {
			if err != nil || !part.Last || part.Place != nil || len(part.Body) == 0 {
				t.Errorf("%s: %+v, %v", op, part, err)
			}
			parts++
		}
		if parts != 1 || l.taken.Load() != 0 {
			t.Errorf("%s: %d parts, %d turns", op, parts, l.taken.Load())
		}
	}
}
