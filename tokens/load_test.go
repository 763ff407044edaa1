package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// Redis goes away under load, at the worst moment: between a token request and
// its save, at an Entra that takes every refresh token only once.
func TestRedisAwayUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it kills Redis servers")
	}
	t.Parallel()
	pause := 5 * time.Second // CRMBRIDGE_TEST_PAUSE=30s for the long one
	if text := os.Getenv("CRMBRIDGE_TEST_PAUSE"); text != "" {
		var err error
		if pause, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ away, back func(*server) }{
		"killed and restarted": {(*server).kill, (*server).start},
		"paused": {func(r *server) { r.signal(syscall.SIGSTOP) },
			func(r *server) { r.signal(syscall.SIGCONT) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A request with a good token is answered within 2 s, of which the source
			// waits one for Redis.
			patiently(t, 100*time.Millisecond, nil, func(scale int) error {
				return redisAway(t, c.away, c.back, pause*time.Duration(scale), 4*scale)
			})
		})
	}
}

// redisAway takes Redis away for pause while two connections are in use, one of
// which has a token that lives for so many seconds. Requests with a good token
// must not fail, and the others must not be told anything final.
func redisAway(t *testing.T, leave, comeBack func(*server), pause time.Duration, life int) error {
	r := newServer(t, "--appendonly", "yes", "--appendfsync", "always")
	defer r.kill()
	b := newBench(t, universal(t, redis.UniversalOptions{Addrs: []string{r.addr}}))
	b.connect("steady", 3600)
	turning := b.connect("turning", life)
	away, back := make(chan struct{}), make(chan struct{})
	var once sync.Once
	spent := map[string]bool{}
	s := b.sourceOf(b.app())
	defer s.Close(t.Context())
	for _, id := range []string{"steady", "turning"} {
		servedFromMemory(t, b.rdb, s, id)
	}
	b.entra.set(func() {
		b.entra.lifetimes = []int{int(pause.Seconds()) + 3, 3600} // used up soon after Redis is back
		b.entra.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
			once.Do(func() {
				leave(r)
				close(away)
			})
			b.mu.Lock()
			defer b.mu.Unlock()
			if spent[form.Get("refresh_token")] {
				t.Error("a refresh token was used again: the one in its place was lost")
				refuse(w, 400, "invalid_grant", 70008)
				return true
			}
			spent[form.Get("refresh_token")] = true
			return false
		}
	})
	if b.entra.count("refresh_token") > 0 {
		return errors.New("the first token was renewed before the test began")
	}
	loaded, stop := context.WithCancel(t.Context())
	defer stop()
	var work sync.WaitGroup
	wrong := make(chan error, 16)
	ask := func(id string, goodUntil time.Time) {
		for loaded.Err() == nil {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := s.Access(ctx, id)
			cancel()
			took := time.Since(begun)
			code := tokens.CodeOf(err)
			switch {
			case begun.Before(goodUntil) && (err != nil || took > 2*time.Second):
				wrong <- fmt.Errorf("%s, whose token is good: %v after %v", id, err, took)
				return
			case err != nil && code != tokens.CodeUnavailable && code != tokens.CodeDeadlineExceeded:
				wrong <- fmt.Errorf("%s: %w", id, err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	for range 8 {
		work.Go(func() { ask("steady", time.Now().Add(time.Hour)) })
		work.Go(func() { ask("turning", turning.AccessTokenExpiresAt.Add(-time.Duration(life)*time.Second/8)) })
	}
	soon(t, away, "a refresh")
	go func() { time.Sleep(pause); comeBack(r); close(back) }()
	soon(t, back, "the end of the outage")
	// Both go on, and the refresh token that came while Redis was away is used next.
	await(t, "the refresh after the outage", func() bool {
		a, err := s.Access(t.Context(), "turning")
		return err == nil && time.Until(a.ExpiresAt) > 30*time.Minute
	})
	stop()
	work.Wait()
	for _, id := range []string{"steady", "turning"} {
		if now, err := b.store.Get(t.Context(), id); err != nil || now.Status != tokens.StatusActive || now.LastError != "" {
			return fmt.Errorf("%s is %+v, %w", id, now, err)
		}
	}
	close(wrong)
	return <-wrong // one is enough; nil where there is none
}
