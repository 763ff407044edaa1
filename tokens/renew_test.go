package tokens_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// brisk is a renewal on the scale of tests.
var brisk = tokens.Renewal{Look: 100 * time.Millisecond, Backfill: 200 * time.Millisecond, PerSecond: 50}

func (b *bench) renewing(r tokens.Renewal, waited func(context.Context, time.Duration)) *tokens.Source {
	s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(b.rdb, b.keys), Entra: b.app(), Log: b.log(),
		Renewal: r, Waited: waited})
	b.t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// While a connection is in use nobody waits for the token endpoint, however many
// processes there are; some time after its last use nobody renews it any more.
func TestInUseNobodyWaits(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: tokens of 6 s are used to their end")
	}
	b := newBench(t, client(t, startRedis(t)))
	// A token of 6 s is renewed 1.5 s to 1.9 s before its end at the latest, and waited
	// for in the last 0.6 s. In between are a dozen steps like this one.
	patiently(t, 50*time.Millisecond, b.look, func(scale int) error {
		return b.inUse(fmt.Sprintf("acme%d", scale), 6*scale)
	})
}

// inUse says whether nobody waits while three processes use a connection whose
// tokens live for so many seconds, and nobody renews it when they do no more.
func (b *bench) inUse(id string, life int) error {
	b.connect(id, life)
	b.entra.set(func() { b.entra.lifetimes = []int{life} })
	before := b.entra.count("refresh_token")
	r := brisk
	r.Recent = time.Duration(life) * time.Second / 4
	var waits, requests, failures atomic.Int64
	var wait sync.WaitGroup
	end := time.Now().Add(time.Duration(life) * time.Second * 5 / 3)
	for range 3 {
		s := b.renewing(r, func(context.Context, time.Duration) { waits.Add(1) })
		defer s.Close(context.Background())
		wait.Go(func() {
			for time.Now().Before(end) {
				asked := time.Now()
				a, err := s.Access(b.t.Context(), id)
				if err != nil || !a.ExpiresAt.After(asked) {
					b.t.Logf("access: %v, a token until %v at %v", err, a.ExpiresAt, asked)
					failures.Add(1)
					return
				}
				requests.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wait.Wait()
	n := b.entra.count("refresh_token") - before
	b.t.Logf("%d requests, %d token requests", requests.Load(), n)
	if failures.Load() > 0 || waits.Load() > 0 || n < 1 || n > 3 {
		return fmt.Errorf("%d requests failed and %d waited for a token, want none; %d token requests, want 1 to 3",
			failures.Load(), waits.Load(), n)
	}
	await(b.t, "its last use to be long ago", func() bool {
		return b.rdb.Exists(b.t.Context(),
			"crmbridge:{"+id+"}:used").Val() == 0
	})
	time.Sleep(time.Duration(life) * 50 * time.Millisecond) // a renewal that was decided on before comes to its end
	n = b.entra.count("refresh_token")
	await(b.t, "the end of its token", func() bool {
		c, err := b.store.Get(b.t.Context(), id)
		return err == nil && time.Now().After(c.AccessTokenExpiresAt)
	})
	if now := b.entra.count("refresh_token"); now > n {
		return fmt.Errorf("%d token requests for a connection that nobody uses", now-n)
	}
	return nil
}

// A day is 50 ms here. A refresh token lives for 90 days, and nobody uses the
// connection for 120.
func TestIdleFor120Days(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it renews for months of a fast clock")
	}
	t.Parallel()
	const day = 50 * time.Millisecond
	for name, want := range map[string]string{"kept alive": "", "not kept alive": tokens.CodeReauthorizationRequired} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := client(t, startRedis(t))
			e, err := emulator.New(emulator.Options{Accounts: -1, AutoConsent: true,
				AccessTokenLifetime: 5 * time.Second, RefreshTokenLifetime: 90 * day})
			if err != nil {
				t.Fatal(err)
			}
			w := &world{Server: httptest.NewServer(e), control: e.Control()}
			t.Cleanup(w.Close)
			store, app := w.connect(t, rdb, "acme")
			source := tokens.NewSource(tokens.SourceConfig{Store: store, Entra: app, Renewal: tokens.Renewal{
				Off: want != "", KeepAlive: 7 * day, Look: day, Backfill: 2 * day, PerSecond: 100,
			}})
			defer source.Close(t.Context())
			time.Sleep(120 * day)
			n := w.control.Counts().Tokens["refresh_token"]
			a, err := source.Access(t.Context(), "acme")
			wantCode(t, err, want)
			if want != "" {
				return
			}
			if n < 2 || n > 40 {
				t.Errorf("%d renewals in 120 days, want about one a week", n)
			}
			if res, err := w.whoAmI(t.Context(), a.Environment, a.Token.Reveal()); err != nil ||
				res.StatusCode != http.StatusOK {
				t.Errorf("the token does not work: %v", err)
			} else {
				_ = res.Body.Close()
			}
		})
	}
}

// connect makes a connection to the emulator by way of the bus.
func (w *world) connect(t *testing.T, rdb redis.UniversalClient, id string) (*tokens.Store, *tokens.Entra) {
	t.Helper()
	raw, _ := tokens.GenerateKeyset()
	keys, err := tokens.ReadKeyset(raw)
	if err != nil {
		t.Fatal(err)
	}
	store := tokens.NewStore(rdb, keys)
	app, err := tokens.NewEntra(tokens.EntraConfig{Authority: w.URL, AllowHTTP: true,
		ClientID: emulator.DefaultClientID, ClientSecret: emulator.DefaultClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	auth, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: store, Entra: app, PublicURL: "http://localhost:8080",
		Discover: w.discover, Identify: w.identify})
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close(t.Context())
	begun, err := auth.Begin(t.Context(), tokens.Request{Connection: id, EnvironmentURL: w.URL, Bus: true})
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Transport: w.Client().Transport, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	res, err := browser.Get(begun.AuthorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	back, err := res.Location()
	if err != nil {
		t.Fatal(res.Status, err)
	}
	if _, err := auth.Complete(t.Context(), tokens.Callback{State: back.Query().Get("state"),
		Code: tokens.Secret(back.Query().Get("code")), Bus: true}); err != nil {
		t.Fatal(err)
	}
	return store, app
}

// What a process took from the work list comes back when it dies.
func TestClaimsOfTheDeadComeBack(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		arrived := make(chan struct{})
		release := make(chan struct{})
		b.entra.set(func() { b.entra.answer = firstRefresh(arrived, release) })
		r := brisk
		r.KeepAlive, r.Claim, r.Backfill = 200*time.Millisecond, time.Second, 400*time.Millisecond
		dying := b.renewing(r, nil)
		soon(t, arrived, "a token request")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		dying.Close(ended)
		close(release)
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Fatalf("%d token requests, want 1", n)
		}
		b.renewing(r, nil)
		await(t, "another process's renewal", func() bool { return b.entra.count("refresh_token") > 1 })
	})
}

// However much is due, Entra is asked at the allowed rate.
func TestRenewalsAreBounded(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"} {
			b.connect(id, 3600)
		}
		var now, most atomic.Int64
		b.entra.set(func() {
			b.entra.answer = func(http.ResponseWriter, url.Values, int) bool {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(250 * time.Millisecond)
				now.Add(-1)
				return false
			}
		})
		b.renewing(tokens.Renewal{KeepAlive: 10 * time.Millisecond, Look: 20 * time.Millisecond,
			Backfill:   20 * time.Millisecond,
			Concurrent: 2, PerSecond: 10}, nil)
		begun := time.Now()
		await(t, "the first renewal", func() bool { return b.entra.count("refresh_token") > 0 })
		time.Sleep(2 * time.Second)
		n := b.entra.count("refresh_token")
		took := time.Since(begun) // longer than that on a machine that stalls
		// Two at a time, each at least 250 ms, and two more that have just begun.
		if allowed := int(took/(250*time.Millisecond))*2 + 4; n > allowed || most.Load() > 2 {
			t.Errorf("%d token requests in %v, %d at a time; want at most %d, 2 at a time", n, took, most.Load(), allowed)
		}
	})
}

// A connection that a person must mend, or that is gone, is asked for no more.
func TestBrokenConnectionsAreNotRenewed(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		b.signIn(tokens.Request{Connection: "pending"})
		b.entra.set(func() {
			b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool {
				refuse(w, 400, "invalid_grant", 700082)
				return true
			}
		})
		r := brisk
		// What a source took and could not look at in time comes back while this waits.
		r.KeepAlive, r.Claim = 100*time.Millisecond, 2*time.Second
		b.renewing(r, nil)
		await(t, "the verdict", func() bool {
			c, err := b.store.Get(t.Context(), "acme")
			return err == nil && c.Status == tokens.StatusReauthorizationRequired
		})
		time.Sleep(time.Second) // many renewals' time
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
		b.entra.set(func() { b.entra.answer = nil })
		b.connect("acme", 3600)
		await(t, "being renewed again", func() bool { return b.entra.count("refresh_token") > 1 })
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		await(t, "leaving the list", func() bool {
			return !slices.Contains(rdb.ZRange(t.Context(), "crmbridge:renewals", 0, -1).Val(), "acme")
		})
	})
}
