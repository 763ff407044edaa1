package throttle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

// environments answers for hosts: those in refusing say that the user has asked too
// much, the others have no accounts.
type environments struct {
	mu       sync.Mutex
	refusing map[string]string // host: Retry-After
	asked    map[string]int
}

func (e *environments) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.asked == nil {
		e.asked = map[string]int{}
	}
	e.asked[r.URL.Host]++
	out := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r}
	body := `{"value":[]}`
	if wait, ok := e.refusing[r.URL.Host]; ok {
		out.StatusCode = http.StatusTooManyRequests
		out.Header.Set("Retry-After", wait)
		body = `{"error":{"code":"0x80072322","message":"Number of requests exceeded the limit of 6000 over time window of 300 seconds."}}`
	}
	out.Body = io.NopCloser(strings.NewReader(body))
	return out, nil
}

func (e *environments) count(host string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[host]
}

// sameUser gives every connection a token of one user, as the environments claim; a
// connection is named as the host of its environment.
type sameUser struct{}

func (sameUser) Access(_ context.Context, connection string) (dynamics.Access, error) {
	return dynamics.Access{Environment: "https://" + connection, Incarnation: "1", Token: dynamics.NewSecret("token"),
		Tables: []string{"accounts"},
		// What a source says of the environment is not believed either.
		Principal: dynamics.Principal{Environment: "https://org.crm4.dynamics.com", Organization: "org", User: "ada"}}, nil
}

func (sameUser) Refused(context.Context, string, dynamics.Access) (dynamics.Access, error) {
	return dynamics.Access{}, errors.New("no other token")
}

// bridge is one process: a client behind a throttle.
func bridge(t *testing.T, addr string, to *environments) (ask func(connection string) error) {
	t.Helper()
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamics.New(dynamics.Config{Tokens: sameUser{}, Hosts: hosts,
		Gate:      process(t, addr, throttle.Config{}),
		Transport: to, MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return func(connection string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		session, err := client.Open(ctx, connection)
		if err != nil {
			return err
		}
		name := dynamics.Output{Column: dynamics.Column{Logical: "name", Type: dynamics.Text}, As: "name"}
		accounts := dynamics.Table{Name: "accounts", Set: "accounts", Logical: "account", Key: "accountid"}
		query, err := session.Prepare(accounts, dynamics.Query{Select: []dynamics.Output{name}, PageSize: 1})
		if err != nil {
			return err
		}
		_, err = session.Page(ctx, query, "")
		return err
	}
}

// An environment that says that its user is another environment's gets nobody refused
// but itself, in no process.
func TestAnEnvironmentCannotRefuseAnother(t *testing.T) {
	const evil, victim = "evil.crm4.dynamics.com", "org.crm4.dynamics.com"
	addr, _ := startRedis(t)
	to := &environments{refusing: map[string]string{evil: "3600"}}
	here, there := bridge(t, addr, to), bridge(t, addr, to)
	if err := here(evil); dynamics.KindOf(err) != dynamics.Throttled {
		t.Fatalf("%v", err)
	}
	within(t, 5*time.Second, "the other process keeps away from the environment that refuses", func() bool {
		before := to.count(evil)
		return dynamics.KindOf(there(evil)) == dynamics.Throttled && to.count(evil) == before
	})
	for _, ask := range []func(string) error{here, there} {
		if err := ask(victim); err != nil {
			t.Errorf("an environment with equal ids: %v", err)
		}
	}
}

// The two names of one environment are one.
func TestBothNamesOfAnEnvironmentAreOne(t *testing.T) {
	const web, api = "org.crm4.dynamics.com", "org.api.crm4.dynamics.com"
	addr, _ := startRedis(t)
	to := &environments{refusing: map[string]string{web: "3600"}}
	ask := bridge(t, addr, to)
	for _, connection := range []string{api, web, "ORG.crm4.dynamics.com"} {
		err := ask(connection)
		if e, ok := errors.AsType[*dynamics.Error](err); !ok || e.Kind != dynamics.Throttled ||
			e.RetryAfter > dynamics.MaxRetryAfter {
			t.Errorf("%s: %v", connection, err)
		}
	}
	if n := to.count(web) + to.count(api); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

// Who connects again is asked about first, and then the user's next call is let through.
func TestIdentifyLetsACallThrough(t *testing.T) {
	const host = "org.crm4.dynamics.com"
	addr, _ := startRedis(t)
	to := &who{environments: environments{refusing: map[string]string{host: "86400"}}}
	hosts, err := dynamics.NewHostPolicy("https://login.microsoftonline.com", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	limits := process(t, addr, throttle.Config{})
	client, err := dynamics.New(dynamics.Config{Tokens: sameUser{}, Hosts: hosts, Gate: limits, Transport: to,
		MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	identity := dynamics.Principal{Environment: "https://" + host, Organization: whoID, User: whoID}
	leave, err := limits.Enter(t.Context(), identity, "acme")
	if err != nil {
		t.Fatal(err)
	}
	leave(refusedForADay)
	if _, err := limits.Enter(t.Context(), identity, "acme"); dynamics.KindOf(err) != dynamics.Throttled {
		t.Fatalf("%v", err)
	}
	if _, err := client.Identify(t.Context(), "https://ORG.api.crm4.dynamics.com", "token"); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "a call is let through", func() bool { // news of the block may still be on its way
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		probe, err := limits.Enter(ctx, identity, "acme")
		if err == nil {
			probe(answered)
		}
		return err == nil
	})
}

// who answers WhoAmI.
type who struct{ environments }

const whoID = "78914942-34cb-ed11-b596-0022481d68cd"

func (w *who) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/WhoAmI") {
		return w.environments.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"UserId":"` + whoID + `","BusinessUnitId":"` + whoID +
			`","OrganizationId":"` + whoID + `"}`))}, nil
}
