package emulator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"golang.org/x/oauth2"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func refreshForm(token string) url.Values {
	return form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

const other = "tomas.ferreira@contoso.example"

// Each thing that an administrator may do to a grant has its own refusal, touches nobody else, and ends.
func TestWhatAnAdministratorMayDoToAGrant(t *testing.T) {
	for _, c := range []struct {
		name      string
		do        func(emulator.Control)
		number    int
		suberror  string
		undo      func(*rig) // nil where only a new sign-in helps
		challenge bool       // the refusal carries claims
	}{
		{"blocks the account", func(c emulator.Control) { c.BlockSignIn(other, true) }, 50057, "",
			func(g *rig) { g.s.Control().BlockSignIn(other, false) }, false},
		{"requires a second factor", func(c emulator.Control) { c.RequireMFA(other, true) }, 50076, "basic_action", nil, true},
		{"no longer requires it", func(c emulator.Control) { c.RequireMFA(other, true) }, 50076, "basic_action",
			func(g *rig) { g.s.Control().RequireMFA(other, false) }, true},
		{"withdraws consent", func(c emulator.Control) { c.WithdrawConsent(other) }, 65001, "consent_required",
			func(g *rig) { g.signIn(other) }, false}, // agreeing again brings the old token back
		{"resets the password", func(c emulator.Control) { c.ChangePassword(other) }, 50173, "", nil, false},
		{"revokes", func(c emulator.Control) { c.RevokeRefreshTokens(other) }, 50173, "", nil, false},
		{"revokes one sign-in", func(c emulator.Control) {
			for _, x := range c.Grants() {
				if x.User == other {
					c.RevokeGrant(x.ID)
				}
			}
		}, 50173, "", nil, false},
		{"lets it expire", func(c emulator.Control) { c.ExpireRefreshTokens(other) }, 700082, "", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
			token, bystander := g.signIn(other).RefreshToken, g.signIn(emulator.DefaultUser).RefreshToken
			c.do(g.s.Control())
			r := g.post(tokenPath, refreshForm(token))
			checkEntraError(t, c.name, r, 400, "invalid_grant", c.number)
			var body struct{ Suberror, Claims string }
			if err := json.Unmarshal([]byte(r.body), &body); err != nil || body.Suberror != c.suberror ||
				json.Valid([]byte(body.Claims)) != c.challenge {
				t.Errorf("suberror %q, claims %q", body.Suberror, body.Claims)
			}
			if r := g.post(tokenPath, refreshForm(bystander)); r.status != 200 {
				t.Errorf("another user: %d %s", r.status, r.body)
			}
			if c.undo != nil {
				c.undo(g)
				if r := g.post(tokenPath, refreshForm(token)); r.status != 200 {
					t.Errorf("afterwards: %d %s", r.status, r.body)
				}
				return
			}
			if r := g.post(tokenPath, refreshForm(g.signIn(other).RefreshToken)); r.status != 200 {
				t.Errorf("after a new sign-in: %d %s", r.status, r.body)
			}
		})
	}
}

func TestAuthorizeUnderRules(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	c := g.s.Control()
	ask := func(prompt string) reply {
		return g.do("GET", g.config().AuthCodeURL("s", oauth2.SetAuthURLParam("login_hint", other),
			oauth2.SetAuthURLParam("prompt", prompt)), "", nil)
	}
	verifier := oauth2.GenerateVerifier()
	code := g.code(other, verifier)
	c.BlockSignIn(other, true)
	if r := ask("login"); r.status != 400 || r.header.Get("Location") != "" || !strings.Contains(r.body, "AADSTS50057") {
		t.Errorf("a blocked account must not leave the page: %d %s", r.status, r.header.Get("Location"))
	}
	redeem := form(url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {emulator.DefaultRedirectURI}, "code_verifier": {verifier}})
	checkEntraError(t, "a blocked account's code", g.post(tokenPath, redeem), 400, "invalid_grant", 50057)
	c.BlockSignIn(other, false)
	c.RequireMFA(other, true)
	expectBack(t, ask("none"), "interaction_required", "AADSTS50076: ")
	c.RequireMFA(other, false)
	c.WithdrawConsent(other)
	expectBack(t, ask("none"), "interaction_required", "AADSTS65001: ")
	if r := ask("consent"); !strings.Contains(r.header.Get("Location"), "code=") {
		t.Errorf("consent again: %d %s", r.status, r.header.Get("Location"))
	}
	if c.BlockSignIn("nobody", true) || c.RequireMFA("nobody", true) || c.WithdrawConsent("nobody") ||
		c.ExpireRefreshTokens("nobody") != 0 {
		t.Error("an unknown user was found")
	}
}

func expectBack(t *testing.T, r reply, kind, prefix string) {
	t.Helper()
	back, err := url.Parse(r.header.Get("Location"))
	if err != nil || back.Query().Get("error") != kind ||
		!strings.HasPrefix(back.Query().Get("error_description"), prefix) {
		t.Errorf("want %s %s, got %d %s", kind, prefix, r.status, r.header.Get("Location"))
	}
}

func TestGrantsAndSingleUse(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, SingleUseRefreshTokens: true})
	token := g.signIn(other).RefreshToken
	if r := g.post(tokenPath, refreshForm(token)); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	r := g.post(tokenPath, refreshForm(token))
	checkEntraError(t, "a used refresh token", r, 400, "invalid_grant", 70000)
	if !strings.Contains(r.body, `"suberror":"bad_token"`) {
		t.Error(r.body)
	}
	g.signIn(emulator.DefaultUser)
	list := g.s.Control().Grants()
	if len(list) != 2 || list[1].User != other || list[1].RefreshTokens != 2 || list[1].Valid != 1 ||
		!strings.Contains(list[1].Scope, "offline_access") {
		t.Errorf("grants: %+v", list)
	}
}

func TestClientSecretExpires(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1})
	app := form(url.Values{"grant_type": {"client_credentials"}, "scope": {g.url + "/.default"}})
	g.s.Control().ExpireClientSecret(true)
	checkEntraError(t, "expired", g.post(tokenPath, app), 401, "invalid_client", 7000222)
	checkEntraError(t, "wrong", g.post(tokenPath, form(app, "client_secret", "x")), 401, "invalid_client", 7000215)
	g.s.Control().ExpireClientSecret(false)
	if r := g.post(tokenPath, app); r.status != 200 {
		t.Errorf("renewed: %d", r.status)
	}
}

var challengeHeader = regexp.MustCompile(
	`^Bearer realm="", authorization_uri="[^"]+/oauth2/authorize", client_id="[0-9a-f-]{36}", error="insufficient_claims", claims="([A-Za-z0-9+/=]+)"$`)

// The data service's claims are met by a token that was asked with them, among others if need be, and by no other.
func TestClaimsChallenge(t *testing.T) {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 3})
	tok := g.signIn("")
	if g.s.Control().ChallengeClaims("[]") || !g.s.Control().ChallengeClaims(claims) {
		t.Fatal("claims must be an object")
	}
	r := g.api(tok.AccessToken, "WhoAmI")
	m := challengeHeader.FindStringSubmatch(r.header.Get("WWW-Authenticate"))
	if r.status != 401 || m == nil {
		t.Fatalf("%d %s", r.status, r.header.Get("WWW-Authenticate"))
	}
	if sent, err := base64.StdEncoding.DecodeString(m[1]); err != nil || string(sent) != claims {
		t.Errorf("claims %s", sent)
	}
	try := func(asked string) int {
		t.Helper()
		f := refreshForm(tok.RefreshToken)
		f.Set("claims", asked)
		r := g.post(tokenPath, f)
		var got struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return g.api(got.AccessToken, "WhoAmI").status
	}
	for asked, want := range map[string]int{"": 401, `{}`: 401, `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`: 401, `{"access_token":"nbf"}`: 401, claims: 200,
		`{"access_token":{"xms_cc":{"values":["cp1"]},"nbf":{"value":"1700000000","essential":true}}}`: 200} {
		if got := try(asked); got != want {
			t.Errorf("asked with %s: %d, want %d", asked, got, want)
		}
	}
	f := refreshForm(tok.RefreshToken)
	f.Set("claims", "no JSON")
	checkEntraError(t, "bad claims", g.post(tokenPath, f), 400, "invalid_request", 9002313)
	back := g.do("GET", g.config().AuthCodeURL("s", oauth2.SetAuthURLParam("claims", claims)), "", nil)
	u, _ := url.Parse(back.header.Get("Location"))
	got, err := g.config().Exchange(context.WithValue(t.Context(), oauth2.HTTPClient, g.web), u.Query().Get("code"))
	if err != nil || g.api(got.AccessToken, "WhoAmI").status != 200 {
		t.Errorf("claims at authorize do not hold: %v", err)
	}
	if n := g.s.Control().Counts().ClaimsChallenges; n != 5 {
		t.Errorf("%d challenges counted", n)
	}
	g.s.Control().ChallengeClaims("")
	if r := g.api(tok.AccessToken, "WhoAmI"); r.status != 200 {
		t.Errorf("after the challenge ended: %d", r.status)
	}
}

// Microsoft's client merges its capabilities into the claims that it was given.
func TestMSALAnswersAClaimsChallenge(t *testing.T) {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	g := startTLS(t, emulator.Options{Accounts: 3})
	g.T = t
	c := g.client(t, microsoftHost+"/"+emulator.DefaultTenantID, secretCredential(t, emulator.DefaultClientSecret),
		confidential.WithClientCapabilities([]string{"cp1"}))
	g.s.Control().ChallengeClaims(claims)
	for _, asked := range []string{"", claims} {
		got, err := c.AcquireTokenByCredential(t.Context(), []string{environmentHost + "/.default"},
			confidential.WithClaims(asked))
		if err != nil {
			t.Fatal(err)
		}
		want := http.StatusOK
		if asked == "" {
			want = http.StatusUnauthorized
		}
		if r := g.do("GET", environmentHost+"/api/data/v9.2/WhoAmI", got.AccessToken, nil); r.status != want {
			t.Errorf("asked with %q: %d", asked, r.status)
		}
	}
}

func TestAccessTokenLifetime(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	g.s.Control().SetAccessTokenLifetime(90 * time.Second)
	if tok := g.signIn(""); tok.ExpiresIn != 89 {
		t.Errorf("expires_in %d", tok.ExpiresIn)
	}
	g.s.Control().SetAccessTokenLifetime(0)
	if tok := g.signIn(""); tok.ExpiresIn != 3599 {
		t.Errorf("expires_in %d", tok.ExpiresIn)
	}
}
