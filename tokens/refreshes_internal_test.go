package tokens

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// gives answers a token request with a token, and with a refresh token or without.
func gives(w http.ResponseWriter, access, refresh string) {
	w.Header().Set("Content-Type", "application/json")
	if refresh != "" {
		refresh = fmt.Sprintf(`,"refresh_token":%q`, refresh)
	}
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":%q%s}`, access, refresh)
}

// ended is a connection whose token is not good enough to be sent any more.
func ended(t *testing.T, s *Store, left time.Duration) record {
	t.Helper()
	r := living("acme", time.Hour, left)
	r.Version = 0
	return s.keep(t, r, "old")
}

// Entra need not give another refresh token with every token: then the one that it gave
// before stays.
func TestARefreshTokenStaysWhereThereIsNoOther(t *testing.T) {
	store, _ := kept(t)
	ended(t, store, -time.Second)
	next := ""
	source := sourceOf(t, store, entraThat(t, func(w http.ResponseWriter, _ *http.Request) { gives(w, "new", next) }))
	for _, want := range []Secret{"refresh of old", "another"} {
		a, err := source.Access(t.Context(), "acme")
		if err != nil || a.Token != "new" {
			t.Fatal(err)
		}
		now, err := store.load(t.Context(), "acme")
		if err != nil || now.refresh != want {
			t.Errorf("another refresh token than %s is kept (%v)", want, err)
		}
		now.AccessTokenExpiresAt, next = time.Now().Add(-time.Second), "another"
		if _, err := store.save(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}

// A token that Dataverse refused is not replaced by a stored one that is about to end.
func TestARefusedTokenIsReplacedByOneThatLasts(t *testing.T) {
	store, _ := kept(t)
	ended(t, store, 20*time.Second)
	source := sourceOf(t, store, entraThat(t, func(w http.ResponseWriter, _ *http.Request) { gives(w, "new", "") }))
	a, err := source.Refused(t.Context(), "acme", Access{Token: "older"})
	if err != nil || a.Token != "new" {
		t.Errorf("the stored token was given although it ends at once (%v)", err)
	}
}

// While Redis is believed away a token is used to its last moment, and not beyond.
func TestAnEndedTokenIsNotUsedWhileRedisIsAway(t *testing.T) {
	store, _ := kept(t)
	ended(t, store, -time.Second)
	source := sourceOf(t, store, entraThat(t, func(w http.ResponseWriter, _ *http.Request) { gives(w, "new", "") }))
	if _, err := source.read(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	source.local.failed(time.Now())
	if a, err := source.Access(t.Context(), "acme"); err == nil && a.Token != "new" {
		t.Error("an ended token was sent")
	}
}
