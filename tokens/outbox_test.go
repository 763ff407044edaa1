package tokens_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// published takes every change that waits.
func published(t *testing.T, s *tokens.Store) (all []tokens.Change) {
	t.Helper()
	n, err := s.PublishChanges(t.Context(), func(_ context.Context,
		c tokens.Change) error {
		all = append(all, c)
		return nil
	})
	if err != nil || n != len(all) {
		t.Fatal(n, err)
	}
	return all
}

func kinds(changes []tokens.Change) string {
	var all []string
	for _, c := range changes {
		all = append(all, c.Connection+" "+c.Kind)
	}
	return strings.Join(all, ", ")
}

// Connecting, connecting again, losing the grant and deleting are changes;
// refreshing, beginning an authorization and failing ones are none.
func TestChanges(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		wantWaiting := func(yes bool) {
			t.Helper()
			select {
			case <-b.store.Changed():
				if !yes {
					t.Error("woken for nothing")
				}
			default:
				if yes {
					t.Error("not woken")
				}
			}
		}
		made := b.connect("acme", 1)
		wantWaiting(true)
		first := published(t, b.store)
		if kinds(first) != "acme connected" || first[0].EnvironmentURL != envA || first[0].Status != tokens.StatusActive ||
			first[0].Incarnation != made.Incarnation || first[0].Version != made.Version ||
			time.Since(first[0].At) > time.Minute ||
			first[0].ID() != "acme."+made.Incarnation+".2.connected" {
			t.Fatalf("%+v", first)
		}
		b.expiredNow(made)
		s := b.source()
		a, err := s.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		failing := b.signIn(tokens.Request{Connection: "acme"})
		failing.Code, failing.Error = "", "access_denied"
		_, err = b.auth.Complete(t.Context(), failing)
		wantCode(t, err, tokens.CodeConsentRequired)
		wantWaiting(false)
		if got := kinds(published(t, b.store)); got != "" {
			t.Errorf("a refresh or a failed sign-in is a change: %s", got)
		}
		again := b.signIn(tokens.Request{Connection: "acme"})
		for range 3 { // the same callback again is no change
			if _, err := b.auth.Complete(t.Context(), again); err != nil {
				t.Fatal(err)
			}
		}
		b.entra.set(func() {
			b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error":"invalid_grant","error_codes":[50173]}`))
				return true
			}
		})
		if a, err = s.Refused(t.Context(), "acme", a); err == nil { // another token is there
			_, err = s.Refused(t.Context(), "acme", a)
		}
		wantCode(t, err, tokens.CodeReauthorizationRequired)
		for range 2 { // what is gone already is deleted without a change
			if err := b.store.Delete(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
		}
		all := published(t, b.store)
		if kinds(all) != "acme connected, acme reauthorization_required, acme deleted" {
			t.Fatalf("%+v", all)
		}
		if !strings.Contains(all[1].LastError, "AADSTS50173") || all[1].Status != tokens.StatusReauthorizationRequired ||
			all[2].EnvironmentURL != envA || all[2].Version != all[1].Version || all[2].Status != "" ||
			all[2].Incarnation != made.Incarnation {
			t.Errorf("%+v", all)
		}
		if got := published(t, b.store); got != nil {
			t.Errorf("again %v", got)
		}
	})
}

func TestChangesStayUntilTheyArePublished(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for _, id := range []string{"a", "b", "c"} {
			b.connect(id, 3600)
		}
		_ = b.store.Delete(t.Context(), "a")
		away := errors.New("away")
		var seen []tokens.Change
		n, err := b.store.PublishChanges(t.Context(), func(_ context.Context, c tokens.Change) error {
			if seen = append(seen, c); len(seen) == 2 {
				return away
			}
			return nil
		})
		// The one that cannot be published holds up nobody else.
		if n != len(seen)-1 || n < 2 || !errors.Is(err, away) {
			t.Fatal(n, len(seen), err)
		}
		// The process that made them is gone; another one finds them.
		other := tokens.NewStore(rdb, b.keys)
		rest := published(t, other)
		got := append(slices.Delete(slices.Clone(seen), 1, 2), rest...)
		slices.SortStableFunc(got, func(x, y tokens.Change) int { return strings.Compare(x.Connection, y.Connection) })
		if kinds(got) != "a connected, a deleted, b connected, c connected" {
			t.Errorf("%s", kinds(got))
		}
		// A list that is empty stays in the index as long as a write may be under way.
		if n := rdb.ZCard(t.Context(), "crmbridge:changes").Val(); n != 3 {
			t.Errorf("%d in the index", n)
		}
		rdb.ZAdd(t.Context(), "crmbridge:changes", redis.Z{Member: "a",
			Score: float64(time.Now().Add(-6 * time.Minute).UnixMilli())})
		published(t, other)
		if n := rdb.ZCard(t.Context(), "crmbridge:changes").Val(); n != 2 {
			t.Errorf("%d in the index, want 2", n)
		}
		// What nobody can open holds up nobody else, and is told.
		rdb.RPush(t.Context(), "crmbridge:{b}:changes", "inc 1 forged")
		b.connect("d", 3600)
		var more []tokens.Change
		_, err = other.PublishChanges(t.Context(), func(_ context.Context,
			c tokens.Change) error {
			more = append(more, c)
			return nil
		})
		if kinds(more) != "d connected" {
			t.Error(more)
		}
		wantCode(t, err, tokens.CodeConfigurationError)
	})
}

// Two processes publish the same change at once: the slower one takes away what it
// published and not what stands in its place by then, which nobody has published.
func TestTwoPublishersLoseNothing(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		away := errors.New("away")
		var seen []tokens.Change
		n, err := b.store.PublishChanges(t.Context(), func(ctx context.Context, c tokens.Change) error {
			if seen = append(seen, c); len(seen) > 1 {
				return nil
			}
			done := 0
			_, err := tokens.NewStore(rdb, b.keys).PublishChanges(ctx, func(context.Context, tokens.Change) error {
				if done++; done == 2 {
					return away
				}
				return nil
			})
			if done != 2 || !errors.Is(err, away) {
				t.Errorf("the quicker one: %d, %v", done, err)
			}
			return nil
		})
		if err != nil || n != 2 || kinds(seen) != "acme connected, acme deleted" {
			t.Errorf("%d, %v: %s", n, err, kinds(seen))
		}
		if rest := published(t, b.store); rest != nil {
			t.Errorf("left %s", kinds(rest))
		}
	})
}

func TestChangesThatNobodyPublishesAreBounded(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		var told int
		b.store.OnDropped(func(id string) {
			if told++; id != "acme" {
				t.Errorf("told of %q", id)
			}
		})
		b.connect("other", 3600)
		for n := 1; n <= 60; n++ {
			b.connect("acme", 3600)
			if want := max(0, 2*n-1-100); told != want {
				t.Fatalf("told of %d changes that were dropped after a sign-in, want %d", told, want)
			}
			if _ = b.store.Delete(t.Context(), "acme"); told != max(0, 2*n-100) {
				t.Fatalf("told of %d changes that were dropped after a deletion, want %d", told, max(0, 2*n-100))
			}
		}
		if n := rdb.LLen(t.Context(), "crmbridge:{acme}:changes").Val(); n != 100 {
			t.Errorf("%d wait, want the newest 100", n)
		}
		if left := rdb.PTTL(t.Context(), "crmbridge:{acme}:changes").Val(); left < 6*24*time.Hour || left > 7*24*time.Hour {
			t.Errorf("they are kept %s", left)
		}
	})
}

// A record that no key opens can be deleted, and others hear of it.
func TestDeletionOfWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		published(t, b.store)
		rdb.HSet(t.Context(), "crmbridge:{acme}:grant", "sealed", "changed")
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if all := published(t, b.store); kinds(all) != "acme deleted" || all[0].EnvironmentURL != "" {
			t.Errorf("%+v", all)
		}
	})
}
