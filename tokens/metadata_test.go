package tokens_test

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

func TestMetadataIsKeptBesideItsConnection(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		inc := must[tokens.Connection](t)(b.store.Get(t.Context(), "acme")).Incarnation
		cache := tokens.NewMetadataCache(b.store)
		get := func(connection, incarnation, kind string) string {
			t.Helper()
			return string(must[[]byte](t)(cache.Get(t.Context(), connection, incarnation, kind)))
		}
		put := func(connection, incarnation, kind, value string) {
			t.Helper()
			if err := cache.Put(t.Context(), connection, incarnation, kind, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		const labels = `{"7":"Beratung"}`
		put("acme", inc, "columns", labels)
		put("acme", inc, "options", strings.Repeat(labels, 10_000))
		if got := get("acme", inc, "columns"); got != labels {
			t.Errorf("got %q", got)
		}
		if got := get("acme", inc, "options"); got != strings.Repeat(labels, 10_000) {
			t.Errorf("got %d bytes", len(got))
		}
		if all := dump(t, rdb); strings.Contains(all, "Beratung") || len(all) > 20_000 {
			t.Errorf("in clear, or not compressed: %d bytes", len(all))
		}
		ttl := rdb.PTTL(t.Context(), "crmbridge:{acme}:metadata").Val()
		if ttl <= 14*time.Minute || ttl > 15*time.Minute {
			t.Errorf("it lives %v", ttl)
		}
		put("acme", inc, "columns", "{}")
		if again := rdb.PTTL(t.Context(), "crmbridge:{acme}:metadata").Val(); again > ttl {
			t.Errorf("a later part prolongs the life of the first: %v after %v", again, ttl)
		}
		for name, got := range map[string]string{"other kind": get("acme", inc, "x"),
			"other connection":  get("other", inc, "columns"),
			"other incarnation": get("acme", inc+"x", "columns")} {
			if got != "" {
				t.Errorf("%s: %q", name, got)
			}
		}
		// Where it was put decides what opens.
		sealed := rdb.HGet(t.Context(), "crmbridge:{acme}:metadata", "options").Val()
		rdb.HSet(t.Context(), "crmbridge:{acme}:metadata", "columns", sealed, "options", "garbage")
		if get("acme", inc, "columns") != "" || get("acme", inc, "options") != "" {
			t.Error("a moved or damaged entry opens")
		}
		if err := cache.Put(t.Context(), "acme", inc, "inc", nil); tokens.CodeOf(err) != tokens.CodeInvalidRequest {
			t.Errorf("a kind that is none: %v", err)
		}
		noise := make([]byte, 2<<20)
		_, _ = rand.Read(noise)
		put("acme", inc, "noise", string(noise))
		if get("acme", inc, "noise") != "" {
			t.Error("two megabytes are kept")
		}

		put("acme", inc, "columns", labels)
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		put("acme", inc, "columns", labels) // somebody who was paused meanwhile
		if n := rdb.Exists(t.Context(), "crmbridge:{acme}:metadata").Val(); n != 0 || get("acme", inc, "columns") != "" {
			t.Error("the deleted connection left metadata behind")
		}
		b.connect("acme", 3600)
		next := must[tokens.Connection](t)(b.store.Get(t.Context(), "acme")).Incarnation
		put("acme", inc, "columns", labels)
		put("acme", next, "columns", "new")
		put("acme", inc, "columns", labels)
		if next == inc || get("acme", next, "columns") != "new" || get("acme", inc, "columns") != "" {
			t.Error("the incarnations mix")
		}
	})
}

// Other keys: what was kept is as if it were not there, and resealing passes it over.
func TestMetadataUnderAnotherKey(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		old := must[[]byte](t)(tokens.GenerateKeyset())
		both := must[[]byte](t)(tokens.RotateKeyset(old))
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		inc := must[tokens.Connection](t)(b.store.Get(t.Context(), "acme")).Incarnation
		with := func(set []byte) *tokens.MetadataCache {
			return tokens.NewMetadataCache(tokens.NewStore(rdb, must[*tokens.Keyset](t)(tokens.ReadKeyset(set))))
		}
		if err := with(old).Put(t.Context(), "acme", inc, "columns", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got, err := with(both).Get(t.Context(), "acme", inc, "columns"); err != nil || string(got) != "x" {
			t.Errorf("with both keys %q, %v", got, err)
		}
		if got, err := with(must[[]byte](t)(tokens.GenerateKeyset())).Get(t.Context(), "acme", inc,
			"columns"); err != nil || got != nil {
			t.Errorf("with another key %q, %v", got, err)
		}
		if sum, err := b.store.Reseal(t.Context(), nil); err != nil || sum.Unopened != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
	})
}

func TestOneReadsMetadata(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		one, other := tokens.NewMetadataCache(b.store), tokens.NewMetadataCache(b.store)
		done, err := one.Claim(t.Context(), "acme", "accounts")
		if err != nil || done == nil {
			t.Fatal(done == nil, err)
		}
		if again, err := other.Claim(t.Context(), "acme", "accounts"); err != nil || again != nil {
			t.Errorf("two read: %v", err)
		}
		if elsewhere, err := other.Claim(t.Context(), "other", "accounts"); err != nil || elsewhere == nil {
			t.Errorf("another connection: %v", err)
		} else {
			elsewhere()
		}
		if contacts, err := other.Claim(t.Context(), "acme", "contacts"); err != nil || contacts == nil {
			t.Errorf("another table: %v", err)
		} else {
			contacts()
		}
		done()
		again, err := other.Claim(t.Context(), "acme", "accounts")
		if err != nil || again == nil {
			t.Fatal("nobody reads, and nobody may", err)
		}
		again()
	})
}

func TestMetadataWithoutRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for Redis to be given up")
	}
	t.Parallel()
	rdb := client(t, "127.0.0.1:1")
	keys := must[*tokens.Keyset](t)(tokens.ReadKeyset(must[[]byte](t)(tokens.GenerateKeyset())))
	cache := tokens.NewMetadataCache(tokens.NewStore(rdb, keys))
	_, err := cache.Get(t.Context(), "acme", "1", "columns")
	wantCode(t, err, tokens.CodeUnavailable)
	wantCode(t, cache.Put(t.Context(), "acme", "1", "columns", bytes.Repeat([]byte("x"), 10)), tokens.CodeUnavailable)
	_, err = cache.Claim(t.Context(), "acme", "accounts")
	wantCode(t, err, tokens.CodeUnavailable)
	_, err = cache.Get(t.Context(), "no id", "1", "columns")
	wantCode(t, err, tokens.CodeInvalidRequest)
}
