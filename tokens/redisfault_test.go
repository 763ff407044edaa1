package tokens_test

import (
	"errors"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

// An error of Redis is told from one of Entra or Dataverse, and keeps its cause.
func TestErrorsOfRedisAreTold(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	b := newBench(t, rdb)
	if err := rdb.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := b.store.Get(t.Context(), "acme")
	if !errors.Is(err, tokens.ErrRedis) || !errors.Is(err, redis.ErrClosed) ||
		tokens.CodeOf(err) != tokens.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if errors.Is(&tokens.Error{Code: tokens.CodeUnavailable}, tokens.ErrRedis) {
		t.Error("every outage is one of Redis")
	}
}
