package tokens_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

// A look at recent changes finds those, in batches, and leaves older ones to whoever looks at
// all; that is one process at a time.
func TestRecentChanges(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("old", 3600)
		b.connect("new", 3600)
		b.connect("ahead", 3600)
		at := func(id string, ago time.Duration) {
			rdb.ZAdd(t.Context(), "crmbridge:changes", redis.Z{Member: id, Score: float64(time.Now().Add(-ago).UnixMilli())})
		}
		at("old", time.Minute)
		at("ahead", -time.Hour) // by a clock that was wrong
		for i := range 450 {    // whose lists are empty: published already
			at("done"+string(rune('a'+i/26))+string(rune('a'+i%26)), time.Duration(i%10)*time.Second)
		}
		var got []tokens.Change
		take := func(_ context.Context, c tokens.Change) error { got = append(got, c); return nil }
		other := tokens.NewStore(rdb, b.keys)
		n, err := other.PublishRecentChanges(t.Context(), take)
		if err != nil || n != 2 {
			t.Errorf("%d changes: %v", n, err)
		}
		if kinds(got) != "new connected, ahead connected" {
			t.Errorf("%s", kinds(got))
		}
		if !other.MayPublishAll(t.Context()) || b.store.MayPublishAll(t.Context()) {
			t.Error("one of all processes may look at all")
		}
		if rest := published(t, other); kinds(rest) != "old connected" {
			t.Errorf("%s", kinds(rest))
		}
	})
}
