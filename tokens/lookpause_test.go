package tokens_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
)

// A key that came right after the set was read is found: whoever misses it waits until
// the set may be read again.
func TestAMissWaitsOutThePause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := must[[]byte](t)
		first := key(tokens.GenerateKeyset())
		rotated := key(tokens.RotateKeyset(first))
		place := []byte("place")
		sealed := key(must[*tokens.Keyset](t)(tokens.ReadKeyset(rotated)).Seal([]byte("x"), place))
		var at file
		var reads atomic.Int64
		at.put(first)
		k := must[*tokens.Keyset](t)(tokens.ReadKeyset(first))
		k.Follow(func() ([]byte, error) { reads.Add(1); return at.read() })

		time.Sleep(time.Second)
		if _, err := k.Reload(); err != nil { // the one who watches the file has just looked
			t.Fatal(err)
		}
		at.put(rotated)
		begun := time.Now()
		if plain, err := k.Open(sealed, place); err != nil || string(plain) != "x" {
			t.Fatalf("right after a rotation: %v", err)
		}
		if waited := time.Since(begun); waited > 100*time.Millisecond {
			t.Errorf("it took %v", waited)
		}
		if _, err := k.Open(sealed, place); err != nil || reads.Load() != 2 {
			t.Errorf("%d reads, want 2 (%v)", reads.Load(), err)
		}

		// Made-up keys are looked for together, at most once in 100 ms.
		stranger := key(must[*tokens.Keyset](t)(tokens.ReadKeyset(key(tokens.GenerateKeyset()))).Seal([]byte("x"), place))
		reads.Store(0)
		begun = time.Now()
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				for range 5 {
					if _, err := k.Open(stranger, place); !errors.Is(err, tokens.ErrKeyMissing) {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		if n, most := reads.Load(), int64(time.Since(begun)/(100*time.Millisecond))+1; n > most || n < 5 {
			t.Errorf("%d reads in %v", n, time.Since(begun))
		}
		if took := time.Since(begun); took > 600*time.Millisecond {
			t.Errorf("50 times 5 misses took %v", took)
		}
	})
}

// A set of strangers is taken over by whoever needs it, also where it was read for the
// sake of something else.
func TestASetReadForSomethingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := must[[]byte](t)
		first, last := key(tokens.GenerateKeyset()), key(tokens.GenerateKeyset())
		place := []byte("place")
		stored := key(must[*tokens.Keyset](t)(tokens.ReadKeyset(last)).Seal([]byte("x"), place))
		made := key(must[*tokens.Keyset](t)(tokens.ReadKeyset(key(tokens.GenerateKeyset()))).Seal([]byte("x"), place))
		var at file
		at.put(last)
		k := must[*tokens.Keyset](t)(tokens.ReadKeyset(first))
		k.Follow(at.read)
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(func() { _, _ = k.Open(made, place) })
		}
		wait.Go(func() {
			if _, err := k.Open(stored, place); err != nil {
				t.Error(err)
			}
		})
		wait.Wait()
	})
}
