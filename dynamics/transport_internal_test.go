package dynamics

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// stillToken is a TokenSource that has its answer.
type stillToken Access

func (s stillToken) Access(context.Context, string) (Access, error) { return Access(s), nil }

func (s stillToken) Refused(context.Context, string, Access) (Access, error) { return Access(s), nil }

func clientOf(t *testing.T, server *httptest.Server, config Config) *Session {
	t.Helper()
	_, host, _ := strings.Cut(server.URL, "://")
	var err error
	if config.Hosts, err = NewHostPolicy("https://login.microsoftonline.com", []string{host}, true); err != nil {
		t.Fatal(err)
	}
	config.Tokens = stillToken{Environment: server.URL, Tables: []string{"accounts"}, Token: NewSecret("a.b.c")}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if server.TLS != nil {
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		client.own.short.TLSClientConfig.RootCAs, client.own.long.TLSClientConfig.RootCAs = roots, roots
	}
	s, err := client.Open(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pageOfSize(s *Session, rows int) error {
	p, err := s.Prepare(Table{Name: "accounts", Set: "accounts", Logical: "account", Key: "accountid"},
		Query{Select: []Output{{Column: Column{Logical: "name", Type: Text}, As: "name"}}, PageSize: rows})
	if err == nil {
		_, err = s.Page(context.Background(), p, "")
	}
	return err
}

// Long pages go by HTTP/1.1, where a stream's window does not hold them up, and all else
// by HTTP/2 where the environment speaks it.
func TestHowPagesTravel(t *testing.T) {
	for name, speaks := range map[string]bool{"with HTTP/2": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			var last atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				last.Store(int32(r.ProtoMajor))
				_, _ = io.WriteString(w, `{"value":[]}`)
			}))
			server.EnableHTTP2 = speaks
			server.StartTLS()
			defer server.Close()
			s := clientOf(t, server, Config{})
			for rows, want := range map[int]int32{10: 2, 500: 2, 5000: 1} {
				if !speaks {
					want = 1
				}
				if err := pageOfSize(s, rows); err != nil || last.Load() != want {
					t.Errorf("%d rows: HTTP/%d, want %d (%v)", rows, last.Load(), want, err)
				}
			}
		})
	}
}

// As many connections as there are calls at once are kept, so that a steady load dials no
// more.
func TestASteadyLoadDialsOnce(t *testing.T) {
	const calls, rounds = 100, 4
	var dialled atomic.Int32
	var inside sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inside.Done()
		inside.Wait() // all are here at once
		_, _ = io.WriteString(w, `{"value":[]}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	s := clientOf(t, server, Config{MaxCalls: calls})
	for range rounds {
		inside.Add(calls)
		var work sync.WaitGroup
		for i := range calls {
			work.Go(func() {
				if err := pageOfSize(s, i+1); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
	}
	if n := dialled.Load(); n > calls+calls/4 { // one may be dialled while another comes back
		t.Errorf("%d connections for %d calls at once", n, calls)
	}
}
