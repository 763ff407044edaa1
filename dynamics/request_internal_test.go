package dynamics

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type givesToken func(again bool) string

func (f givesToken) token(_ context.Context, _ *request, again bool) (string, error) {
	return f(again), nil
}

// Whoever tries again, after a fault or to make way for an older request, asks whether
// the connection still is what it was, however short that took.
func TestEveryFurtherTryAsksForTheToken(t *testing.T) {
	hosts, err := NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		status int
		read   error // what the first reading ends in
		made   []int // attempts, as the observer is told
	}{
		"after a fault":             {status: http.StatusServiceUnavailable, made: []int{1, 2}},
		"for lack of memory":        {status: http.StatusOK, read: &Error{Kind: Overloaded, Err: &budget.Error{Cause: budget.ErrTaken}}, made: []int{1, 1}},
		"not when nothing happened": {status: http.StatusOK, made: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			sent, read := 0, 0
			var asked []bool
			var made []int
			client, err := New(Config{Hosts: hosts, RetryDelay: time.Millisecond,
				Observe: func(_ context.Context, c Call) { made = append(made, c.Attempt) },
				Transport: answers(func(*http.Request) (*http.Response, error) {
					status := http.StatusOK
					if sent++; sent == 1 {
						status = c.status
					}
					return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
				})})
			if err != nil {
				t.Fatal(err)
			}
			err = client.send(t.Context(), &request{op: "x", origin: "https://o.crm.dynamics.com", path: "/api/data/v9.2/x",
				tokens: givesToken(func(again bool) string {
					asked = append(asked, again)
					return "token"
				}),
				read: func(*body) error {
					if read++; read == 1 {
						return c.read
					}
					return nil
				}}, "token")
			want := []bool{false, true}[:len(c.made)]
			if err != nil || !slices.Equal(asked, want) || !slices.Equal(made, c.made) {
				t.Errorf("%v; asked again: %v, want %v; attempts %v", err, asked, want, made)
			}
		})
	}
}
