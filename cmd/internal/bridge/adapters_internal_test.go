package bridge

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/tokens"
)

const (
	heldEnvironment = "https://contoso.crm4.dynamics.com"
	heldToken       = "a-token-of-the-application"
	heldGUID        = "11111111-2222-3333-4444-555555555555"
)

// connected is a token source as the Dataverse client sees it, with the connection "acme".
func connected(t testing.TB) dynamics.TokenSource {
	t.Helper()
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"token_type":"Bearer","expires_in":86400,"access_token":"` + heldToken + `"}`))
	}))
	t.Cleanup(authority.Close)
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	store := tokens.NewStore(rdb, newKeyset(t))
	entra, err := tokens.NewEntra(tokens.EntraConfig{Authority: authority.URL, ClientID: heldGUID, ClientSecret: "secret",
		Apps: map[string]string{"acme": heldEnvironment}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	authorizer, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: store, Entra: entra,
		PublicURL: "http://localhost:8080",
		Discover:  func(context.Context, string) (string, error) { return heldGUID, nil },
		Identify:  func(context.Context, string, string) (string, string, error) { return heldGUID, heldGUID, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { authorizer.Close(context.Background()) })
	if _, err := authorizer.App(t.Context(),
		tokens.Request{Connection: "acme", EnvironmentURL: heldEnvironment}); err != nil {
		t.Fatal(err)
	}
	source := tokens.NewSource(tokens.SourceConfig{Store: store, Entra: entra})
	t.Cleanup(func() { source.Close(context.Background()) })
	return tokensOf(source)
}

// fromMemory gives the token of "acme" until it comes from this process: from then on it is
// one and the same text.
func fromMemory(t testing.TB, source dynamics.TokenSource) {
	t.Helper()
	for same := 0; same < 100; {
		before, err := source.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		again, err := source.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if same++; before.Token != again.Token {
			same = 0
		}
	}
}

// What the Dataverse client asks for before every call costs no allocation, from the source
// to the client: neither the token, nor the tables, nor the principal are made anew.
func TestATokenForTheClientAllocatesNothing(t *testing.T) {
	source := connected(t)
	fromMemory(t, source)
	ctx := t.Context()
	var access dynamics.Access
	// What runs beside it may allocate now and then: the average is cut to a whole number.
	if n := testing.AllocsPerRun(10_000, func() { access, _ = source.Access(ctx, "acme") }); n != 0 {
		t.Errorf("%v allocations for a token that is in memory, want none", n)
	}
	if access.Token.Reveal() != heldToken || access.Environment != heldEnvironment || len(access.Tables) != 1 ||
		access.Principal != (dynamics.Principal{Organization: heldGUID, User: heldGUID}) {
		t.Errorf("the access is %+v", access)
	}
}

// BenchmarkToken is what the Dataverse client waits for before a call, where the token is in
// this process.
func BenchmarkToken(b *testing.B) {
	source := connected(b)
	fromMemory(b, source)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := source.Access(ctx, "acme"); err != nil {
			b.Fatal(err)
		}
	}
}

func newKeyset(t testing.TB) *tokens.Keyset {
	t.Helper()
	made, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tokens.ReadKeyset(made)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
