package bridgetest

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Wiretap keeps every secret that passes between crmbridge, the person and Entra: it is the
// transport of the person's browser, and stands before Entra and Dataverse.
type Wiretap struct {
	mu   sync.Mutex
	seen map[string]string // secret → what it is
}

// NewWiretap is one that has heard nothing yet.
func NewWiretap() *Wiretap { return &Wiretap{seen: map[string]string{}} }

// Seen is how many secrets it has.
func (w *Wiretap) Seen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen)
}

// In says which kinds of secrets stand in a text in clear.
func (w *Wiretap) In(text string) (kinds []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for secret, what := range w.seen {
		if strings.Contains(text, secret) && !slices.Contains(kinds, what) {
			kinds = append(kinds, what)
		}
	}
	return kinds
}

// Keep has further secrets, and what they are; short ones would be found anywhere.
func (w *Wiretap) Keep(what string, secrets ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) >= 16 {
			w.seen[secret] = what
		}
	}
}

// RoundTrip is the browser's.
func (w *Wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	w.Link(r.URL)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		if location, err := response.Location(); err == nil {
			w.Link(location)
		}
		for _, cookie := range response.Cookies() {
			w.Keep("cookie "+cookie.Name, cookie.Value)
		}
	}
	return response, err
}

// Between keeps what crmbridge sends to Entra and Dataverse, and what it gets.
func (w *Wiretap) Between(next http.Handler) http.Handler {
	return http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		if token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
			w.Keep("access token", token)
		}
		if !strings.HasSuffix(r.URL.Path, "/token") {
			next.ServeHTTP(to, r)
			return
		}
		if r.ParseForm() == nil { // the emulator reads the parsed form
			for _, name := range []string{"code", "code_verifier", "refresh_token", "client_secret"} {
				w.Keep(name, r.PostForm.Get(name))
			}
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var body struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
			ID      string `json:"id_token"`
		}
		if json.Unmarshal(answer.Body.Bytes(), &body) == nil {
			w.Keep("access token", body.Access)
			w.Keep("refresh token", body.Refresh)
			w.Keep("id token", body.ID)
		}
		maps.Copy(to.Header(), answer.Header())
		to.WriteHeader(answer.Code)
		_, _ = to.Write(answer.Body.Bytes()) // crmbridge may be gone
	})
}

// Link keeps the secrets in the address of a page.
func (w *Wiretap) Link(u *url.URL) {
	for _, name := range []string{"code", "state", "code_challenge"} {
		w.Keep(name, u.Query().Get(name))
	}
	if _, ticket, found := strings.Cut(u.Path, "/connect/"); found {
		w.Keep("ticket", ticket)
	}
}

// KeyMaterial is the primary key in a key set, as it is written there.
func KeyMaterial(t testing.TB, keyset string) string {
	t.Helper()
	_, rest, found := strings.Cut(keyset, `"value":"`)
	material, _, _ := strings.Cut(rest, `"`)
	if _, err := base64.StdEncoding.DecodeString(material); !found || err != nil {
		t.Fatalf("no key material in the key set: %v", err)
	}
	return material
}
