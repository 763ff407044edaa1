package tokens_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

func app(change ...func(*tokens.Request)) tokens.Request {
	q := tokens.Request{Connection: "app", EnvironmentURL: envA}
	for _, c := range change {
		c(&q)
	}
	return q
}

// What must not become a connection stores nothing, and asks nobody where the
// request alone is wrong.
func TestApplicationsThatMustNotConnect(t *testing.T) {
	t.Parallel()
	refusedBy := func(status int, code string, number int) func(*bench) {
		return func(b *bench) {
			b.entra.answer = func(w http.ResponseWriter, _ url.Values,
				_ int) bool {
				refuse(w, status, code, number)
				return true
			}
		}
	}
	for _, c := range []struct {
		name  string
		ask   func(*tokens.Request)
		setUp func(*bench)
		code  string
		says  string
		sent  int // token requests
	}{
		{"a connection that is not listed", func(q *tokens.Request) { q.Connection = "acme" }, nil,
			tokens.CodePermissionDenied, "APP_CONNECTIONS_FILE", 0},
		{"a listed connection to another environment", func(q *tokens.Request) { q.EnvironmentURL = envB }, nil,
			tokens.CodePermissionDenied, "APP_CONNECTIONS_FILE", 0},
		{"no connection id", func(q *tokens.Request) { q.Connection = "a b" }, nil, tokens.CodeInvalidRequest,
			"connection", 0},
		{"common", func(q *tokens.Request) { q.Tenant = "common" }, nil, tokens.CodeInvalidRequest, "one directory", 0},
		{"organizations", func(q *tokens.Request) { q.Tenant = "organizations" }, nil, tokens.CodeInvalidRequest,
			"one directory", 0},
		{"a path as tenant", func(q *tokens.Request) { q.Tenant = "../" + tenantA }, nil, tokens.CodeInvalidRequest,
			"tenant", 0},
		{"another directory than the environment's", func(q *tokens.Request) { q.Tenant = tenantB }, nil,
			tokens.CodeIdentityMismatch, tenantA, 0},
		{"no directory known", nil, func(b *bench) { b.discover = "" }, tokens.CodeInvalidRequest, "give tenant", 0},
		{"an environment of any directory", nil, func(b *bench) { b.discover = "organizations" }, tokens.CodeInvalidRequest,
			"give tenant", 0},
		{"an environment that this installation does not serve", nil, func(b *bench) {
			b.tune = func(c *tokens.EntraConfig) {
				c.Serves = func(string) error { return errors.New("another cloud's, whose authority is elsewhere") }
			}
		}, tokens.CodeConfigurationError, "does not serve", 0},
		{"no application user", nil, func(b *bench) {
			b.identify = func() error { return &tokens.Error{Code: tokens.CodePermissionDenied, Message: "no member"} }
		}, tokens.CodePermissionDenied, "application user for application " + clientID, 1},
		{"Dataverse away", nil, func(b *bench) { b.identify = func() error { return errors.New("away") } },
			tokens.CodeUnavailable, "try again", 1},
		{"a user id that is none", nil, func(b *bench) { b.user = "nobody" }, tokens.CodeUpstreamError,
			"application user", 1},
		{"a wrong secret", nil, refusedBy(401, "invalid_client", 7000215), tokens.CodeConfigurationError,
			"ENTRA_CLIENT_SECRET is wrong", 1},
		{"an expired secret", nil, refusedBy(401, "invalid_client", 7000222), tokens.CodeConfigurationError,
			"make a new one", 1},
		{"an application that the directory does not know", nil, refusedBy(400, "unauthorized_client", 700016),
			tokens.CodeConsentRequired, "an administrator must consent", 1},
		{"an environment that the directory does not know", nil, refusedBy(400, "invalid_resource", 500011),
			tokens.CodeConfigurationError, "check environment URL and tenant", 1},
		{"a policy against the application", nil, refusedBy(400, "interaction_required", 53003), tokens.CodePermissionDenied,
			"Conditional Access", 1},
		{"an application without a role", nil, refusedBy(400, "invalid_grant", 501051), tokens.CodePermissionDenied,
			"must assign it", 1},
		{"Entra away", nil, refusedBy(503, "invalid_grant", 70000), tokens.CodeUnavailable, "try again", 1},
		{"a throttled Entra", nil, refusedBy(429, "", 0), tokens.CodeThrottled, "try again", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				b := newBench(t, rdb)
				if c.setUp != nil {
					c.setUp(b)
				}
				q := app()
				if c.ask != nil {
					c.ask(&q)
				}
				_, err := b.authorizer().App(t.Context(), q)
				wantCode(t, err, c.code)
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v does not say %q", err, c.says)
				}
				if e, _ := errors.AsType[*tokens.Error](err); c.code == tokens.CodeConsentRequired {
					if u, err := url.Parse(e.AdminConsentURL); err != nil || u.Path != "/"+tenantA+"/v2.0/adminconsent" ||
						u.Query().Get("scope") != envA+"/.default" {
						t.Errorf("admin consent at %s (%v)", e.AdminConsentURL, err)
					}
				}
				if n := b.entra.count("client_credentials"); n != c.sent {
					t.Errorf("%d token requests, want %d", n, c.sent)
				}
				if left := dump(t, rdb); strings.Contains(left, "grant") {
					t.Errorf("something is stored:\n%s", left)
				}
			})
		})
	}
}

// An application connects, is renewed by one new request over several processes,
// and never has a refresh token.
func TestAnApplicationConnectsAndStaysConnected(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.entra.set(func() { b.entra.lifetimes = []int{1, 3600} })
		c, err := b.auth.App(t.Context(), app(func(q *tokens.Request) { q.Tenant = "contoso.example" }))
		if err != nil {
			t.Fatal(err)
		}
		if c.Grant != tokens.GrantClientCredentials || c.Status != tokens.StatusActive || c.TenantID != tenantA ||
			c.UserID != userA ||
			c.OrganizationID != orgA || fmt.Sprint(c.Scopes) != "["+envA+"/.default]" || c.EnvironmentURL != envA ||
			c.AccessTokenExpiresAt.IsZero() {
			t.Errorf("%+v", c)
		}
		if list, _, err := b.store.List(t.Context(), "", 10); err != nil || len(list) != 1 || list[0].ID != "app" {
			t.Errorf("listed: %v, %v", list, err)
		}
		await(t, "end of the token", func() bool { return time.Now().After(c.AccessTokenExpiresAt) })
		var work sync.WaitGroup
		for range 4 {
			s := b.source()
			for range 25 {
				work.Go(func() {
					a, err := s.Access(t.Context(), "app")
					if err != nil || a.Environment != envA || a.Token.Reveal() != canary+"-access-2" {
						t.Errorf("%v %v", a, err)
					}
				})
			}
		}
		work.Wait()
		if n := b.entra.count("client_credentials"); n != 2 {
			t.Errorf("%d token requests, want 2", n)
		}
		after, err := b.store.Get(t.Context(), "app")
		if err != nil || after.Status != tokens.StatusActive || fmt.Sprint(after.Scopes) != fmt.Sprint(c.Scopes) ||
			after.Incarnation != c.Incarnation {
			t.Errorf("%+v %v", after, err)
		}
		if strings.Contains(dump(t, rdb), canary) {
			t.Error("Redis holds a secret in clear")
		}
	})
}

// What refuses an application's renewal does not mark the connection: it works
// again as soon as that is mended.
func TestARefusedApplicationIsNotMarked(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		if _, err := b.auth.App(t.Context(), app()); err != nil {
			t.Fatal(err)
		}
		s := b.source()
		a, err := s.Access(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		b.entra.set(func() {
			b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool {
				refuse(w, 400, "invalid_grant", 53003)
				return true
			}
		})
		_, err = s.Refused(t.Context(), "app", a)
		wantCode(t, err, tokens.CodePermissionDenied)
		if c, err := b.store.Get(t.Context(), "app"); err != nil || c.Status != tokens.StatusActive {
			t.Fatalf("%+v %v", c, err)
		}
		b.entra.set(func() { b.entra.answer = nil })
		await(t, "a token after the pause", func() bool {
			fresh, err := s.Refused(t.Context(), "app", a)
			return err == nil && fresh.Token != a.Token
		})
	})
}

// The operator ends an application's connection by taking it from the list.
func TestAConnectionThatIsNoLongerListed(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	if _, err := b.auth.App(t.Context(), app()); err != nil {
		t.Fatal(err)
	}
	s := b.source()
	a, err := s.Access(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	b.tune = func(c *tokens.EntraConfig) { c.Apps = nil }
	before := b.entra.count("client_credentials")
	restarted := b.source()
	_, err = restarted.Access(t.Context(), "app") // whatever is left of its token
	wantCode(t, err, tokens.CodePermissionDenied)
	_, err = restarted.Refused(t.Context(), "app", a)
	wantCode(t, err, tokens.CodePermissionDenied)
	if n := b.entra.count("client_credentials") - before; n != 0 {
		t.Errorf("%d token requests for what is not listed", n)
	}
}

// An application takes a person's connection over, or the other way round, only
// where the request says so; another environment's connection never.
func TestAnApplicationAndAPerson(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		person := b.connect("app", 3600)
		b.mu.Lock()
		b.user = userB
		b.mu.Unlock()
		_, err := b.auth.App(t.Context(), app())
		wantCode(t, err, tokens.CodeIdentityMismatch)
		if c, err := b.store.Get(t.Context(), "app"); err != nil || c.UserID != userA ||
			c.Grant != tokens.GrantAuthorizationCode || c.Version != person.Version {
			t.Fatalf("%+v %v", c, err)
		}
		c, err := b.auth.App(t.Context(), app(func(q *tokens.Request) { q.AllowUserChange = true }))
		if err != nil || c.UserID != userB || c.Grant != tokens.GrantClientCredentials ||
			c.Incarnation != person.Incarnation {
			t.Fatalf("%+v %v", c, err)
		}
		s := b.source()
		a, err := s.Access(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Refused(t.Context(), "app", a); err != nil || b.entra.count("refresh_token") != 0 {
			t.Errorf("%d uses of the person's refresh token, %v", b.entra.count("refresh_token"), err)
		}
		b.mu.Lock()
		b.user = userA
		b.mu.Unlock()
		_, err = b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "app"}))
		wantCode(t, err, tokens.CodeIdentityMismatch)
		back, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "app", AllowUserChange: true}))
		if err != nil || back.Grant != tokens.GrantAuthorizationCode || back.UserID != userA {
			t.Errorf("%+v %v", back, err)
		}
		b.connect("moved", 3600) // to envA, while the list has it at envB
		_, err = b.auth.App(t.Context(), tokens.Request{Connection: "moved", EnvironmentURL: envB})
		wantCode(t, err, tokens.CodeConnectionExists)
	})
}

// Several processes that connect the same application at once make one connection.
func TestAnApplicationConnectsTwiceAtOnce(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		var work sync.WaitGroup
		for range 8 {
			work.Go(func() {
				if c, err := b.auth.App(t.Context(), app()); err != nil && tokens.CodeOf(err) != tokens.CodeUnavailable ||
					err == nil && c.Status != tokens.StatusActive {
					t.Errorf("%+v %v", c, err)
				}
			})
		}
		work.Wait()
		if c, err := b.store.Get(t.Context(), "app"); err != nil || c.Status != tokens.StatusActive {
			t.Errorf("%+v %v", c, err)
		}
	})
}

// The last gate: no token request of any grant leaves for an environment that the
// installation does not serve, and nothing is marked by that.
func TestNothingIsSentForAnotherCloudsEnvironment(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	b.connect("acme", 3600)
	a, err := b.source().Access(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	b.tune = func(c *tokens.EntraConfig) {
		c.Serves = func(environment string) error { return errors.New("the host is in another cloud") }
	}
	before := b.entra.count("refresh_token")
	_, err = b.source().Refused(t.Context(), "acme", a)
	wantCode(t, err, tokens.CodeConfigurationError)
	if c, err := b.store.Get(t.Context(), "acme"); b.entra.count("refresh_token") != before || err != nil ||
		c.Status != tokens.StatusActive {
		t.Errorf("%d requests, %+v, %v", b.entra.count("refresh_token")-before, c, err)
	}
}
