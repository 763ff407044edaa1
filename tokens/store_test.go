package tokens_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

func TestList(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		var want []string
		for _, id := range []string{"b", "a", "Z", "_x", "-y", "a-1", "A", "9"} {
			b.signIn(tokens.Request{Connection: id})
			want = append(want, id)
		}
		slices.Sort(want)
		for limit := 1; limit <= 9; limit++ {
			var got []string
			for after := ""; ; {
				list, next, err := b.store.List(t.Context(), after, limit)
				if err != nil || len(list) > limit {
					t.Fatal(len(list), err)
				}
				for _, c := range list {
					got = append(got, c.ID)
				}
				if after = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("limit %d: %v, want %v", limit, got, want)
			}
		}
		// Authorizations that nobody finished leave the list with their record.
		rdb.Del(t.Context(), "crmbridge:{a}:grant", "crmbridge:{9}:grant")
		list, next, err := b.store.List(t.Context(), "", 6)
		if err != nil || len(list) != 6 || next != "" {
			t.Errorf("%d %q %v", len(list), next, err)
		}
		if n := rdb.ZCard(t.Context(), "crmbridge:connections").Val(); n != 6 {
			t.Errorf("%d in the index, want 6", n)
		}
	})
}

// Whoever can write to Redis can neither move a grant to another connection or
// environment nor change what it says.
func TestRecordsCannotBeMoved(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for i, change := range []func(from, to string){
			func(from, to string) { rdb.Copy(t.Context(), from, to, 0, true) },
			func(from, to string) {
				rdb.HSet(t.Context(), to, "sealed", rdb.HGet(t.Context(), from, "sealed").Val())
			},
			func(_, to string) { rdb.HSet(t.Context(), to, "inc", "other") },
			func(_, to string) { rdb.HIncrBy(t.Context(), to, "ver", 1) },
			func(_, to string) { rdb.HSet(t.Context(), to, "ver", "x") },
			func(_, to string) { rdb.HDel(t.Context(), to, "sealed") },
		} {
			from, to := fmt.Sprintf("from%d", i), fmt.Sprintf("to%d", i)
			b.connect(from, 3600)
			b.connect(to, 3600)
			change("crmbridge:{"+from+"}:grant", "crmbridge:{"+to+"}:grant")
			_, err := b.source().Access(t.Context(), to)
			wantCode(t, err, tokens.CodeConfigurationError)
			_, err = b.store.Get(t.Context(), to)
			wantCode(t, err, tokens.CodeConfigurationError)
		}
	})
}

func TestOtherKeysetSaysSo(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		raw, _ := tokens.GenerateKeyset()
		keys, _ := tokens.ReadKeyset(raw)
		_, err := tokens.NewStore(rdb, keys).Get(t.Context(), "acme")
		wantCode(t, err, tokens.CodeConfigurationError)
	})
}

// Every process hears of every change of a grant, and of nothing else.
func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		sub := rdb.Subscribe(t.Context(), "crmbridge:changed")
		defer sub.Close()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := b.connect("acme", 3600) // pending, then active
		for range 2 {
			if err := b.store.Delete(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"acme " + c.Incarnation + " 1", "acme " + c.Incarnation + " 2", "acme " +
			c.Incarnation + " 0", "acme - 0"} {
			bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
			got, err := sub.ReceiveMessage(bounded)
			cancel()
			if err != nil || got.Payload != want {
				t.Fatalf("heard %v (%v), want %q", got, err, want)
			}
		}
	})
}
