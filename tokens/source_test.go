package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

func TestAccessWithoutGrant(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		s := b.source()
		_, err := s.Access(t.Context(), "nobody")
		wantCode(t, err, tokens.CodeConnectionNotFound)
		_, err = s.Access(t.Context(), "no body")
		wantCode(t, err, tokens.CodeInvalidRequest)
		b.signIn(tokens.Request{Connection: "later"})
		_, err = s.Access(t.Context(), "later")
		wantCode(t, err, tokens.CodeReauthorizationRequired)
	})
}

func TestOneRefreshOverAllProcesses(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		oneRefresh(t, b, func() redis.UniversalClient { return rdb }, "-access-2")
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}

// oneRefresh lets 20 sources with stores of their own answer 50 requests each. No
// call to Redis runs into a time-out on a machine that stalls: the lease is long,
// and every client is there and patient (ofMany) before the thousand requests come.
func oneRefresh(t *testing.T, b *bench, client func() redis.UniversalClient, want string) {
	t.Helper()
	var sources []*tokens.Source
	for range 20 {
		c := client()
		await(t, "a connection to Redis", func() bool { return c.Exists(t.Context(), "crmbridge:{acme}:grant").Err() == nil })
		s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(c, b.keys), Entra: b.app(), Log: b.log(),
			Lease: time.Minute})
		defer s.Close(context.Background())
		sources = append(sources, s)
	}
	var wait sync.WaitGroup
	for _, s := range sources {
		for range 50 {
			wait.Go(func() {
				a, err := s.Access(t.Context(), "acme")
				if err != nil || a.Token.Reveal() != canary+want || a.Environment != envA {
					t.Errorf("access: %v", err)
				}
			})
		}
	}
	wait.Wait()
}

// firstRefresh holds the first token request up and answers it with older tokens
// than everybody else gets.
func firstRefresh(arrived, release chan struct{}) func(http.ResponseWriter, url.Values, int) bool {
	var once sync.Once
	return func(w http.ResponseWriter, _ url.Values, _ int) bool {
		first := false
		once.Do(func() { first = true })
		if first {
			close(arrived)
			<-release
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,`+
				`"access_token":"%[1]s-access-old","refresh_token":"%[1]s-refresh-old"}`, canary)
		}
		return first
	}
}

// gate stops a process between its look at the record and its try for the lock.
type gate struct {
	arrived, release chan struct{}
	once             sync.Once
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "set") {
			g.once.Do(func() { close(g.arrived); <-g.release })
			ctx = context.WithoutCancel(ctx) // the try itself is bounded to less than the stop
		}
		return next(ctx, cmd)
	}
}

// Whoever wins the lock late finds the work done.
func TestSecondLookAfterTheLock(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		late := client(t, rdb.(*redis.Client).Options().Addr)
		g := &gate{arrived: make(chan struct{}), release: make(chan struct{})}
		late.AddHook(g)
		s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(late, b.keys), Entra: b.app()})
		defer s.Close(t.Context())
		result := make(chan error, 1)
		go func() {
			a, err := s.Access(context.Background(), "acme")
			if err == nil && a.Token.Reveal() != canary+"-access-2" {
				err = errors.New("another token")
			}
			result <- err
		}()
		soon(t, g.arrived, "a call for the lock")
		if _, err := b.source().Access(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		close(g.release)
		if err := soon(t, result, "an answer"); err != nil {
			t.Error(err)
		}
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}

func TestFreshTokenAsksNobody(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		c := b.connect("acme", 3600)
		a, err := b.source().Access(t.Context(), "acme")
		if err != nil || a.Incarnation != c.Incarnation || !a.ExpiresAt.Equal(c.AccessTokenExpiresAt) {
			t.Fatalf("%v %v", a, err)
		}
		if n := b.entra.count("refresh_token"); n != 0 {
			t.Errorf("%d token requests, want none", n)
		}
	})
}

// A token near its end is used while its successor is fetched.
func TestEarlyRenewalDoesNotWait(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for renewals")
	}
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		patiently(t, 200*time.Millisecond, b.look, func(scale int) error {
			return b.renewedInBackground(fmt.Sprintf("acme%d", scale), 11*scale)
		})
	})
}

// renewedInBackground says whether a request shortly before the end of a token, of so
// many seconds, gets that token and is followed by one renewal. It is renewed so
// in the last 2 of 11 parts of its life, less the last 1.1.
func (b *bench) renewedInBackground(id string, life int) error {
	c := b.connect(id, life)
	before := b.entra.count("refresh_token")
	ending, cancel := context.WithDeadline(b.t.Context(), c.AccessTokenExpiresAt)
	defer cancel()
	release := make(chan struct{})
	b.entra.set(func() {
		b.entra.answer = func(_ http.ResponseWriter, form url.Values, _ int) bool {
			if form.Get("grant_type") == "refresh_token" {
				<-release
			}
			return false
		}
	})
	s := b.source()
	defer s.Close(context.Background())
	first, err := s.Access(ending, id)
	await(b.t, "the margin", func() bool {
		return time.Until(c.AccessTokenExpiresAt) < time.Duration(life)*time.Second*2/11
	})
	var a tokens.Access
	if err == nil {
		a, err = s.Access(ending, id)
	}
	close(release)
	if err != nil || a.Token != first.Token {
		return fmt.Errorf("the request got another token, or waited for one: %w", err)
	}
	renewed := false
	await(b.t, "the renewal or the end of the token", func() bool {
		now, err := b.store.Get(b.t.Context(), id)
		renewed = err == nil && now.Version > c.Version
		return renewed || time.Now().After(c.AccessTokenExpiresAt)
	})
	if !renewed { // a source that takes a Redis which stalls for away begins none
		return errors.New("the request was followed by no renewal")
	}
	if n := b.entra.count("refresh_token") - before; n != 1 {
		return fmt.Errorf("%d token requests, want 1", n)
	}
	return nil
}

func TestImpatientCallerDoesNotCancelTheRefresh(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		arrived, release := make(chan struct{}), make(chan struct{})
		b.entra.set(func() {
			b.entra.answer = func(http.ResponseWriter, url.Values, int) bool { close(arrived); <-release; return false }
		})
		s := b.source()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		_, err := s.Access(ctx, "acme")
		wantCode(t, err, tokens.CodeDeadlineExceeded)
		close(release)
		a, err := s.Access(t.Context(), "acme")
		if err != nil || a.Token.Reveal() != canary+"-access-2" {
			t.Fatal(err)
		}
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}

// A holder that was paused past its lease comes back with an older answer.
func TestPausedHolderDoesNotOverwrite(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		arrived, release := make(chan struct{}), make(chan struct{})
		b.entra.set(func() { b.entra.answer = firstRefresh(arrived, release) })
		paused, other := b.source(), b.source()
		result := make(chan error, 1)
		var got tokens.Access
		go func() {
			var err error
			got, err = paused.Access(context.Background(), "acme")
			result <- err
		}()
		soon(t, arrived, "a token request")
		if err := rdb.Del(t.Context(), "crmbridge:{acme}:refresh").Err(); err != nil { // its lease has ended
			t.Fatal(err)
		}
		a, err := other.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		close(release)
		if err := soon(t, result, "an answer"); err != nil || got.Token != a.Token {
			t.Errorf("the paused holder got another token than the newest (%v)", err)
		}
		again, err := other.Access(t.Context(), "acme")
		if err != nil || again.Token != a.Token || a.Token.Reveal() != canary+"-access-2" {
			t.Errorf("the newest token did not stay (%v)", err)
		}
	})
}

// invalid_grant for an old refresh token, while a newer grant was stored.
func TestLostRaceIsNoVerdict(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		arrived, release := make(chan struct{}), make(chan struct{})
		b.entra.set(func() {
			b.entra.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
				if form.Get("grant_type") != "refresh_token" {
					return false
				}
				close(arrived)
				<-release
				refuse(w, 400, "invalid_grant", 700082)
				return true
			}
		})
		s := b.source()
		result := make(chan error, 1)
		go func() { _, err := s.Access(context.Background(), "acme"); result <- err }()
		soon(t, arrived, "a token request")
		c := b.connect("acme", 3600) // the person connects again meanwhile
		close(release)
		if err := soon(t, result, "an answer"); err != nil {
			t.Errorf("a lost race gave %v", err)
		}
		if now, err := b.store.Get(t.Context(), "acme"); err != nil || now.Status != tokens.StatusActive ||
			now.Version != c.Version {
			t.Errorf("connection is %v, %v", now, err)
		}
	})
}

func TestDeletedDuringRefreshStaysDeleted(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		b.entra.set(func() {
			b.entra.answer = func(http.ResponseWriter, url.Values, int) bool {
				if err := b.store.Delete(context.Background(), "acme"); err != nil {
					t.Error(err)
				}
				return false
			}
		})
		_, err := b.source().Access(t.Context(), "acme")
		wantCode(t, err, tokens.CodeConnectionNotFound)
		if list, _, err := b.store.List(t.Context(), "", 10); err != nil || len(list) != 0 {
			t.Errorf("list %v, %v", list, err)
		}
	})
}

func TestGrantGoneMarksTheConnection(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		b.entra.set(func() {
			b.entra.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
				refuse(w, 400, "invalid_grant", 50173)
				return true
			}
		})
		s := b.source()
		for range 3 {
			_, err := s.Access(t.Context(), "acme")
			wantCode(t, err, tokens.CodeReauthorizationRequired)
		}
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
		c, err := b.store.Get(t.Context(), "acme")
		if err != nil || c.Status != tokens.StatusReauthorizationRequired || c.LastError == "" {
			t.Fatalf("%v %v", c, err)
		}
		b.entra.set(func() { b.entra.answer = nil })
		if again := b.connect("acme", 3600); again.Incarnation != c.Incarnation || again.LastError != "" {
			t.Errorf("re-authorized: %v", again)
		}
		if _, err := s.Access(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		s, other := b.source(), b.source()
		first, err := s.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Refused(t.Context(), "acme", first)
		if err != nil || second.Token == first.Token {
			t.Fatalf("forced refresh: %v", err)
		}
		// Another process still had the first one.
		third, err := other.Refused(t.Context(), "acme", first)
		if err != nil || third.Token != second.Token {
			t.Fatalf("stored token: %v", err)
		}
		_, err = other.Refused(t.Context(), "acme", second)
		wantCode(t, err, tokens.CodeUnavailable)
		if f, ok := errors.AsType[*tokens.Error](err); !ok || !f.Retryable || f.RetryAfter <= 0 ||
			!errors.Is(err, tokens.ErrRefused) {
			t.Errorf("a second refusal within a minute is not one to try again: %+v", err)
		}
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
		if c, _ := b.store.Get(t.Context(), "acme"); c.Status != tokens.StatusActive {
			t.Errorf("status %s", c.Status)
		}
	})
}

func TestClosedSource(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		s := b.source()
		s.Close(t.Context())
		_, err := s.Access(t.Context(), "acme")
		wantCode(t, err, tokens.CodeUnavailable)
	})
}

func TestRedisAwayIsNoVerdict(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: time.Second})
	t.Cleanup(func() { _ = rdb.Close() })
	b := newBench(t, rdb)
	_, err := b.source().Access(t.Context(), "acme")
	wantCode(t, err, tokens.CodeUnavailable)
	_, err = b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA})
	wantCode(t, err, tokens.CodeUnavailable)
}
