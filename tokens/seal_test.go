package tokens_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

func tokensDiscover(context.Context, string) (string, error) { return "", errors.New("unknown") }

func tokensIdentify(context.Context, string, string) (string, string, error) {
	return "", "", errors.New("away")
}

// keysetOf writes a key set of these kinds, the last one primary.
func keysetOf(t *testing.T, templates ...*tinkpb.KeyTemplate) []byte {
	t.Helper()
	m := keyset.NewManager()
	for _, template := range templates {
		id, err := m.Add(template)
		if err == nil {
			err = m.SetPrimary(id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadKeysetRefuses(t *testing.T) {
	t.Parallel()
	good, _ := tokens.GenerateKeyset()
	for name, in := range map[string]string{
		"empty":      " \n",
		"text":       canary,
		"json":       `{"secret":"` + canary + `"}`,
		"cut off":    string(good[:len(good)/2]),
		"no keys":    `{"primaryKeyId":1,"key":[]}`,
		"mac":        string(keysetOf(t, mac.HMACSHA256Tag256KeyTemplate())),
		"no prefix":  string(keysetOf(t, aead.AES256GCMNoPrefixKeyTemplate())),
		"too large":  strings.Repeat(" x", 64<<10),
		"no primary": strings.Replace(string(good), `"primaryKeyId":`, `"primaryKeyId":1,"was":`, 1),
	} {
		_, err := tokens.ReadKeyset([]byte(in))
		if err == nil || !strings.Contains(err.Error(), "crmbridge keys generate") || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	both := keysetOf(t, aead.XChaCha20Poly1305KeyTemplate(), aead.AES256GCMKeyTemplate())
	k, err := tokens.ReadKeyset(both)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal([]byte(canary), []byte("purpose/a"))
	if err != nil || bytes.Contains(sealed, []byte(canary)) {
		t.Fatal(err)
	}
	if plain, err := k.Open(sealed, []byte("purpose/a")); err != nil || string(plain) != canary {
		t.Errorf("%v", err)
	}
	if _, err := k.Open(sealed, []byte("purpose/b")); !errors.Is(err, tokens.ErrUnsealable) ||
		errors.Is(err, tokens.ErrKeyMissing) {
		t.Errorf("another purpose: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Open(bad, []byte("purpose/a")); !errors.Is(err, tokens.ErrUnsealable) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	other, _ := tokens.ReadKeyset(keysetOf(t, aead.AES256GCMKeyTemplate()))
	if _, err := other.Open(sealed, []byte("purpose/a")); !errors.Is(err, tokens.ErrKeyMissing) {
		t.Errorf("another key set: %v", err)
	}
	// A key that is no longer primary still opens.
	var raw map[string]any
	if err := json.Unmarshal(both, &raw); err != nil {
		t.Fatal(err)
	}
	for _, key := range raw["key"].([]any) {
		if id := key.(map[string]any)["keyId"]; id != raw["primaryKeyId"] {
			raw["primaryKeyId"] = id
			break
		}
	}
	rotated, _ := json.Marshal(raw)
	r, err := tokens.ReadKeyset(rotated)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(sealed, []byte("purpose/a")); err != nil {
		t.Errorf("rotated: %v", err)
	}
}

func FuzzReadKeyset(f *testing.F) {
	good, _ := tokens.GenerateKeyset()
	f.Add(good)
	f.Add([]byte(`{"primaryKeyId":1,"key":[{}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, in []byte) {
		k, err := tokens.ReadKeyset(in)
		if err != nil {
			return
		}
		sealed, err := k.Seal([]byte("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := k.Open(sealed, nil); err != nil || string(plain) != "x" {
			t.Fatal(err)
		}
	})
}

// Nothing secret can be printed, logged or encoded, whichever value is taken.
func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		s := b.source()
		a, err := s.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		cb := b.signIn(tokens.Request{Connection: "acme"})
		raw, _ := tokens.GenerateKeyset()
		var material struct {
			Key []struct{ KeyData struct{ Value string } }
		}
		if err := json.Unmarshal(raw, &material); err != nil || len(material.Key) != 1 {
			t.Fatal(err)
		}
		keys, _ := tokens.ReadKeyset(raw)
		conn, _ := b.store.Get(t.Context(), "acme")
		for _, v := range []any{
			tokens.Secret(canary), a, &a, cb, &cb, conn, keys, b.app(), s, b.auth, b.store,
			tokens.EntraConfig{ClientSecret: canary}, tokens.Opening{Cookie: canary},
			map[string]tokens.Secret{"k": canary}, []tokens.Secret{canary}, &tokens.Error{Code: "x", Err: errors.New("y")},
		} {
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			if j, err := json.Marshal(v); err == nil {
				out.Write(j)
			}
			if j, err := jsonv2.Marshal(v); err == nil {
				out.Write(j)
			}
			for _, secret := range []string{canary, fmt.Sprintf("%x", canary), material.Key[0].KeyData.Value} {
				if strings.Contains(strings.ToLower(out.String()), strings.ToLower(secret)) {
					t.Errorf("%T shows a secret:\n%s", v, out.String())
				}
			}
		}
	})
}

// Nothing secret is in Redis in clear at any step.
func TestRedisHoldsNoSecretInClear(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		var looks int
		look := func() {
			looks++
			d := dump(t, rdb)
			if strings.Contains(d, canary) || strings.Contains(d, "contoso") || !strings.Contains(d, "crmbridge:connections") {
				t.Errorf("dump:\n%q", d)
			}
		}
		b.identify = func() error { look(); return nil } // between redemption and save
		cb := b.signIn(tokens.Request{Connection: "acme"})
		look()
		if strings.Contains(dump(t, rdb), cb.State) {
			t.Error("the state is in Redis")
		}
		if _, err := b.auth.Complete(t.Context(), cb); err != nil {
			t.Fatal(err)
		}
		look()
		s := b.source()
		a, _ := s.Access(t.Context(), "acme")
		if _, err := s.Refused(t.Context(), "acme", a); err != nil {
			t.Fatal(err)
		}
		look()
		if looks != 4 {
			t.Errorf("%d looks", looks)
		}
	})
}

func TestNewEntraNamesAllFaults(t *testing.T) {
	t.Parallel()
	_, err := tokens.NewEntra(tokens.EntraConfig{Authority: "http://login.microsoftonline.com", AllowHTTP: true})
	for _, want := range []string{"ENTRA_AUTHORITY_URL", "ENTRA_CLIENT_ID", "ENTRA_CLIENT_SECRET"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	for _, authority := range []string{"https://user@login.example", "https://login.example/x", "https://login.example?x",
		"ftp://login.example", "login.example", "http://127.0.0.1:1"} {
		if _, err := tokens.NewEntra(tokens.EntraConfig{Authority: authority, ClientID: clientID,
			ClientSecret: "x"}); err == nil {
			t.Errorf("%s was accepted", authority)
		}
	}
	if _, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{PublicURL: "http://crm.example.com"}); err == nil ||
		!strings.Contains(err.Error(), "PUBLIC_URL") {
		t.Errorf("%v", err)
	}
}
