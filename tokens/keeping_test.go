package tokens_test

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// A link may be opened in two windows; one of the two sign-ins makes the connection,
// also where both come back at the same moment. The other's code is not even redeemed
// where that is over.
func TestOneSignInOfALinkConnects(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA})
		if err != nil {
			t.Fatal(err)
		}
		var cookie tokens.Secret
		open := func() tokens.Callback {
			opened, err := b.auth.Ticket(t.Context(), path.Base(begun.ConnectURL), cookie)
			if err != nil {
				t.Fatal(err)
			}
			cookie = opened.Cookie
			u, err := url.Parse(opened.AuthorizationURL)
			if err != nil {
				t.Fatal(err)
			}
			return tokens.Callback{State: u.Query().Get("state"), Code: b.code(opened.AuthorizationURL), BrowserCookie: cookie}
		}
		one, two, three := open(), open(), open()
		var made tokens.Connection
		b.entra.set(func() {
			b.entra.answer = func(_ http.ResponseWriter, form url.Values, _ int) bool {
				if form.Get("code") == two.Code.Reveal() { // the other one is quicker
					if made, err = b.auth.Complete(context.WithoutCancel(t.Context()), one); err != nil {
						t.Error(err)
					}
				}
				return false
			}
		})
		_, err = b.auth.Complete(t.Context(), two)
		wantCode(t, err, tokens.CodeInvalidState)
		if now, err := b.store.Get(t.Context(), "acme"); err != nil || now.Version != made.Version ||
			now.Status != tokens.StatusActive {
			t.Errorf("%+v, %v; want version %d", now, err, made.Version)
		}
		_, err = b.auth.Complete(t.Context(), three)
		wantCode(t, err, tokens.CodeInvalidState)
		if n := b.entra.count("authorization_code"); n != 2 {
			t.Errorf("%d redemptions, want 2", n)
		}
		_, err = b.auth.Ticket(t.Context(), path.Base(begun.ConnectURL), cookie)
		wantCode(t, err, tokens.CodeInvalidState)
	})
}

// How long a link, a sign-in and its answer, and a connection that nobody finished are kept.
func TestHowLongASignInIsKept(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		kept := func(what string, want time.Duration) {
			t.Helper()
			keys := rdb.Keys(t.Context(), "crmbridge:"+what).Val()
			if len(keys) != 1 {
				t.Fatalf("%d keys of %s", len(keys), what)
			}
			if left := rdb.PTTL(t.Context(), keys[0]).Val(); left > want || left < want-time.Minute/2 {
				t.Errorf("%s is kept for %s, want %s", what, left, want)
			}
		}
		begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA, Bus: true})
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(begun.ExpiresAt); left > 10*time.Minute || left < 9*time.Minute {
			t.Errorf("the link is good for %s", left)
		}
		kept("ticket:*", 21*time.Minute)
		kept("state:*", 10*time.Minute)
		kept("{acme}:grant", 11*time.Minute)
		// Who opens the link late has time enough.
		rdb.PExpire(t.Context(), "crmbridge:{acme}:grant", time.Minute)
		if _, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA}); err != nil {
			t.Fatal(err)
		}
		kept("{acme}:grant", 11*time.Minute)
		rdb.PExpire(t.Context(), rdb.Keys(t.Context(), "crmbridge:state:*").Val()[0], time.Minute)
		if _, err := b.auth.Complete(t.Context(), tokens.Callback{State: begun.State, Code: b.code(begun.AuthorizationURL),
			Bus: true}); err != nil {
			t.Fatal(err)
		}
		kept("state:*", 21*time.Minute) // the answer to the same callback, and to who asks what became of the link
		if left := rdb.PTTL(t.Context(), "crmbridge:{acme}:grant").Val(); left != -1 {
			t.Errorf("a connection is kept for %s", left)
		}
	})
}

// Nothing of a deleted connection stays but the news of it, and that what others keep of it
// is to go.
func TestNothingOfADeletedConnectionStays(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		c := b.connect("acme", 3600)
		b.connect("other", 3600)
		s := b.source()
		if _, err := s.Access(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		await(t, "what is written down of its use", func() bool {
			return rdb.Exists(t.Context(), "crmbridge:{acme}:used").Val() == 1 &&
				rdb.ZScore(t.Context(), "crmbridge:renewals", "acme").Err() == nil
		})
		rdb.HSet(t.Context(), "crmbridge:{acme}:metadata", c.Incarnation, "x")
		s.Close(t.Context()) // nothing is written down any more
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		rdb.Del(t.Context(), "crmbridge:{acme}:alive") // it says nothing of the connection, and lives 10 s
		keys := rdb.Keys(t.Context(), "crmbridge:{acme}:*").Val()
		if slices.Sort(keys); !slices.Equal(keys, []string{"crmbridge:{acme}:changes", "crmbridge:{acme}:purge"}) {
			t.Errorf("left: %v", keys)
		}
		for _, index := range []string{"connections", "renewals"} {
			for _, id := range rdb.ZRange(t.Context(), "crmbridge:"+index, 0, -1).Val() {
				if id == "acme" {
					t.Errorf("it is still among the %s", index)
				}
			}
		}
		if _, err := b.store.Get(t.Context(), "other"); err != nil {
			t.Errorf("another connection: %v", err)
		}
	})
}

// A person who connects again begins anew: what was true of the tokens before, that a
// forced one was refused and what Microsoft asked for, is over.
func TestConnectingAgainForgetsTheTroubleBefore(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		s := b.source()
		a, err := s.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		forced, err := s.Refused(t.Context(), "acme", a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Refused(t.Context(), "acme", forced); err == nil {
			t.Fatal("a second forced refresh within a minute")
		}
		b.connect("acme", 3600)
		again, err := s.Access(t.Context(), "acme")
		if err != nil || again.Token == forced.Token {
			t.Fatalf("the new grant: %v", err)
		}
		if fresh, err := s.Refused(t.Context(), "acme", again); err != nil || fresh.Token == again.Token {
			t.Errorf("the first refusal of the new grant: %v", err)
		}
	})
}

// A change that is announced while the last ones of a connection are published keeps the
// connection in the index, however long ago those were announced.
func TestAnAnnouncementDuringPublication(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		announced := func(ago time.Duration) {
			rdb.ZAdd(t.Context(), "crmbridge:changes", redis.Z{Member: "acme", Score: float64(time.Now().Add(-ago).UnixMilli())})
		}
		announced(6 * time.Minute)
		n, err := b.store.PublishChanges(t.Context(), func(context.Context, tokens.Change) error { announced(0); return nil })
		if n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if rdb.ZScore(t.Context(), "crmbridge:changes", "acme").Err() != nil {
			t.Error("the change that was announced meanwhile would be looked for by nobody")
		}
		announced(4 * time.Minute)
		if _, err := b.store.PublishChanges(t.Context(), nil); err != nil ||
			rdb.ZCard(t.Context(), "crmbridge:changes").Val() != 1 {
			t.Error("forgotten while a write may still be under way", err)
		}
		announced(6 * time.Minute)
		if _, err := b.store.PublishChanges(t.Context(), nil); err != nil ||
			rdb.ZCard(t.Context(), "crmbridge:changes").Val() != 0 {
			t.Error("not forgotten", err)
		}
	})
}

// Records that others write while they are resealed stay as those wrote them.
func TestResealReplacesNothingNewer(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		first := must[[]byte](t)(tokens.GenerateKeyset())
		b := newBenchWith(t, rdb, first)
		before := b.connect("acme", 3600)
		next := must[[]byte](t)(tokens.RotateKeyset(first))
		keys := must[*tokens.Keyset](t)(tokens.ReadKeyset(next))
		mine := client(t, rdb.(*redis.Client).Options().Addr)
		mine.AddHook(&meanwhile{key: "crmbridge:{acme}:grant", do: func() { b.connect("acme", 3600) }})
		if _, err := tokens.NewStore(mine, keys).Reseal(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		now, err := tokens.NewStore(rdb, keys).Get(t.Context(), "acme")
		if err != nil || now.Version != before.Version+1 || now.Status != tokens.StatusActive {
			t.Errorf("%+v, %v; want version %d", now, err, before.Version+1)
		}
	})
}
