package dynamics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	canaryToken = "canary-token-7f3a"
	someID      = "78914942-34cb-ed11-b596-0022481d68cd"
)

// accounts is the table that most tests read.
var accounts = dynamics.Table{Name: "accounts", Set: "accounts", Logical: "account", Key: "accountid",
	Privilege: "prvReadAccount"}

// told are the tables that the person of each test's connection was told of.
var told = []string{"accounts", "contacts", "leads"}

// firstPage prepares q for accounts and reads its first page.
func firstPage(ctx context.Context, s *dynamics.Session, q dynamics.Query) (*dynamics.Page, error) {
	return nextPage(ctx, s, q, "")
}

func nextPage(ctx context.Context, s *dynamics.Session, q dynamics.Query, link string) (*dynamics.Page, error) {
	p, err := s.Prepare(accounts, q)
	if err != nil {
		return nil, err
	}
	return s.Page(ctx, p, link)
}

// firstChanges prepares q for accounts and reads its first page.
func firstChanges(ctx context.Context, s *dynamics.Session, q dynamics.ChangesQuery) (*dynamics.ChangesPage, error) {
	return nextChanges(ctx, s, q, "")
}

func nextChanges(ctx context.Context, s *dynamics.Session, q dynamics.ChangesQuery,
	link string) (*dynamics.ChangesPage, error) {
	p, err := s.PrepareChanges(accounts, q)
	if err != nil {
		return nil, err
	}
	return s.Changes(ctx, p, link)
}

// rig is a client, a session and the server they talk to.
type rig struct {
	*httptest.Server
	client *dynamics.Client
	tokens *tokens
	calls  []dynamics.Call

	mu   sync.Mutex
	seen []*http.Request
}

// tokens is a TokenSource that counts and may be changed by a test.
type tokens struct {
	mu      sync.Mutex
	access  dynamics.Access
	asked   int
	refused int
	claims  string // of the last refusal
	renewed func(dynamics.Access) (dynamics.Access, error)
}

func (t *tokens) Access(context.Context, string) (dynamics.Access, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	return t.access, nil
}

func (t *tokens) Refused(_ context.Context, _ string, a dynamics.Access) (dynamics.Access, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	t.claims = a.Claims.Reveal()
	return t.renewed(a)
}

func (t *tokens) set(change func(*dynamics.Access)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.access)
}

func newRig(t *testing.T, handler http.HandlerFunc, change ...func(*dynamics.Config)) *rig {
	t.Helper()
	r := &rig{tokens: &tokens{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Clone(context.Background()))
		r.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		handler(w, req)
	}))
	t.Cleanup(r.Close)
	r.tokens.access = dynamics.Access{Environment: r.URL, Incarnation: "1", Token: dynamics.NewSecret(canaryToken),
		Tables: told}
	policy, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", []string{r.host()}, true)
	if err != nil {
		t.Fatal(err)
	}
	config := dynamics.Config{Tokens: r.tokens, Hosts: policy, RetryDelay: time.Millisecond, UserAgent: "rig/1"}
	config.Observe = func(_ context.Context, c dynamics.Call) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, c)
	}
	for _, f := range change {
		f(&config)
	}
	if r.client, err = dynamics.New(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	return r
}

func (r *rig) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *rig) open(t testing.TB) *dynamics.Session {
	t.Helper()
	s, err := r.client.Open(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// uris returns the request URIs as they came over the wire.
func (r *rig) uris() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, req := range r.seen {
		out = append(out, req.RequestURI)
	}
	return out
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// kind fails the test unless err is a *dynamics.Error of kind k, and checks what
// holds for every error text.
func kind(t *testing.T, err error, k dynamics.Kind) *dynamics.Error {
	t.Helper()
	e, ok := err.(*dynamics.Error)
	if !ok {
		t.Errorf("error is %T %v, want *dynamics.Error with %v", err, err, k)
		return &dynamics.Error{} // goroutines of a test ask too, which cannot end it
	}
	if e.Kind != k {
		t.Errorf("kind %v (%v), want %v", e.Kind, err, k)
	}
	// The one origin that may stand there is what the asker's own would rightly be, or this machine's.
	right := regexp.MustCompile(`; right would be (https://ORG\.crm\.dynamics\.com|http://127\.0\.0\.1:[0-9]+)$`)
	if text := err.Error(); strings.Contains(text, canaryToken) ||
		strings.Contains(right.ReplaceAllString(text, ""), "://") || strings.ContainsAny(text, "\r\n") {
		t.Errorf("error text leaks or has lines: %q", text)
	}
	return e
}

func column(name string, kind dynamics.ColumnType) dynamics.Column {
	return dynamics.Column{Logical: name, Type: kind}
}

func output(name string, kind dynamics.ColumnType) dynamics.Output {
	return dynamics.Output{Column: column(name, kind), As: name}
}

var nameOnly = dynamics.Query{Select: []dynamics.Output{output("name", dynamics.Text)}, PageSize: 2}

const emptyPage = `{"value":[]}`
