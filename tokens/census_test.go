package tokens_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

// A census counts every connection by its status, and what waits.
func TestCensus(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for _, id := range []string{"a", "b"} {
			if _, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: id})); err != nil {
				t.Fatal(err)
			}
		}
		b.signIn(tokens.Request{Connection: "later"})
		s := b.source()
		seen := 0
		got, err := s.Census(t.Context(), func(_ context.Context, page []tokens.Principal) error {
			for _, p := range page {
				seen++
				if p.EnvironmentURL != envA || p.UserID != userA || p.OrganizationID != orgA {
					t.Errorf("%+v", p)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Statuses[tokens.StatusActive] != 2 || got.Statuses[tokens.StatusPending] != 1 ||
			len(got.Statuses) != len(tokens.Statuses()) || seen != 2 || got.Overdue != 0 || got.Outbox != 2 {
			t.Errorf("%+v, %d principals", got, seen)
		}
	})
}

// The age of a key is counted from when the fleet first used it, whoever asks.
func TestPrimaryAge(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		if age, err := b.store.PrimaryAge(t.Context()); err != nil || age != 0 {
			t.Fatal(age, err)
		}
		other := tokens.NewStore(rdb, b.keys)
		for asked := time.Now(); ; {
			age, err := other.PrimaryAge(t.Context())
			if err != nil || time.Since(asked) > time.Minute {
				t.Fatal(age, err)
			}
			if age > 0 {
				return
			}
		}
	})
}
