package tokens_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

var (
	onlyAccounts = []string{"accounts"}
	both         = []string{"accounts", "contacts"}
)

// serving is the authorizer of a process that serves these tables.
func (b *bench) serving(tables ...string) *tokens.Authorizer {
	b.serves = tables
	return b.authorizer()
}

// wantTables compares the tables of a stored connection.
func (b *bench) wantTables(id string, want []string) {
	b.t.Helper()
	c, err := b.store.Get(b.t.Context(), id)
	if err != nil || !slices.Equal(c.Tables, want) {
		b.t.Errorf("%s has the tables %q (%v), want %q", id, c.Tables, err, want)
	}
}

var listItem = regexp.MustCompile(`<li>(.*?)</li>`)

// readings are what a page says may be read.
func readings(page string) (list []string) {
	for _, match := range listItem.FindAllStringSubmatch(page, -1) {
		list = append(list, match[1])
	}
	return list
}

// agree goes through the pages of a connect link in one browser. Each page is served by
// a process of its own: the connect page, its button, and the callback.
func (b *bench) agree(connectURL string, page, button, callback http.Handler) (connect, done string) {
	b.t.Helper()
	t := b.t.(*testing.T)
	res, connect := visit(t, page, "GET", connectURL, "")
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, connect)
	}
	mine := "crmbridge=" + res.Cookies()[0].Value
	authorization := goOn(t, button, connectURL, mine)
	u, err := url.Parse(authorization)
	if err != nil {
		t.Fatal(err)
	}
	back := url.Values{"state": {u.Query().Get("state")}, "code": {b.code(authorization).Reveal()}}
	res, done = visit(t, callback, "GET", "/oauth/callback?"+back.Encode(), mine)
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, done)
	}
	return connect, done
}

// A connection has the tables that its page showed: those of the process that made the
// link, whichever processes serve the page, the button and the callback.
func TestAConnectionHasTheTablesOfItsPage(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	narrow, wide, standard := b.serving("accounts"), b.serving("accounts", "contacts"), b.serving()
	rows, unknown := []string{"rows of accounts", "columns"}, []string{"rows of accounts", "contacts", "columns"}
	for _, c := range []struct {
		name                   string
		made, page, ends       *tokens.Authorizer
		tables, connect, after []string
	}{
		{"one process", wide, wide, wide, both, []string{"rows of accounts", "rows of contacts", "columns"},
			[]string{"rows of accounts", "rows of contacts", "columns"}},
		{"made by one that serves more", wide, narrow, narrow, both, unknown, unknown},
		{"made by one that serves less", narrow, wide, wide, onlyAccounts, rows, rows},
		{"shown by one that serves less", wide, narrow, wide, both, unknown,
			[]string{"rows of accounts", "rows of contacts", "columns"}},
		{"where no tables are named", standard, wide, wide, onlyAccounts, rows, rows},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := strings.ReplaceAll(c.name, " ", "-")
			begun, err := c.made.Begin(t.Context(), tokens.Request{Connection: id, EnvironmentURL: envA})
			if err != nil {
				t.Fatal(err)
			}
			b.wantTables(id, nil) // nobody has agreed to anything
			connect, done := b.agree(begun.ConnectURL, c.page.Handler(), c.ends.Handler(), c.ends.Handler())
			b.wantTables(id, c.tables)
			if got := readings(connect); !slices.Equal(got, c.connect) {
				t.Errorf("the connect page shows %q, want %q", got, c.connect)
			}
			if got := readings(done); !slices.Equal(got, c.after) {
				t.Errorf("the last page shows %q, want %q", got, c.after)
			}
		})
	}
}

// Where applications complete over the bus there is no page: the tables are those of
// the authorization, and the same callback again says the same.
func TestTablesWithoutAPage(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	narrow, wide := b.serving("accounts"), b.serving("contacts", "accounts")
	for _, c := range []struct {
		id         string
		made, ends *tokens.Authorizer
		want       []string
	}{
		{"more", wide, narrow, []string{"contacts", "accounts"}},
		{"less", narrow, wide, onlyAccounts},
	} {
		b.auth = c.made
		callback := b.signIn(tokens.Request{Connection: c.id})
		for range 2 {
			got, err := c.ends.Complete(t.Context(), callback)
			if err != nil || !slices.Equal(got.Tables, c.want) {
				t.Errorf("%s: %q (%v), want %q", c.id, got.Tables, err, c.want)
			}
		}
		b.wantTables(c.id, c.want)
	}
}

// Nobody at the customer is asked where the application connects itself: the tables are
// the deployment's at that time.
func TestTablesOfAnApplication(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	ask := tokens.Request{Connection: "app", EnvironmentURL: envA}
	for _, c := range []struct {
		auth *tokens.Authorizer
		want []string
	}{{b.serving("accounts"), onlyAccounts}, {b.serving(both...), both}, {b.serving("contacts"), []string{"contacts"}}} {
		made, err := c.auth.App(t.Context(), ask)
		if err != nil || !slices.Equal(made.Tables, c.want) {
			t.Errorf("%q (%v), want %q", made.Tables, err, c.want)
		}
		b.wantTables("app", c.want)
	}
	// A person who connects it after that is told of everything for the first time.
	begun, err := b.serving(both...).Begin(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	_, page := visit(t, b.auth.Handler(), "GET", begun.ConnectURL, "")
	if strings.Contains(page, "new:") {
		t.Error(readings(page))
	}
}

// Connecting again adds and takes away, and the page says what is new. Until the
// person is done everything is as before. Each process uses the new tables at once,
// also one that serves the connection from its memory.
func TestConnectingAgainChangesTables(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.auth = b.serving("accounts")
		first := b.connect("acme", 3600)
		near := b.source()
		far := client(t, rdb.(*redis.Client).Options().Addr)
		other := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(far, b.keys), Entra: b.app(), Log: b.log()})
		defer other.Close(t.Context())
		for _, step := range []struct {
			serves, was []string
			page        []string
		}{
			{both, onlyAccounts, []string{"rows of accounts", "<strong>new:</strong> rows of contacts", "columns"}},
			{both, both, []string{"rows of accounts", "rows of contacts", "columns"}},
			{[]string{"leads"}, both, []string{"<strong>new:</strong> rows of leads", "columns"}},
			{onlyAccounts, []string{"leads"}, []string{"<strong>new:</strong> rows of accounts", "columns"}},
		} {
			servedFromMemory(t, rdb, near, "acme")
			servedFromMemory(t, far, other, "acme")
			a := b.serving(step.serves...)
			begun, err := a.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*tokens.Source{near, other} {
				if got, err := s.Access(t.Context(), "acme"); err != nil || !slices.Equal(got.Tables, step.was) {
					t.Errorf("before the person is done: %q (%v), want %q", got.Tables, err, step.was)
				}
			}
			page, _ := b.agree(begun.ConnectURL, a.Handler(), a.Handler(), a.Handler())
			if got := readings(page); !slices.Equal(got, step.page) {
				t.Errorf("the page shows %q, want %q", got, step.page)
			}
			// The process that completed it uses them at once, every other when it has heard.
			if got, err := near.Access(t.Context(), "acme"); err != nil || !slices.Equal(got.Tables, step.serves) ||
				got.Incarnation != first.Incarnation {
				t.Errorf("%q (%v), want %q", got.Tables, err, step.serves)
			}
			await(t, "the new tables in another process", func() bool {
				got, err := other.Access(t.Context(), "acme")
				return err == nil && slices.Equal(got.Tables, step.serves)
			})
		}
	})
}

// Nothing but connecting changes what a person agreed to: not a refresh, whatever the
// process serves that asks for it, not new names, not a new seal, and not the loss of
// the grant.
func TestOnlyConnectingChangesTables(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		must := must[[]byte](t)
		first := must(tokens.GenerateKeyset())
		b := newBenchWith(t, rdb, first)
		b.auth = b.serving(both...)
		c, lost := b.connect("acme", 1), b.connect("lost", 1)
		b.serving("leads") // the deployment is set up otherwise by now
		b.expiredNow(c)
		b.expiredNow(lost)
		s := tokens.NewSource(tokens.SourceConfig{Store: b.store, Entra: b.app(), Log: b.log(),
			Names: func(context.Context, string, string, string, string) tokens.Names {
				return tokens.Names{User: "ada@contoso.example", UserFull: "Ada", Organization: "Contoso"}
			}})
		defer s.Close(t.Context())
		refreshed, err := s.Access(t.Context(), "acme")
		if err != nil || !slices.Equal(refreshed.Tables, both) {
			t.Fatalf("after a refresh: %q (%v)", refreshed.Tables, err)
		}
		await(t, "names", func() bool {
			c, err = b.store.Get(t.Context(), "acme")
			return err == nil && c.OrganizationName == "Contoso"
		})
		b.wantTables("acme", both)
		forced, err := s.Refused(t.Context(), "acme", refreshed)
		if err != nil || !slices.Equal(forced.Tables, both) || forced.Token == refreshed.Token {
			t.Errorf("after a forced refresh: %q (%v)", forced.Tables, err)
		}
		keys, err := tokens.ReadKeyset(must(tokens.RotateKeyset(first)))
		if err != nil {
			t.Fatal(err)
		}
		resealed := tokens.NewStore(rdb, keys)
		if n, err := resealed.Reseal(t.Context(), nil); err != nil || n.Grants != 2 {
			t.Errorf("%+v %v", n, err)
		}
		if c, err := resealed.Get(t.Context(), "acme"); err != nil || !slices.Equal(c.Tables, both) {
			t.Errorf("after a new seal: %q (%v)", c.Tables, err)
		}
		b.entra.set(func() {
			b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool {
				refuse(w, 400, "invalid_grant", 50173)
				return true
			}
		})
		after := tokens.NewSource(tokens.SourceConfig{Store: resealed, Entra: b.app(), Log: b.log()})
		defer after.Close(t.Context())
		_, err = after.Access(t.Context(), "lost")
		wantCode(t, err, tokens.CodeReauthorizationRequired)
		if c, err := resealed.Get(t.Context(), "lost"); err != nil || c.Status != tokens.StatusReauthorizationRequired ||
			!slices.Equal(c.Tables, both) {
			t.Errorf("after the loss of the grant: %q %s (%v)", c.Tables, c.Status, err)
		}
	})
}

// A connection that is deleted takes along what was agreed to.
func TestADeletedConnectionHasNoTables(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	b.auth = b.serving(both...)
	b.connect("acme", 3600)
	stale := b.signIn(tokens.Request{Connection: "acme"})
	if err := b.store.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	b.auth = b.serving("accounts")
	begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA})
	if err != nil {
		t.Fatal(err)
	}
	b.wantTables("acme", nil)
	if _, err := b.auth.Complete(t.Context(), stale); tokens.CodeOf(err) != tokens.CodeInvalidState {
		t.Error("a sign-in from before the deletion:", err)
	}
	page, _ := b.agree(begun.ConnectURL, b.auth.Handler(), b.auth.Handler(), b.auth.Handler())
	if strings.Contains(page, "new:") {
		t.Error(readings(page))
	}
	b.wantTables("acme", onlyAccounts)
}

func TestTablesOfADeploymentAreNamedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	for _, tables := range [][]string{{"accounts", ""}, {"accounts", "contacts", "accounts"}} {
		_, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: b.store, Entra: b.app(),
			PublicURL: "http://localhost:8080",
			Discover:  tokensDiscover, Identify: tokensIdentify, Tables: tables})
		if err == nil || !strings.HasPrefix(err.Error(), "TABLES ") {
			t.Errorf("%q: %v", tables, err)
		}
	}
}
