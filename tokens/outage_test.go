package tokens_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// trouble makes writes of one connection's grant fail on their way to Redis or
// on their way back.
type trouble struct {
	id           string       // "": of any sign-in instead
	before, lost atomic.Int64 // how many writes fail before, or after they were done
}

func (h *trouble) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *trouble) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *trouble) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		prefix := "crmbridge:{" + h.id + "}:grant"
		if h.id == "" {
			prefix = "crmbridge:state:"
		}
		key := ""
		if strings.HasPrefix(cmd.Name(), "eval") && len(cmd.Args()) > 3 {
			key, _ = cmd.Args()[3].(string)
		}
		if !strings.HasPrefix(key, prefix) {
			return next(ctx, cmd)
		}
		if h.before.Add(-1) >= 0 {
			err := errors.New("connection reset")
			cmd.SetErr(err)
			return err
		}
		err := next(ctx, cmd)
		if err == nil && h.lost.Add(-1) >= 0 {
			err = errors.New("connection reset")
			cmd.SetErr(err)
		}
		return err
	}
}

// beforeSave runs once the token endpoint was asked to refresh.
func beforeSave(b *bench, do func()) {
	b.entra.set(func() {
		b.entra.answer = func(_ http.ResponseWriter, form url.Values, _ int) bool {
			if form.Get("grant_type") == "refresh_token" {
				do()
			}
			return false
		}
	})
}

func TestSaveIsRepeated(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for name, arrange := range map[string]func(*trouble){
			"lost on the way":      func(h *trouble) { h.before.Store(3) },
			"lost on the way back": func(h *trouble) { h.lost.Store(1) },
		} {
			t.Run(name, func(t *testing.T) {
				b := newBench(t, rdb)
				h := &trouble{id: "acme"}
				rdb.AddHook(h)
				if err := b.store.Delete(t.Context(), "acme"); err != nil {
					t.Fatal(err)
				}
				b.expired("acme")
				beforeSave(b, func() { arrange(h) })
				a, err := b.source().Access(t.Context(), "acme")
				if err != nil || a.Token.Reveal() != canary+"-access-2" {
					t.Fatal(err)
				}
				if n := b.entra.count("refresh_token"); n != 1 || h.before.Load() > 0 || h.lost.Load() > 0 {
					t.Errorf("%d token requests, want 1", n)
				}
			})
		}
	})
}

// A Redis that stays away for longer than a save is tried: the tokens that Entra
// gave are kept and saved by the next refresh instead of being asked for again.
func TestUnsavedTokensAreKept(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for Redis to be given up")
	}
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		h := &trouble{id: "acme"}
		rdb.AddHook(h)
		b.expired("acme")
		beforeSave(b, func() { h.before.Store(1 << 30) })
		s := b.source()
		_, err := s.Access(t.Context(), "acme")
		wantCode(t, err, tokens.CodeUnavailable)
		h.before.Store(0)
		a, err := s.Access(t.Context(), "acme")
		if err != nil || a.Token.Reveal() != canary+"-access-2" {
			t.Fatal(err)
		}
		if n := b.entra.count("refresh_token"); n != 1 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}

func TestSignInSurvivesRedisTrouble(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		h := &trouble{}
		rdb.AddHook(h)
		for name, arrange := range map[string]func(){
			"before": func() { h.before.Store(3) },
			"after":  func() { h.lost.Store(2) },
		} {
			t.Run(name, func(t *testing.T) {
				redeemed := b.entra.count("authorization_code")
				cb := b.signIn(tokens.Request{Connection: name})
				b.entra.set(func() {
					b.entra.answer = func(http.ResponseWriter, url.Values, int) bool { arrange(); return false }
				})
				c, err := b.auth.Complete(t.Context(), cb)
				if err != nil || c.Status != tokens.StatusActive {
					t.Fatal(err)
				}
				if n := b.entra.count("authorization_code") - redeemed; n != 1 || h.before.Load() > 0 || h.lost.Load() > 0 {
					t.Errorf("%d redemptions, want 1", n)
				}
			})
		}
	})
}

// noLock makes calls for the lock of a refresh fail on their way to Redis.
type noLock struct{ left atomic.Int64 }

func (h *noLock) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *noLock) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *noLock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "set") && h.left.Add(-1) >= 0 {
			cmd.SetErr(context.DeadlineExceeded)
			return context.DeadlineExceeded
		}
		return next(ctx, cmd)
	}
}

// A call for the lock that Redis was too busy for fails nobody, as long as Redis
// goes on answering otherwise; one that fails every time ends.
func TestABusyLockIsAskedForAgain(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		h := &noLock{}
		mine := client(t, rdb.(*redis.Client).Options().Addr)
		mine.AddHook(h)
		s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(mine, b.keys), Entra: b.app(),
			Renewal: tokens.Renewal{Off: true}})
		defer s.Close(t.Context())
		b.expired("acme")
		h.left.Store(1 << 30)
		_, err := s.Access(t.Context(), "acme")
		wantCode(t, err, tokens.CodeUnavailable)
		if n := b.entra.count("refresh_token"); n != 0 {
			t.Errorf("%d token requests without the lock", n)
		}
		h.left.Store(2)
		if a, err := s.Access(t.Context(), "acme"); err != nil || a.Token.Reveal() != canary+"-access-2" {
			t.Fatal(err)
		}
		if n := b.entra.count("refresh_token"); n != 1 || h.left.Load() > 0 {
			t.Errorf("%d token requests, want 1", n)
		}
	})
}

// A fail-over loses a write, and the number of its version is given out again: a
// refresh that had read the lost write must not replace the one that has its number.
func TestAVersionThatComesTwice(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		const grant, lock = "crmbridge:{acme}:grant", "crmbridge:{acme}:refresh"
		b := newBench(t, rdb)
		b.expired("acme")
		replica := rdb.HGetAll(t.Context(), grant).Val()
		b.entra.set(func() { b.entra.lifetimes = []int{1, 3600} })
		if _, err := b.source().Access(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		lost, err := b.store.Get(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		b.expiredNow(lost)
		arrived, release := make(chan struct{}), make(chan struct{})
		b.entra.set(func() { b.entra.answer = firstRefresh(arrived, release) })
		late, other := b.source(), b.source()
		var got tokens.Access
		result := make(chan error, 1)
		go func() {
			var err error
			got, err = late.Access(context.Background(), "acme")
			result <- err
		}()
		soon(t, arrived, "a token request")
		if err := errors.Join(rdb.Del(t.Context(), grant, lock).Err(),
			rdb.HSet(t.Context(), grant, replica).Err()); err != nil {
			t.Fatal(err)
		}
		newest, err := other.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if now, err := b.store.Get(t.Context(), "acme"); err != nil || now.Version != lost.Version {
			t.Fatalf("version %d, want %d again: %v", now.Version, lost.Version, err)
		}
		close(release)
		if err := soon(t, result, "an answer"); err != nil || got.Token != newest.Token {
			t.Errorf("who had read the lost write got another token than the newest (%v)", err)
		}
		if now, err := b.source().Access(t.Context(), "acme"); err != nil || now.Token != newest.Token {
			t.Errorf("the newest token did not stay (%v)", err)
		}
	})
}
