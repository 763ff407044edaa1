package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// file is a key set where processes read it.
type file struct{ text atomic.Pointer[[]byte] }

func (f *file) put(text []byte)       { f.text.Store(&text) }
func (f *file) read() ([]byte, error) { return *f.text.Load(), nil }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestKeysOfASet(t *testing.T) {
	t.Parallel()
	key := must[[]byte](t)
	list := func(set []byte) string {
		var b strings.Builder
		for _, k := range must[[]tokens.Key](t)(tokens.Keys(set)) {
			fmt.Fprintf(&b, "[primary %v staged %v enabled %v]", k.Primary, k.Staged, k.Enabled)
		}
		return b.String()
	}
	const old, primary, staged = "[primary false staged false enabled true]", "[primary true staged false enabled true]",
		"[primary false staged true enabled true]"
	first := key(tokens.GenerateKeyset())
	both := key(tokens.StageKey(first))
	promoted := key(tokens.PromoteKey(both))
	for want, set := range map[string][]byte{primary: first, primary + staged: both, old + primary: promoted,
		old + old + primary: key(tokens.RotateKeyset(promoted))} {
		if got := list(set); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	ids := must[[]tokens.Key](t)(tokens.Keys(promoted))
	if got := list(key(tokens.RemoveKey(promoted, ids[0].ID))); got != primary {
		t.Errorf("after the removal %s", got)
	}
	for name, refused := range map[string]func() ([]byte, error){
		"removing the primary": func() ([]byte, error) { return tokens.RemoveKey(promoted, ids[1].ID) },
		"removing a stranger":  func() ([]byte, error) { return tokens.RemoveKey(promoted, ids[0].ID^ids[1].ID) },
		"promoting nothing":    func() ([]byte, error) { return tokens.PromoteKey(promoted) },
		"rotating text":        func() ([]byte, error) { return tokens.RotateKeyset([]byte(canary)) },
	} {
		if out, err := refused(); err == nil || out != nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKeysetFollowsItsFile(t *testing.T) {
	t.Parallel()
	key := must[[]byte](t)
	var at file
	first := key(tokens.GenerateKeyset())
	at.put(first)
	k := must[*tokens.Keyset](t)(tokens.ReadKeyset(first))
	if changed, err := k.Reload(); changed || err != nil {
		t.Error("a key set without a file was reloaded", err)
	}
	k.Follow(at.read)
	rotated := key(tokens.RotateKeyset(first))
	other := must[*tokens.Keyset](t)(tokens.ReadKeyset(rotated))
	place := []byte("place")
	sealed := key(other.Seal([]byte("x"), place))
	if _, err := k.Open(sealed, place); !errors.Is(err, tokens.ErrKeyMissing) {
		t.Fatal(err)
	}
	at.put(rotated)
	await(t, "a look for the missing key", func() bool { _, err := k.Open(sealed, place); return err == nil })
	if _, err := other.Open(key(k.Seal([]byte("y"), place)), place); err != nil {
		t.Error(err)
	}
	for name, text := range map[string][]byte{"half a file": rotated[:len(rotated)/2],
		"another set": key(tokens.GenerateKeyset()), "nothing": {}} {
		at.put(text)
		if changed, err := k.Reload(); changed || err == nil {
			t.Errorf("%s was taken over", name)
		}
		if _, err := k.Open(sealed, place); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	at.put(rotated)
	if changed, err := k.Reload(); changed || err != nil {
		t.Error("the same text counts as a change", err)
	}
	// A process that slept through the sets in between takes over the one that
	// opens what is stored, though it has no key in common with its own.
	last := key(tokens.GenerateKeyset())
	stored := key(must[*tokens.Keyset](t)(tokens.ReadKeyset(last)).Seal([]byte("z"), place))
	at.put(last)
	await(t, "a look for what is stored", func() bool { _, err := k.Open(stored, place); return err == nil })
}

// Rotate, reseal and remove while connections are read and refreshed all the
// time: nothing fails, and in the end only the new key is needed.
func TestResealWhileInUse(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		key := must[[]byte](t)
		first := key(tokens.GenerateKeyset())
		var at file
		at.put(first)
		b := newBench(t, rdb)
		b.keys = must[*tokens.Keyset](t)(tokens.ReadKeyset(first))
		b.keys.Follow(at.read)
		b.store = tokens.NewStore(rdb, b.keys)
		b.auth = b.authorizer()
		const connections = 20
		for i := range connections {
			b.connect(fmt.Sprintf("c%d", i), 3600)
		}
		open := b.signIn(tokens.Request{Connection: "pending"}) // a ticket and a state on their way

		ctx, stop := context.WithCancel(t.Context())
		var load sync.WaitGroup
		var asked, failed atomic.Int64
		for range 2 { // processes that follow the file
			keys := must[*tokens.Keyset](t)(tokens.ReadKeyset(first))
			keys.Follow(at.read)
			store := tokens.NewStore(rdb, keys)
			source := tokens.NewSource(tokens.SourceConfig{Store: store, Entra: b.app(), Log: b.log()})
			t.Cleanup(func() { source.Close(context.Background()) })
			load.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					id := fmt.Sprintf("c%d", i%connections)
					a, err := source.Access(ctx, id)
					if err == nil && i%3 == 0 {
						_, err = source.Refused(ctx, id, a)
						if errors.Is(err, tokens.ErrRefused) {
							err = nil // refreshed within the last minute
						}
					}
					if err == nil {
						_, err = store.Get(ctx, id)
					}
					asked.Add(1)
					if err != nil && ctx.Err() == nil {
						failed.Add(1)
						t.Error(err)
					}
					_, _ = keys.Reload()
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
		defer func() { stop(); load.Wait() }()
		settle := func() { // every process has had many occasions to read the file
			from := asked.Load()
			await(t, "load", func() bool { return asked.Load() > from+100 })
		}
		settle()
		at.put(key(tokens.StageKey(first)))
		_, _ = b.keys.Reload()
		settle()
		promoted := key(tokens.PromoteKey(*at.text.Load()))
		at.put(promoted)
		_, _ = b.keys.Reload()
		settle() // the procedure: every process has the promoted set before the reseal
		var done tokens.Resealed
		await(t, "a reseal that finds nothing sealed by the old key", func() bool {
			var err error
			steps := 0
			done, err = b.store.Reseal(t.Context(), func(tokens.Resealed) { steps++ })
			return err == nil && steps > 0 && done.Resealed == 0
		})
		if done.Current < connections+2 {
			t.Errorf("%+v", done)
		}
		ids := must[[]tokens.Key](t)(tokens.Keys(promoted))
		last := key(tokens.RemoveKey(promoted, ids[0].ID))
		at.put(last)
		_, _ = b.keys.Reload()
		settle()
		stop()
		load.Wait()
		t.Logf("%d requests, %d failed", asked.Load(), failed.Load())

		// A process that never saw the old key goes on with everything.
		b.keys = must[*tokens.Keyset](t)(tokens.ReadKeyset(last))
		b.store = tokens.NewStore(rdb, b.keys)
		if tried, unopened, err := b.store.CheckKeys(t.Context()); tried != connections+1 || unopened != 0 || err != nil {
			t.Error(tried, unopened, err)
		}
		if _, err := b.authorizer().Complete(t.Context(), open); err != nil {
			t.Error("a sign-in that began under the old key:", err)
		}
	})
}

func TestResealCounts(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		key := must[[]byte](t)
		b := newBench(t, rdb)
		first := key(tokens.GenerateKeyset())
		b.store = tokens.NewStore(rdb, must[*tokens.Keyset](t)(tokens.ReadKeyset(first)))
		b.auth = b.authorizer()
		b.connect("a", 3600)
		b.connect("b", 3600)
		rotated := must[*tokens.Keyset](t)(tokens.ReadKeyset(key(tokens.RotateKeyset(first))))
		store := tokens.NewStore(rdb, rotated)
		left := rdb.PTTL(t.Context(), rdb.Keys(t.Context(), "crmbridge:ticket:*").Val()[0]).Val()
		done, err := store.Reseal(t.Context(), nil)
		if err != nil || done.Grants != 2 || done.Tickets != 2 || done.States != 2 || done.Changes != 2 ||
			done.Resealed != 8 || done.Total != 8 {
			t.Errorf("%+v %v", done, err)
		}
		if now := rdb.PTTL(t.Context(), rdb.Keys(t.Context(), "crmbridge:ticket:*").Val()[0]).Val(); now <= 0 ||
			now > left+time.Second {
			t.Errorf("a ticket's time to live was %s and is %s", left, now)
		}
		kinds := ""
		if _, err := store.PublishChanges(t.Context(), func(_ context.Context, c tokens.Change) error {
			kinds += c.Kind +
				" "
			return errors.New("away")
		}); err == nil || kinds != "connected connected " {
			t.Errorf("changes after the reseal: %q %v", kinds, err)
		}
		// With another key set nothing opens: that is said, and nothing is changed.
		stranger := tokens.NewStore(rdb, must[*tokens.Keyset](t)(tokens.ReadKeyset(key(tokens.GenerateKeyset()))))
		before := ciphertexts(t, rdb)
		done, err = stranger.Reseal(t.Context(), nil)
		wantCode(t, err, tokens.CodeConfigurationError)
		if done.Unopened != 8 || ciphertexts(t, rdb) != before {
			t.Errorf("%+v", done)
		}
		tried, unopened, err := stranger.CheckKeys(t.Context())
		wantCode(t, err, tokens.CodeConfigurationError)
		if tried != 2 || unopened != 2 || !strings.Contains(err.Error(), "TOKEN_KEYSET") {
			t.Error(tried, unopened, err)
		}
		// One record that opens is enough to go on, and the others are counted.
		b.store, b.keys = stranger, nil
		b.auth = b.authorizer()
		b.connect("c", 3600)
		if tried, unopened, err := stranger.CheckKeys(t.Context()); tried != 3 || unopened != 2 || err != nil {
			t.Error(tried, unopened, err)
		}
	})
}

// A key set from before the promotion does not undo what was sealed since, and a
// key is not called unused while something is sealed under it.
func TestResealGoesForwardsOnly(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		key := must[[]byte](t)
		at := func(set []byte) *tokens.Store {
			return tokens.NewStore(rdb, must[*tokens.Keyset](t)(tokens.ReadKeyset(set)))
		}
		first := key(tokens.GenerateKeyset())
		staged := key(tokens.StageKey(first))
		promoted := key(tokens.PromoteKey(staged))
		ids := must[[]tokens.Key](t)(tokens.Keys(promoted))
		b := newBench(t, rdb)
		b.store = at(first)
		b.auth = b.authorizer()
		b.connect("a", 3600)
		unused := func(id uint32, says string) {
			t.Helper()
			if err := at(promoted).CheckKeyUnused(t.Context(), id); (err == nil) != (says == "") || err != nil &&
				!strings.Contains(err.Error(), says) {
				t.Errorf("%v, want %q", err, says)
			}
		}
		unused(ids[0].ID, "4 records") // a connection, its link, its sign-in, its change
		unused(ids[1].ID, "")
		for range 2 {
			if _, err := at(promoted).Reseal(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			before := ciphertexts(t, rdb)
			_, err := at(staged).Reseal(t.Context(), nil)
			wantCode(t, err, tokens.CodeConfigurationError)
			if !strings.Contains(err.Error(), "--promote") || ciphertexts(t, rdb) != before {
				t.Errorf("the old key set: %v", err)
			}
			unused(ids[0].ID, "")
			unused(ids[1].ID, "records")
			published(t, at(promoted)) // the second time without a change that waits
		}
		// A write that was on its way since before the promotion.
		b.connect("late", 3600)
		unused(ids[0].ID, "4 records")
	})
}

// ciphertexts is everything that is sealed, in order.
func ciphertexts(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	keys := rdb.Keys(t.Context(), "crmbridge:*[:}]*:*").Val()
	slices.Sort(keys)
	var b strings.Builder
	for _, k := range keys {
		if strings.HasSuffix(k, "}:changes") {
			b.WriteString(k + "=" + strings.Join(rdb.LRange(t.Context(), k, 0, -1).Val(), "\n") + "\n")
			continue
		}
		b.WriteString(k + "=" + rdb.HGet(t.Context(), k, "sealed").Val() + "\n")
	}
	return b.String()
}

// The nodes of a cluster are resealed all, and changes are published from all.
func TestChangesAndResealOnACluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: it starts a Redis Cluster")
	}
	key := must[[]byte](t)
	rdb := universal(t, redis.UniversalOptions{Addrs: startCluster(t), IsClusterMode: true})
	first := key(tokens.GenerateKeyset())
	b := newBench(t, rdb)
	b.store = tokens.NewStore(rdb, must[*tokens.Keyset](t)(tokens.ReadKeyset(first)))
	b.auth = b.authorizer()
	const connections = 12
	for i := range connections {
		b.connect(fmt.Sprintf("c%d", i), 3600)
	}
	store := tokens.NewStore(rdb, must[*tokens.Keyset](t)(tokens.ReadKeyset(key(tokens.RotateKeyset(first)))))
	done, err := store.Reseal(t.Context(), nil)
	if err != nil || done.Grants != connections || done.Tickets != connections || done.States != connections ||
		done.Changes != connections {
		t.Errorf("%+v %v", done, err)
	}
	if all := published(t, store); len(all) != connections {
		t.Errorf("%d changes were published", len(all))
	}
	for i := range connections {
		if err := store.Delete(t.Context(), fmt.Sprintf("c%d", i)); err != nil {
			t.Error(err)
		}
	}
	if all := published(t, store); len(all) != connections || all[0].Kind != tokens.ChangeDeleted {
		t.Errorf("%d deletions were published", len(all))
	}
}
