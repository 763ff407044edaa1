package dynamics_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// roundTrip is a network in memory, so that a test's clock may be synctest's.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// said is an answer as the network gives it.
func said(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// slowly answers after a time, unless the request ends before.
func slowly(r *http.Request, d time.Duration, status int, body string) (*http.Response, error) {
	select {
	case <-time.After(d):
		return said(status, body)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// source is a TokenSource that gives access until it is told an error or another.
type source struct {
	mu     sync.Mutex
	access dynamics.Access
	err    error
	delay  time.Duration
}

func (s *source) Access(context.Context, string) (dynamics.Access, error) {
	s.mu.Lock()
	a, err, delay := s.access, s.err, s.delay
	s.mu.Unlock()
	time.Sleep(delay)
	return a, err
}

func (s *source) Refused(ctx context.Context, connection string, _ dynamics.Access) (dynamics.Access, error) {
	return s.Access(ctx, connection)
}

func (s *source) set(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

const virtualOrg = "https://org.crm.dynamics.com"

// virtual is a client without a network, and where its tokens come from.
func virtual(t testing.TB, network roundTrip, change ...func(*dynamics.Config)) (*dynamics.Client, *source) {
	t.Helper()
	policy, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	tokens := &source{access: dynamics.Access{Tables: told, Environment: virtualOrg, Incarnation: "1",
		Token: dynamics.NewSecret(canaryToken), Principal: ada}}
	config := dynamics.Config{Tokens: tokens, Hosts: policy, Transport: network}
	for _, f := range change {
		f(&config)
	}
	client, err := dynamics.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client, tokens
}

// opened opens the connection acme.
func opened(t testing.TB, client *dynamics.Client) *dynamics.Session {
	t.Helper()
	s, err := client.Open(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
