package tokens_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// A panic in the goroutine that works for those who wait is an error for each of them,
// one line in the log, and nothing to those who come later.
func TestAPanicOfARefreshIsAnError(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		var fine atomic.Bool
		b.tune = func(c *tokens.EntraConfig) {
			c.Observe = func(tokens.TokenRequest) {
				if !fine.Load() {
					panic(errors.New(canary))
				}
			}
		}
		s := b.source()
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				if _, err := s.Access(t.Context(), "acme"); tokens.CodeOf(err) != tokens.CodeInternal {
					t.Errorf("%v", err)
				}
			})
		}
		wait.Wait()
		b.logs.mu.Lock()
		log := b.logs.String()
		b.logs.mu.Unlock()
		for _, told := range []string{"the refresh panicked", "stack=", "connection=acme"} {
			if !strings.Contains(log, told) {
				t.Errorf("the log does not tell %s: %s", told, log)
			}
		}
		fine.Store(true)
		if _, err := s.Access(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
	})
}

// A panic of the search for names behind a refresh is a line in the log, and the
// process and the refresh go on.
func TestAPanicOfTheSearchForNames(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.expired("acme")
		s := tokens.NewSource(tokens.SourceConfig{Store: b.store, Entra: b.app(), Log: b.log(),
			Names: func(context.Context, string, string, string, string) tokens.Names { panic(errors.New(canary)) }})
		if _, err := s.Access(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		s.Close(context.Background()) // waits for the search
		b.logs.mu.Lock()
		defer b.logs.mu.Unlock()
		if log := b.logs.String(); !strings.Contains(log, "the search for names panicked") || strings.Contains(log, canary) {
			t.Errorf("the log says %s", log)
		}
	})
}
