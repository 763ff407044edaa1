package tokens

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// What Entra answers is of one customer or of all.
func TestFaultsOfOneAndOfAll(t *testing.T) {
	answer := func(status int, body string) error {
		return classify(grantRefresh, &oauth2.RetrieveError{Response: &http.Response{StatusCode: status}, Body: []byte(body)})
	}
	refusal := func(code string, number int) error {
		return answer(400, fmt.Sprintf(`{"error":%q,"error_codes":[%d]}`, code, number))
	}
	for name, c := range map[string]struct {
		err error
		own bool
	}{
		"the application is removed there":    {refusal("unauthorized_client", 700016), true},
		"the application is disabled there":   {refusal("unauthorized_client", 7000112), true},
		"disabled, as another error":          {refusal("invalid_client", 7000112), true},
		"the directory is gone":               {refusal("invalid_request", 90002), true},
		"the environment is not known there":  {refusal("invalid_resource", 500011), true},
		"rights are missing there":            {refusal("invalid_client", 650052), true},
		"the grant is gone":                   {refusal("invalid_grant", 700082), true},
		"a loop":                              {refusal("invalid_grant", 50196), true},
		"unknown":                             {refusal("something_new", 123456), true},
		"without a number":                    {answer(400, `{"error":"unauthorized_client"}`), true},
		"a wrong secret":                      {refusal("invalid_client", 7000215), false},
		"a secret that has expired":           {refusal("invalid_client", 7000222), false},
		"a certificate that is not known":     {refusal("invalid_client", 700027), false},
		"a federated credential":              {refusal("invalid_client", 700213), false},
		"a wrong clock":                       {refusal("invalid_client", 700024), false},
		"a wrong secret without a number":     {answer(401, `{"error":"invalid_client"}`), false},
		"Entra cannot answer":                 {refusal("temporarily_unavailable", 90033), false},
		"Entra cannot answer, without number": {answer(400, `{"error":"server_error"}`), false},
		"a page of a proxy":                   {answer(502, "<html>"), false},
		"throttled":                           {answer(429, "{}"), false},
		"no answer":                           {classify(grantRefresh, http.ErrHandlerTimeout), false},
	} {
		if f, ok := c.err.(*Error); !ok || f.own != c.own {
			t.Errorf("%s: of one: %t, want %t (%v)", name, ok && f.own, c.own, c.err)
		}
	}
}

func TestPace(t *testing.T) {
	good := &renewed{directory: "good"}
	blocked := func(n int) *renewed {
		return &renewed{fmt.Sprint("blocked", n), &Error{Code: CodeConfigurationError, own: true}}
	}
	away := &renewed{"x", &Error{Code: CodeUnavailable}}
	throttled := &renewed{"x", &Error{Code: CodeThrottled, RetryAfter: 30 * time.Second}}
	var many [][]*renewed
	var pauses []time.Duration
	for n := range refusedMost + 2 {
		many, pauses = append(many, []*renewed{blocked(n)}), append(pauses, 0)
	}
	pauses[refusedMost], pauses[refusedMost+1] = calmFirst, 2*calmFirst
	for name, c := range map[string]struct {
		rounds [][]*renewed
		want   []time.Duration
	}{
		"three customers are blocked": {[][]*renewed{{blocked(1), blocked(2), blocked(3), good}, {blocked(1)},
			{blocked(2), blocked(3)}, {blocked(1), blocked(2), nil}},
			[]time.Duration{0, 0, 0, 0}},
		"Entra is away, and back": {[][]*renewed{{away, away}, {away}, {nil}, {away}, {good}, {away}},
			[]time.Duration{calmFirst, 2 * calmFirst, 0, 4 * calmFirst, 0, calmFirst}},
		"throttled": {[][]*renewed{{throttled}, {throttled}, {throttled}, {throttled}},
			[]time.Duration{30 * time.Second, time.Minute, calmMost, calmMost}},
		"one of several":            {[][]*renewed{{throttled, good}, {away, blocked(1), good}}, []time.Duration{0, 0}},
		"many directories in a row": {many, pauses},
	} {
		var w pace
		for i, round := range c.rounds {
			if got := w.after(round); got != c.want[i] {
				t.Errorf("%s, round %d: %v, want %v", name, i, got, c.want[i])
			}
		}
	}
}
