package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// An echoer stands before the emulator and says back, in every field of every
// answer, what was sent with the question.
type echoer struct {
	mu     sync.Mutex
	form   func(string) string // nil: honest
	status int                 // of Dataverse's answers; 200: as they are but for their texts
	heard  map[string]bool     // every secret that was sent
}

func (e *echoer) set(status int, form func(string) string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.form = status, form
}

func (e *echoer) now(secrets ...string) (status int, form func(string) string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) >= 16 {
			e.heard[secret] = true
		}
	}
	return e.status, e.form
}

func (e *echoer) between(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, dataverse := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case dataverse:
			status, form := e.now(token)
			if form == nil {
				next.ServeHTTP(w, r)
				return
			}
			e.dataverse(w, r, next, status, form(token))
		case strings.HasSuffix(r.URL.Path, "/token") && r.ParseForm() == nil:
			var secrets []string
			for _, name := range []string{"code", "code_verifier", "refresh_token", "client_secret"} {
				if v := r.PostForm.Get(name); v != "" {
					secrets = append(secrets, v)
				}
			}
			status, form := e.now(secrets...)
			if form == nil {
				e.honestToken(w, r, next)
				return
			}
			e.entra(w, r, next, status, form(strings.Join(secrets, "~")))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// dataverse answers with the echo in each text; ids are GUIDs made of it.
func (e *echoer) dataverse(w http.ResponseWriter, r *http.Request, next http.Handler, status int, said string) {
	h := w.Header()
	one := strings.Join(strings.Fields(said), "")
	for _, name := range []string{"X-Ms-Service-Request-Id", "Req_id", "Www-Authenticate", "Odata-Version", "Content-Language", "Retry-After", "X-Ms-Ratelimit-Burst-Remaining-Xrm-Requests"} {
		h.Set(name, one)
	}
	h.Set("X-Ms-Service-Request-Id", guidOf(said)+","+guidOf(said))
	h.Set("Www-Authenticate", `Bearer authorization_uri=https://login.example/`+one[:min(60, len(one))]+`/oauth2, claims="`+
		base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"nbf":{"value":"`+one+`"}}}`))+`"`)
	h.Set("Content-Type", "application/json")
	if status == http.StatusOK {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var body any
		if json.Unmarshal(answer.Body.Bytes(), &body) == nil {
			_ = json.NewEncoder(w).Encode(replaced(body, "", said))
			return
		}
		_, _ = w.Write(answer.Body.Bytes())
		return
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"Message": said, "ErrorCode": one, "error": map[string]any{"code": one[:min(12, len(one))],
		"message": "Principal is missing prv" + strings.ReplaceAll(one, "-", "_") + " privilege; Could not find a property named '" + strings.ToLower(one) + "' " + said}})
}

// replaced is an answer with another text in each place that has one.
func replaced(v any, name, text string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = replaced(member, name, text)
		}
	case []any:
		for i := range v {
			v[i] = replaced(v[i], name, text)
		}
	case string:
		if !strings.HasPrefix(name, "@odata") && name != "LogicalName" && name != "accountid" {
			return text
		}
	}
	return v
}

func guidOf(text string) string {
	h := (hex.EncodeToString([]byte(text)) + strings.Repeat("0", 32))[:32]
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// honestToken remembers what Entra gives out.
func (e *echoer) honestToken(w http.ResponseWriter, r *http.Request, next http.Handler) {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	var body struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(answer.Body.Bytes(), &body)
	e.now(body.Access, body.Refresh)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (e *echoer) entra(w http.ResponseWriter, r *http.Request, next http.Handler, status int, said string) {
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusOK {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var body map[string]any
		if json.Unmarshal(answer.Body.Bytes(), &body) == nil && body["access_token"] != nil {
			body["scope"], body["client_info"], body["foci"] = said+" openid "+said, said, said
			_ = json.NewEncoder(w).Encode(body)
			return
		}
	}
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": "invalid_grant", "error_description": "AADSTS50076: " + said, "error_codes": []int{50076},
		"suberror": said, "claims": `{"access_token":{"a":{"value":"` + strings.Join(strings.Fields(said), "") + `"}}}`, "trace_id": said, "correlation_id": said, "error_uri": said})
}

// echoWays are the forms in which secrets are said back.
func echoWays() map[string]func(string) string {
	flip := func(s string) string { b := []byte(s); slices.Reverse(b); return string(b) }
	return map[string]func(string) string{
		"plain": func(s string) string { return s }, "reversed": flip, "upper": strings.ToUpper,
		"hex":       func(s string) string { return hex.EncodeToString([]byte(s)) },
		"base64":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("t:" + s)) },
		"cut":       func(s string) string { return s[len(s)-20:] },
		"percent": func(s string) string {
			var b strings.Builder
			for _, c := range []byte(s) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			return b.String()
		},
		"pieces": func(s string) string {
			var parts []string
			for part := range slices.Chunk([]byte(s), 16) {
				parts = append(parts, string(part))
			}
			return strings.Join(parts, " ")
		},
	}
}

// No reply, event, log line or metric holds a token, refresh token, authorization
// code, PKCE verifier or client secret, in whichever form environment and Entra say
// it back.
func TestNothingSecretIsSaidBack(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "every operation meets every form of an echo, in 600 requests")
	e := &echoer{heard: map[string]bool{}}
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 20}, e.between)
	settings := w.Settings(true)
	settings.LogLevel, settings.BusCompletion = "debug", "true"
	log := &bridgetest.Buffer{}
	w.Bridge(settings, log)
	w.Connect("acme")
	_, nc := w.Client()

	said := &bridgetest.Buffer{}
	spy, err := nats.Connect(w.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	defer spy.Close()
	heard, err := spy.Subscribe(">", func(m *nats.Msg) {
		fmt.Fprintf(said, "%s %v %s\n", m.Subject, m.Header, m.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = heard.SetPendingLimits(-1, -1)
	if err := spy.Flush(); err != nil {
		t.Fatal(err)
	}
	ask := func(op messages.Operation, body string) []byte {
		t.Helper()
		reply, err := nc.Request(string(op.Subject()), []byte(body), 30*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		return reply.Data
	}
	bodies := map[messages.Operation]string{
		messages.ConnectionsGet: `{"connection":"acme"}`, messages.ConnectionsList: `{}`, messages.ConnectionsCheck: `{"connection":"acme"}`,
		messages.UsersWhoAmI: `{"connection":"acme"}`, messages.UsersGet: `{"connection":"acme","email":"` + emulator.DefaultUser + `"}`,
		messages.Accounts.Operation(messages.VerbSearch): `{"connection":"acme","where":{"field":"industry","op":"eq","value":"Nonsense"}}`, messages.Accounts.Operation(messages.VerbGet): `{"connection":"acme","account_id":"11111111-2222-3333-4444-555555555555","fields":["nam"]}`,
		messages.Accounts.Operation(messages.VerbCount): `{"connection":"acme"}`, messages.Accounts.Operation(messages.VerbFields): `{"connection":"acme"}`, messages.Accounts.Operation(messages.VerbChanges): `{"connection":"acme"}`,
	}
	n := 0
	ways := echoWays()
	for k, way := range slices.Sorted(maps.Keys(ways)) {
		form := ways[way]
		for i, status := range []int{200, 400, 403, 404, 413, 500} {
			if raceDetector && (k+i)%3 != 0 { // each form meets two of them, and each of them three forms
				continue
			}
			e.set(status, form)
			for op, body := range bodies {
				ask(op, body)
				n++
			}
			ask(messages.Accounts.Operation(messages.VerbSearch), `{"connection":"acme"}`)
		}
		e.set(0, nil)
	}
	n += sayEntra(t, w, e, ask)

	if err := spy.Flush(); err != nil {
		t.Fatal(err)
	}
	metrics, err := http.Get("http://" + settings.AdminAddr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	numbers, err := io.ReadAll(metrics.Body)
	if err != nil || len(numbers) < 1000 {
		t.Fatalf("metrics: %v, %d bytes", err, len(numbers))
	}
	e.set(0, nil)
	for where, text := range map[string]string{"what went over NATS": said.String(), "the log": log.String(), "the metrics": string(numbers)} {
		findEchoes(t, e, where, text)
	}
	if len(e.heard) < 10 {
		t.Errorf("only %d secrets were said back", len(e.heard))
	}
	t.Logf("%d requests, %d secrets, %d bytes of replies, %d of log", n, len(e.heard), len(said.String()), len(log.String()))
}

// sayEntra has Entra say back what it is sent, in sign-ins that it grants and that
// it refuses, and begins another sign-in, which is asked for the refusal's claims.
func sayEntra(t *testing.T, w *bridgetest.World, e *echoer, ask func(messages.Operation, string) []byte) (n int) {
	t.Helper()
	for name, form := range echoWays() {
		for _, status := range []int{200, 400} {
			id := fmt.Sprintf("e-%s-%d", name, status)
			begin := fmt.Sprintf(`{"connection":%q,"environment_url":%q,"login_hint":%q}`, id, w.EmulatorURL, emulator.DefaultUser)
			var begun messages.AuthorizeReply
			if err := json.Unmarshal(ask(messages.ConnectionsAuthorize, begin), &begun); err != nil || begun.AuthorizationURL == "" {
				t.Fatalf("%s: %v", begin, err)
			}
			back := redirect(t, w, nil, begun.AuthorizationURL, "accept")
			code := back.Query().Get("code")
			e.set(status, form)
			// What is asked holds the code; the spy sees it, so it is not among the secrets
			// of this part.
			ask(messages.ConnectionsComplete, fmt.Sprintf(`{"state":%q,"code":%q}`, begun.State, code))
			e.set(0, nil)
			e.mu.Lock()
			delete(e.heard, code)
			e.mu.Unlock()
			if status != 200 {
				var again messages.AuthorizeReply
				if err := json.Unmarshal(ask(messages.ConnectionsAuthorize, begin), &again); err != nil || again.AuthorizationURL == "" {
					t.Fatalf("%s: %v", begin, err)
				}
			}
			ask(messages.ConnectionsGet, fmt.Sprintf(`{"connection":%q}`, id))
			n += 4
		}
	}
	return n
}

// findEchoes looks for 16 characters in a row of each secret in each form.
func findEchoes(t *testing.T, e *echoer, where, text string) {
	t.Helper()
	const piece = 16
	windows := map[string]bool{}
	lower := strings.ToLower(text)
	for i := 0; i+piece <= len(lower); i++ {
		windows[lower[i:i+piece]] = true
	}
	for secret := range e.heard {
		if dot := strings.LastIndex(secret, "."); strings.Count(secret, ".") == 2 {
			secret = secret[dot+1:] // what precedes it is the same in all tokens of a user
		}
		for name, form := range echoWays() {
			said := strings.ToLower(form(secret))
			for i := 0; i+piece <= len(said); i++ {
				if windows[said[i:i+piece]] {
					at := strings.Index(lower, said[i:i+piece])
					t.Errorf("%s has %q, %s of a secret, in: …%s…", where, said[i:i+piece], name, text[max(0, at-200):min(len(text), at+100)])
					return
				}
			}
		}
	}
}
