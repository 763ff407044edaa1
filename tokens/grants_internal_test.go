package tokens

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// kept is a store whose records a test writes itself, with any time in them.
func kept(t *testing.T) (*Store, *miniredis.Miniredis) {
	t.Helper()
	m := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	raw, err := GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeyset(raw)
	if err != nil {
		t.Fatal(err)
	}
	return NewStore(rdb, keys), m
}

func (s *Store) keep(t *testing.T, r record, access Secret) record {
	t.Helper()
	r.EnvironmentURL, r.Grant = "https://contoso.crm4.dynamics.com", GrantAuthorizationCode
	r.TenantID = "11111111-2222-3333-4444-555555555555"
	r.access, r.refresh = access, "refresh of "+access
	at := r.fence()
	saved, err := s.put(t.Context(), at, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

// entraThat is an Entra ID that answers every request in one way.
func entraThat(t *testing.T, answer http.HandlerFunc) *Entra {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	e, err := NewEntra(EntraConfig{Authority: server.URL, ClientID: "cccccccc-0000-0000-0000-000000000001",
		ClientSecret: "x", AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func sourceOf(t *testing.T, s *Store, e *Entra) *Source {
	t.Helper()
	source := NewSource(SourceConfig{Store: s, Entra: e, Renewal: Renewal{Off: true}})
	t.Cleanup(func() { source.Close(context.Background()) })
	return source
}

// While Entra is in trouble a token that is good for seconds more is used to its end,
// unless it was replaced or deleted while the request waited for Entra.
func TestTheLastSecondsOfATokenWhileEntraIsInTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		left      time.Duration
		meanwhile func(t *testing.T, s *Store, r record)
		token     Secret // "": none may be sent
		asks      bool   // Entra is asked before there is an answer
	}{
		"nothing happened":            {20 * time.Second, nil, "old", true},
		"less than a call takes":      {lastMoment - time.Millisecond, nil, "", true},
		"more than a slow call takes": {40 * time.Second, nil, "old", false},
		"a person connected again": {20 * time.Second, func(t *testing.T, s *Store, r record) { s.keep(t, r, "new") }, "",
			true},
		"it was deleted": {20 * time.Second, func(t *testing.T, s *Store,
			r record) {
			_ = s.Delete(t.Context(), r.ID)
		}, "", true},
		"it was deleted and made anew": {20 * time.Second, func(t *testing.T, s *Store, r record) {
			_ = s.Delete(t.Context(), r.ID)
			r.Incarnation, r.Version, r.wid = "j", 0, ""
			s.keep(t, r, "new")
		}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _ := kept(t)
			r := living("acme", time.Hour, c.left)
			r.Version = 0
			r = store.keep(t, r, "old")
			asked := make(chan struct{}, 10)
			source := sourceOf(t, store, entraThat(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.meanwhile != nil {
					c.meanwhile(t, store, r)
				}
				asked <- struct{}{}
				w.WriteHeader(http.StatusServiceUnavailable)
			}))
			a, err := source.Access(t.Context(), "acme")
			before := len(asked) > 0
			switch {
			case c.token == "" && err == nil && a.Token != "new":
				t.Errorf("the old token was sent")
			case c.token != "" && (err != nil || a.Token != c.token):
				t.Errorf("%v, want the token that is still good", err)
			case c.asks && !before:
				t.Error("Entra was not asked first")
			}
		})
	}
}

// Connections that one process took from the work list are nobody else's until it must
// have died; then they come back.
func TestClaimedRenewalsAreNotDue(t *testing.T) {
	store, m := kept(t)
	now := time.Now().Truncate(time.Millisecond)
	m.SetTime(now)
	s := &Source{store: store, renewal: Renewal{}.withDefaults()}
	for id, in := range map[string]time.Duration{"late": -time.Hour, "later": -time.Second, "due": 0,
		"soon": time.Millisecond} {
		if _, err := m.ZAdd(renewalsKey, float64(now.Add(in).UnixMilli()), id); err != nil {
			t.Fatal(err)
		}
	}
	claim := func(most int, want ...string) {
		t.Helper()
		ids, err := s.claim(t.Context(), most)
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("claimed %v (%v), want %v", ids, err, want)
		}
	}
	claim(2, "late", "later")
	claim(4, "due")
	claim(4)
	m.SetTime(now.Add(time.Millisecond))
	claim(4, "soon")
	m.SetTime(now.Add(s.renewal.Claim - time.Millisecond))
	claim(4)
	m.SetTime(now.Add(s.renewal.Claim))
	claim(4, "due", "late", "later")
}

// What puts a connection on the work list never makes it due later than it is, if it is
// in use; a new token does.
func TestUseMakesNothingDueLater(t *testing.T) {
	store, m := kept(t)
	s := &Source{store: store, renewal: Renewal{}.withDefaults()}
	due := func(id string) time.Duration {
		t.Helper()
		score, err := m.ZScore(renewalsKey, id)
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(time.UnixMilli(int64(score))).Round(time.Minute)
	}
	write := func(id string, inUse, atRest time.Duration, used bool) {
		t.Helper()
		now := time.Now()
		if err := s.writeBatch(t.Context(), []dueTimes{{id, now.Add(inUse), now.Add(atRest), used}}); err != nil {
			t.Fatal(err)
		}
	}
	write("acme", time.Hour, 100*time.Hour, false)
	if got := due("acme"); got != 100*time.Hour {
		t.Errorf("a new token that nobody used: due in %s", got)
	}
	write("acme", 2*time.Hour, 100*time.Hour, true)
	if got := due("acme"); got != 2*time.Hour {
		t.Errorf("used: due in %s", got)
	}
	write("acme", 3*time.Hour, 100*time.Hour, true)
	if got := due("acme"); got != 2*time.Hour {
		t.Errorf("used again: due in %s", got)
	}
	write("acme", 4*time.Hour, 100*time.Hour, false)
	if got := due("acme"); got != 4*time.Hour {
		t.Errorf("a new token of one in use: due in %s", got)
	}
	if left := m.TTL(usedKey("acme")); left != s.renewal.Recent {
		t.Errorf("it counts as in use for %s", left)
	}
}
