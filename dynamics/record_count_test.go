package dynamics_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

func recordCounts(collection string) string {
	return `{"@odata.context":"x","EntityRecordCountCollection":` + collection + `}`
}

func TestRecordCount(t *testing.T) {
	for collection, want := range map[string]int64{
		`{"Count":1,"IsReadOnly":false,"Keys":["account"],"Values":[37]}`:                  37,
		`{"Count":1,"IsReadOnly":false,"Keys":["account"],"Values":[0]}`:                   0,
		`{"Values":[9223372036854775807],"Keys":["account"]}`:                              1<<63 - 1,
		`{"Count":1,"Keys":["account"],"Values":[5],"More":[1,{"a":2}],"IsReadOnly":null}`: 5,
	} {
		r := newRig(t, answer(200, recordCounts(collection)))
		n, err := r.open(t).RecordCount(t.Context(), accounts)
		if err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", collection, n, err, want)
		}
		const uri = "/api/data/v9.2/RetrieveTotalRecordCount(EntityNames=@p1)?@p1=%5B%22account%22%5D"
		if got := r.uris(); len(got) != 1 || got[0] != uri {
			t.Errorf("asked %q, want %s", got, uri)
		}
	}
}

// What an environment may answer instead of a count must be an error and no number.
func TestARecordCountThatIsNone(t *testing.T) {
	for name, body := range map[string]string{
		"empty":          `{}`,
		"null":           recordCounts(`null`),
		"no JSON":        `<html>`,
		"array":          `[]`,
		"cut":            `{"EntityRecordCountCollection":{"Keys":["account"],"Values":[3`,
		"trailing":       recordCounts(`{"Keys":["account"],"Values":[3]}`) + `x`,
		"negative":       recordCounts(`{"Keys":["account"],"Values":[-1]}`),
		"fraction":       recordCounts(`{"Keys":["account"],"Values":[1.5]}`),
		"exponent":       recordCounts(`{"Keys":["account"],"Values":[1e3]}`),
		"text":           recordCounts(`{"Keys":["account"],"Values":["3"]}`),
		"above Int64":    recordCounts(`{"Keys":["account"],"Values":[9223372036854775808]}`),
		"value is null":  recordCounts(`{"Keys":["account"],"Values":[null]}`),
		"no value":       recordCounts(`{"Keys":["account"],"Values":[]}`),
		"no values":      recordCounts(`{"Keys":["account"]}`),
		"no key":         recordCounts(`{"Keys":[],"Values":[3]}`),
		"another table":  recordCounts(`{"Keys":["contact"],"Values":[3]}`),
		"two tables":     recordCounts(`{"Keys":["account","contact"],"Values":[3,4]}`),
		"key twice":      recordCounts(`{"Keys":["account","account"],"Values":[3,4]}`),
		"member twice":   recordCounts(`{"Keys":["account"],"Values":[3],"Values":[4]}`),
		"another number": recordCounts(`{"Keys":["account"],"Values":[3,4]}`),
		"long": recordCounts(`{"Keys":["account"],"Values":[3],"Pad":"` + strings.Repeat("x", 200<<10) +
			`"}`),
	} {
		t.Run(name, func(t *testing.T) {
			n, err := newRig(t, answer(200, body)).open(t).RecordCount(t.Context(), accounts)
			want := dynamics.Upstream
			if name == "long" {
				want = dynamics.TooLarge
			}
			if kind(t, err, want); n != 0 {
				t.Errorf("%d with an error", n)
			}
		})
	}
}

func TestARecordCountIsOfATableThatMayBeRead(t *testing.T) {
	r := newRig(t, answer(200, `{}`))
	r.tokens.access.Tables = []string{"contacts"}
	_, err := r.open(t).RecordCount(t.Context(), accounts)
	kind(t, err, dynamics.NotConsented)
	if got := r.uris(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
}

func TestParallelHint(t *testing.T) {
	hinted := func(hints ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-Ms-Dop-Hint"] = hints
			_, _ = fmt.Fprint(w, emptyPage)
		}
	}
	for _, c := range []struct {
		hints []string
		want  int
	}{
		{[]string{"4"}, 4}, {[]string{"1"}, 1}, {[]string{"1000"}, 1000}, {nil, 0}, {[]string{""}, 0},
		{[]string{"0"}, 0}, {[]string{"1001"}, 0}, {[]string{"-4"}, 0}, {[]string{"+4"}, 0},
		{[]string{"4.0"}, 0}, {[]string{"4, 4"}, 0}, {[]string{"four"}, 0},
		{[]string{"18446744073709551620"}, 0}, {[]string{strings.Repeat("4", 5000)}, 0},
	} {
		p, err := firstPage(t.Context(), newRig(t, hinted(c.hints...)).open(t), nameOnly)
		if err != nil {
			t.Fatalf("%.40q: %v", c.hints, err)
		}
		if got := p.ParallelHint(); got != c.want {
			t.Errorf("%.40q: %d, want %d", c.hints, got, c.want)
		}
	}
}

// A long query goes in $batch, whose hint may be on the batch or on its part.
func TestParallelHintOfABatch(t *testing.T) {
	for _, c := range []struct {
		outer, inner string
		want         int
	}{{"4", "", 4}, {"", "8", 8}, {"4", "8", 8}, {"", "", 0}} {
		var inner []string
		if c.inner != "" {
			inner = append(inner, "x-ms-dop-hint: "+c.inner)
		}
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if c.outer != "" {
				w.Header().Set("x-ms-dop-hint", c.outer)
			}
			answerBatch(200, innerAnswer(200, emptyPage, inner...))(w, req)
		})
		p, err := firstPage(t.Context(), r.open(t), long(dynamics.MaxURL))
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if got := p.ParallelHint(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestBackground(t *testing.T) {
	if dynamics.Background(t.Context()) {
		t.Error("a call is a job's by itself")
	}
	if !dynamics.Background(dynamics.WithBackground(t.Context())) {
		t.Error("a job's call is not known as one")
	}
	if dynamics.Background(dynamics.WithoutBackground(dynamics.WithBackground(t.Context()))) {
		t.Error("a call that others wait for is a job's")
	}
}
