package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

func written(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// application asks for a connection in which nobody but the application acts.
func application(w *bridgetest.World, connection string) messages.AuthorizeRequest {
	return messages.AuthorizeRequest{Target: messages.Target{Connection: connection},
		EnvironmentURL: w.EmulatorURL, Grant: messages.GrantClientCredentials}
}

// An application connects without a person, by each proof that it can give of
// itself, and goes on when its token has ended, in another process too.
func TestAnApplicationConnectsWithoutAPerson(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	const issuer, subject = "https://cluster.example/oidc", "system:serviceaccount:crm:crmbridge"
	federated := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": issuer, "sub": subject, "aud": emulator.DefaultFederatedAudience,
		"iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	federated.Header["kid"] = "1"
	token, err := federated.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	options := emulator.Options{Accounts: 20, ClientCertificates: []*x509.Certificate{cert}, SingleUseAssertions: true,
		FederatedCredentials: []emulator.FederatedCredential{{Issuer: issuer, Subject: subject, Keys: map[string]*rsa.PublicKey{"1": &key.PublicKey}}}}
	for name, proof := range map[string]func(*bridge.Settings){
		"secret":      func(*bridge.Settings) {},
		"certificate": func(s *bridge.Settings) { s.EntraClientSecret, s.EntraClientCertificateFile = "", written(t, pair) },
		"federated":   func(s *bridge.Settings) { s.EntraClientSecret, s.EntraFederatedTokenFile = "", written(t, token+"\n") },
	} {
		t.Run(name, func(t *testing.T) {
			// A federated token is the platform's and serves many requests.
			options := options
			options.SingleUseAssertions = name == "certificate"
			w := bridgetest.New(t, options)
			var processes []*bridgetest.Process
			for i := range 2 {
				settings := w.Settings(i == 0)
				settings.AppConnectionsFile = written(t, fmt.Sprintf(`[{"connection":"robot","environment_url":%q}]`, w.EmulatorURL))
				proof(&settings)
				processes = append(processes, bridgetest.Serve(t, settings))
			}
			client, nc := w.Client()
			body, err := json.Marshal(application(w, "robot"))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := nc.Request("crm.connections.authorize.request.robot", body, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			var reply map[string]json.RawMessage
			if err := json.Unmarshal(answer.Data, &reply); err != nil || len(reply) != 2 || reply["request_id"] == nil || reply["connection"] == nil {
				t.Fatalf("%s (%v); log: %s", answer.Data, err, processes[0].Log)
			}
			again, err := client.Authorize(t.Context(), application(w, "robot"))
			if err != nil || again.Connection.Made == nil {
				t.Fatalf("a second time: %+v, %v", again, err)
			}
			made := again.Connection.Made
			if made.ID != "robot" || made.Status != messages.StatusActive || made.Grant != messages.GrantClientCredentials ||
				made.TenantID != emulator.DefaultTenantID || made.UserID == "" || made.OrganizationID == "" || again.ConnectURL != "" {
				t.Errorf("%+v", made)
			}
			search := func() {
				t.Helper()
				page, err := client.Accounts().Search(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "robot"}})
				if err != nil || len(page.Rows) != 20 {
					t.Errorf("%+v, %v", page, err)
				}
			}
			search()
			who, err := client.WhoAmI(t.Context(), "robot")
			if err != nil || who.UserID != made.UserID {
				t.Errorf("%+v, %v", who, err)
			}
			before := w.Emulator.Control().Counts()
			if before.Tokens["client_credentials"] != 2 || before.Tokens["refresh_token"] != 0 || len(before.TokenErrors) != 0 {
				t.Errorf("%+v", before)
			}
			w.Emulator.Control().ExpireAccessTokens()
			search()
			for range 10 { // both processes, by now
				search()
			}
			if after := w.Emulator.Control().Counts(); after.Tokens["client_credentials"] != 3 || after.Tokens["refresh_token"] != 0 {
				t.Errorf("after the token's end: %+v", after.Tokens)
			}
			for _, p := range processes {
				if log := p.Log.String(); strings.Contains(log, token) || strings.Contains(log, "eyJ") {
					t.Errorf("a token in the log:\n%s", log)
				}
			}
		})
	}
}

// Only the pairs of the list, only one directory, and only an environment that
// has an application user.
func TestApplicationsThatMayNotConnect(t *testing.T) {
	t.Parallel()
	nobody := emulator.User{Name: "# nobody", UserName: "crmbridge@contoso.example", ApplicationID: emulator.DefaultClientID, NotMember: true}
	w := bridgetest.New(t, emulator.Options{Accounts: 5, Users: []emulator.User{nobody}})
	settings := w.Settings(true)
	settings.AppConnectionsFile = written(t, fmt.Sprintf(`[{"connection":"robot","environment_url":%q}]`, w.EmulatorURL))
	bridgetest.Serve(t, settings)
	client, _ := w.Client()
	for _, c := range []struct {
		name   string
		change func(*messages.AuthorizeRequest)
		code   messages.Code
		says   string
	}{
		{"not listed", func(r *messages.AuthorizeRequest) { r.Connection = "acme" }, messages.PermissionDenied, "APP_CONNECTIONS_FILE"},
		{"a login hint", func(r *messages.AuthorizeRequest) { r.LoginHint = "x" }, messages.InvalidRequest, "login_hint"},
		{"a prompt", func(r *messages.AuthorizeRequest) { r.Prompt = "login" }, messages.InvalidRequest, "prompt"},
		{"every directory", func(r *messages.AuthorizeRequest) { r.Tenant = "common" }, messages.InvalidRequest, "one directory"},
		{"another grant", func(r *messages.AuthorizeRequest) { r.Grant = "password" }, messages.InvalidRequest, "grant"},
	} {
		in := application(w, "robot")
		c.change(&in)
		_, err := client.Authorize(t.Context(), in)
		wantCode(t, err, c.code)
		if err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", c.name, err, c.says)
		}
	}
	if n := w.Emulator.Control().Counts().TokenRequests(); n != 0 {
		t.Errorf("%d token requests for what is refused", n)
	}
	_, err := client.Authorize(t.Context(), application(w, "robot"))
	wantCode(t, err, messages.PermissionDenied)
	if err == nil || !strings.Contains(err.Error(), "application user for application "+emulator.DefaultClientID) {
		t.Error(err)
	}
	_, err = client.Connection(t.Context(), "robot")
	wantCode(t, err, messages.ConnectionNotFound)
}

// A Dataverse that refuses every token costs one forced refresh and then gives a
// verdict that says what to do; its claims reach the next sign-in, and no log.
func TestARefusingDataverseAndItsClaims(t *testing.T) {
	t.Parallel()
	const claims = `{"access_token":{"acrs":{"essential":true,"value":"CANARY"}}}`
	sent := base64.StdEncoding.EncodeToString([]byte(claims))
	var refuses atomic.Bool
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 5}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if refuses.Load() && strings.HasPrefix(r.URL.Path, "/api/data/") && r.Header.Get("Authorization") != "" {
				rw.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="`+sent+`"`)
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	settings := w.Settings(true)
	settings.BusCompletion, settings.LogLevel = "true", "debug"
	p := bridgetest.Serve(t, settings)
	w.Connect("acme")
	client, _ := w.Client()
	asked := func() string {
		begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "acme"}, EnvironmentURL: w.EmulatorURL})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(begun.AuthorizationURL)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("claims")
	}
	refuses.Store(true)
	for range 3 {
		_, err := client.WhoAmI(t.Context(), "acme")
		wantCode(t, err, messages.Unavailable)
		if err == nil || !strings.Contains(err.Error(), "look into it with connections.check") || strings.Contains(fmt.Sprintf("%+v", err), "CANARY") {
			t.Error(err)
		}
		if fault, ok := errors.AsType[*messages.Error](err); !ok || !fault.Retryable || fault.RetryAfterMS <= 0 {
			t.Errorf("what may pass by itself is not to be tried again: %+v", fault)
		}
	}
	for _, check := range checks(t, testedTables()[0], client, "acme") {
		if check.OK || check.Name == messages.CheckToken && !strings.Contains(check.HowToFix, "IP firewall") {
			t.Errorf("%+v", check)
		}
	}
	if n := w.Emulator.Control().Counts().Tokens["refresh_token"]; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	if got := asked(); got != claims {
		t.Errorf("the next sign-in is asked for %q, want %q", got, claims)
	}
	refuses.Store(false)
	if c, err := client.Connection(t.Context(), "acme"); err != nil || c.Status != messages.StatusActive {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := client.WhoAmI(t.Context(), "acme"); err != nil {
		t.Errorf("once Dataverse takes the token again: %v", err)
	}
	w.Connect("acme")
	if got := asked(); got != "" {
		t.Errorf("after a sign-in the next one is asked for %q", got)
	}
	if log := p.Log.String(); strings.Contains(log, "CANARY") || strings.Contains(log, sent[:20]) {
		t.Errorf("claims in the log:\n%s", log)
	}
}

// A challenge that a refresh can answer is answered without anybody noticing.
func TestAClaimsChallengeIsAnsweredByARefresh(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 5})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	if !w.Emulator.Control().ChallengeClaims(`{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`) {
		t.Fatal("the emulator does not take the claims")
	}
	if _, err := client.WhoAmI(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if counts := w.Emulator.Control().Counts(); counts.ClaimsChallenges != 1 || counts.Tokens["refresh_token"] != 1 {
		t.Errorf("%d challenges, %d refreshes", counts.ClaimsChallenges, counts.Tokens["refresh_token"])
	}
}
