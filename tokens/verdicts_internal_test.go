package tokens

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

//go:generate go test -run ^TestVerdictsAreDocumented$ -update .

var update = flag.Bool("update", false, "write VERDICTS.md anew")

const verdictsFile = "VERDICTS.md"

// VERDICTS.md says what the code does: every cell comes from running it.
func TestVerdictsAreDocumented(t *testing.T) {
	want := verdictsPage()
	if *update {
		if err := os.WriteFile(verdictsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(verdictsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s does not show the table of verdicts; write it anew: go generate ./tokens", verdictsFile)
	}
}

const verdictsHead = `# What an answer of Entra ID does to a connection

Made from the table in verdicts.go by ` + "`go generate ./tokens`" + `; a test fails when it is stale.

**refresh** is the renewal of a connection that a person made, **sign-in** the redemption of the authorization code,
**application** a request by ` + "`client_credentials`" + `. Only **` + "`reauthorization_required`" + ` of a refresh marks the connection**;
everything else leaves it as it is, and the next request tries again. ` + "`unavailable` and `throttled`" + ` are tried again after a
pause: that of ` + "`Retry-After`" + `, else from one second to one minute.

The order: HTTP status; an error that speaks of Entra itself; ` + "`invalid_client`" + `; a suberror that blames set-up or consent; the
AADSTS number; the suberror; the OAuth error code. An unknown number counts by its error code. Claims that come with an
answer are kept, sealed, and the next sign-in is asked for them.

A refusal that was about an old token, because another process or a person has stored a newer grant meanwhile, counts for
nothing: the newer grant is used. When Dataverse answers 401 to a token that looks fresh, there is one forced refresh; when
it refuses that token too, the request ends in ` + "`unavailable`" + ` with ` + "`retry_after_ms`" + `, since that may pass by itself, and no
other refresh is forced for a minute. Only a verdict of Entra sends for a person.
`

func verdictsPage() string {
	var b strings.Builder
	b.WriteString(verdictsHead)
	section := func(title, first string) {
		fmt.Fprintf(&b, "\n## %s\n\n| %s | refresh | sign-in | application | who must act | what it is and what to do |\n| "+
			"--- | --- | --- | --- | --- | --- |\n", title, first)
	}
	row := func(name, hint string, judge func(grant string) *Error) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, grant := range []string{grantRefresh, GrantAuthorizationCode, GrantClientCredentials} {
			fmt.Fprintf(&b, " `%s` |", judge(grant).Code)
		}
		who := judge(grantRefresh).Actor
		if who == "" {
			who = ActorNobody
		}
		fmt.Fprintf(&b, " %s | %s |\n", who, hint)
	}
	section("Without an OAuth answer", "answer")
	gone := `{"error":"invalid_grant","error_codes":[50173]}`
	for _, c := range []struct {
		name, hint string
		status     int
		body       string
	}{
		{"429", "wait as long as `Retry-After` says, in seconds or as a date, at most 10 minutes; 30 seconds without it",
			429, gone},
		{"5xx, whatever its body says", "an outage", 503, gone},
		{"200 with an OAuth error", "not Entra's", 200, gone},
		{"3xx", "redirects are not followed", 302, gone},
		{"4xx with HTML, truncated JSON or another body", "a proxy's or a gateway's page", 403, `<html>`},
		{"4xx other than 400 and 401, with an OAuth error but without an AADSTS number", "a proxy's or a gateway's answer",
			403, `{"error":"invalid_grant"}`},
		{"`access_denied` without an AADSTS number", "a proxy's: the token endpoint has no such error", 400,
			`{"error":"access_denied"}`},
	} {
		row(c.name, c.hint, func(grant string) *Error { return classify(grant, retrieved(c.status, c.body)) })
	}
	row("no answer: refused, time-out, DNS, TLS, 200 with HTML (captive portal)",
		"the network, a firewall, or Entra is away",
		func(grant string) *Error { return classify(grant, fmt.Errorf("oauth2: cannot parse json")) })

	section("By OAuth error code", "`error`")
	for _, name := range append(slices.Sorted(maps.Keys(byError)), "any other") {
		row("`"+name+"`", "", func(grant string) *Error { return refusal{Error: name}.verdict(grant) })
	}
	section("By suberror (with `invalid_grant` or `interaction_required`)", "`suberror`")
	for _, name := range slices.Sorted(maps.Keys(bySuberror)) {
		row("`"+name+"`", bySuberror[name].hint, func(grant string) *Error {
			return refusal{Error: "invalid_grant", Suberror: name}.verdict(grant)
		})
	}
	section("By AADSTS number", "AADSTS")
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		row(fmt.Sprint(n), byNumber[n].hint, func(grant string) *Error {
			return refusal{Error: "invalid_grant", Codes: []int{n}}.verdict(grant)
		})
	}
	return b.String()
}

func retrieved(status int, body string) error {
	return &oauth2.RetrieveError{Response: &http.Response{StatusCode: status, Header: http.Header{}}, Body: []byte(body)}
}

// No entry of the table lets an outage, a throttle, a clock or the set-up mark a
// connection, and every mark says what a person must do.
func TestTheTableIsSound(t *testing.T) {
	for n, m := range byNumber {
		for oauthError := range byError {
			e := refusal{Error: oauthError, Codes: []int{n}}.verdict(grantRefresh)
			marks := e.Code == CodeReauthorizationRequired
			if e.Actor == "" {
				t.Errorf("%s AADSTS%d: nobody must act", oauthError, n)
			}
			own := m.class == classPerson || m.class == classConsent || m.class == classCode
			switch {
			case marks && !own:
				t.Errorf("%s AADSTS%d marks the connection", oauthError, n)
			case marks && (byError[oauthError] == classLater || oauthError == "invalid_client"):
				t.Errorf("%s AADSTS%d marks the connection although it is about Entra or the client", oauthError, n)
			case marks && (m.hint == "" || !strings.Contains(e.Message, m.hint) ||
				!strings.Contains(e.Message, "a person must connect again")):
				t.Errorf("AADSTS%d: %q", n, e.Message)
			case !strings.Contains(e.Message, fmt.Sprintf("AADSTS%d", n)):
				t.Errorf("%s AADSTS%d: the message does not name it: %q", oauthError, n, e.Message)
			}
			if app := (refusal{Error: oauthError, Codes: []int{n}}).verdict(GrantClientCredentials); app.Code == CodeReauthorizationRequired {
				t.Errorf("%s AADSTS%d marks an application's connection", oauthError, n)
			}
		}
	}
	for name := range bySuberror {
		if e := (refusal{Error: "invalid_grant", Suberror: name}).verdict(grantRefresh); !strings.Contains(e.Message,
			bySuberror[name].hint) {
			t.Errorf("%s: %q", name, e.Message)
		}
	}
	for status := 100; status < 600; status++ {
		e := classify(grantRefresh, retrieved(status, `{"error":"invalid_grant"}`))
		if marks := e.Code == CodeReauthorizationRequired; marks != (status == 400 || status == 401) {
			t.Errorf("HTTP %d: %s", status, e.Code)
		}
	}
}

func TestRetryAfterForms(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 7 * time.Second, "soon": 7 * time.Second, "-1": 7 * time.Second, "1.5": 7 * time.Second, "0": 0,
		"20":  20 * time.Second,
		"599": 599 * time.Second, "86400": 10 * time.Minute, "99999999": maxRetryAfter, "99999999999999999999": maxRetryAfter,
		" 30 ": 30 * time.Second, "+5": 7 * time.Second, "-99999999999999999999": 7 * time.Second, "NaN": 7 * time.Second,
		"1e9": 7 * time.Second,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):     0,
		time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat): maxRetryAfter,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, 7*time.Second); got != want {
			t.Errorf("Retry-After %q: %s, want %s", text, got, want)
		}
	}
	date := retryAfter(http.Header{"Retry-After": {time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat)}}, 0)
	if date < 110*time.Second || date > 2*time.Minute {
		t.Errorf("a date in two minutes: %s", date)
	}
}

func TestClaimsAreReadInEveryForm(t *testing.T) {
	const want = `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`
	for _, sent := range []string{want, " " + want + "\n", strings.ReplaceAll(want, ":", ": "),
		"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ==",
		"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ"} {
		if got := readClaims(sent).Reveal(); got != want {
			t.Errorf("%q became %q", sent, got)
		}
	}
	for _, sent := range []string{"", "x", "{", "{}{}", "[]", `"x"`, "bnVsbA==", "e30 e30", "{" +
		strings.Repeat(" ", 3*maxClaims) + "}",
		`{"a":"` + strings.Repeat("x", maxClaims) + `"}`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`} {
		if got := readClaims(sent).Reveal(); got != "" {
			t.Errorf("%q became %q", sent, got)
		}
	}
	if got := readClaims("eyJhIjoiw7_Dv8O_In0").Reveal(); got != `{"a":"ÿÿÿ"}` {
		t.Errorf("base64url became %q", got)
	}
	for sent, want := range map[string]string{`{"claims":"{\"a\":1}"}`: `{"a":1}`, `{"claims":{"a":1}}`: `{"a":1}`,
		`{"claims":7}`: "", `{"claims":null}`: "", `{}`: ""} {
		r, _ := readRefusal(400, []byte(`{"error":"invalid_grant",`+sent[1:]))
		if sent == `{}` {
			r, _ = readRefusal(400, []byte(`{"error":"invalid_grant"}`))
		}
		e := r.verdict(grantRefresh)
		if got := e.challenge(record{}).Reveal(); got != want {
			t.Errorf("%s: %q", sent, got)
		}
		if e.Code != CodeReauthorizationRequired || want != "" && strings.Contains(fmt.Sprintf("%v %+v %#v", e, *e, e),
			want) {
			t.Errorf("%s: %v", sent, e)
		}
	}
}

func FuzzRefusal(f *testing.F) {
	for _, body := range []string{`{"error":"invalid_grant","error_codes":[50173],"suberror":"bad_token","claims":"{}"}`,
		`{"error":7}`, `<html>`, `{"error":"x","claims":{`} {
		f.Add(400, []byte(body))
		f.Add(503, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, grant := range []string{grantRefresh, GrantAuthorizationCode, GrantClientCredentials} {
			e := classify(grant, retrieved(status, string(body)))
			if e.Code == "" || e.Message == "" || e.RetryAfter < 0 {
				t.Fatalf("%+v", e)
			}
			if e.Code == CodeReauthorizationRequired && (status < 400 || status > 499 || grant == GrantClientCredentials) {
				t.Fatalf("HTTP %d marks", status)
			}
		}
	})
}
