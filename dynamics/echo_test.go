package dynamics_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// jwtToken has the form of Entra's: what follows its last dot is the signature.
const jwtToken = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL28uY3JtLmR5bmFtaWNzLmNvbSJ9." +
	"q0Zt7uXw-2nB_xYkD8mLhVfRrC5sJpEeTgWaQiOo9K1yHl3vNMbUcS6zAdFPG4jI8tXw5rQnLmKpZuYvTsRqPoNm"

func flip(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// pieces cuts s into runs of size characters with something between them.
func pieces(s string, size int, between string) string {
	var out []string
	for part := range slices.Chunk([]byte(s), size) {
		out = append(out, string(part))
	}
	return strings.Join(out, between)
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func escapes(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// echoForms are forms in which a token is of use to somebody.
func echoForms(token string) map[string]string {
	return map[string]string{
		"plain": token, "upper": strings.ToUpper(token), "lower": strings.ToLower(token), "reversed": flip(token),
		"base64": base64.StdEncoding.EncodeToString([]byte(token)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(token)),
		"base64 at an offset": base64.StdEncoding.EncodeToString([]byte("Bearer " + token + " and more")),
		"base64 reversed":     flip(base64.StdEncoding.EncodeToString([]byte(token))),
		"hex":                 hex.EncodeToString([]byte(token)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(token))),
		"hex reversed": flip(hex.EncodeToString([]byte(token))), "reversed base64": base64.StdEncoding.EncodeToString([]byte(flip(token))),
		"percent": percent(token), "percent twice": url.QueryEscape(percent(token)), "HTML": escapes(token, "&#%d;"), "\\u": escapes(token, `\u%04x`),
		"first 16": token[:16], "last 16": token[len(token)-16:], "middle": token[len(token)-60 : len(token)-40],
		"in pieces": pieces(token, 16, " … "), "in small pieces": pieces(token, 4, "-"), "base64 in pieces": pieces(base64.StdEncoding.EncodeToString([]byte(token)), 20, "\n"),
	}
}

// No part of a refusal holds the token, whichever form the environment gives it.
func TestNoRefusalEchoesTheToken(t *testing.T) {
	asGUID := func(form string) string {
		h := (hex.EncodeToString([]byte(form)) + strings.Repeat("0", 32))[:32]
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	for name, form := range echoForms(jwtToken) {
		for _, status := range []int{400, 401, 403, 404, 429, 500} {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				id := strings.NewReplacer("\n", "", "…", "").Replace(form)
				w.Header().Set("X-Ms-Service-Request-Id", id)
				w.Header().Set("Req_id", asGUID(jwtToken[40:]))
				w.Header().Set("Retry-After", "0")
				w.Header().Set("Www-Authenticate", `Bearer claims="`+
					base64.StdEncoding.EncodeToString([]byte(`{"a":"`+form+`"}`))+`"`)
				body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": form[:min(16, len(form))],
					"message": "x, is missing prv" + strings.Map(keepWord, form) + " privilege: " + form}})
				w.WriteHeader(status)
				_, _ = w.Write(body)
			}, func(c *dynamics.Config) { c.MaxAttempts = 1 })
			r.tokens.set(func(a *dynamics.Access) { a.Token = dynamics.NewSecret(jwtToken) })
			r.tokens.renewed = func(a dynamics.Access) (dynamics.Access, error) { return a, nil }
			_, err := firstPage(t.Context(), r.open(t), nameOnly)
			e, ok := err.(*dynamics.Error)
			if !ok {
				t.Fatalf("%s, %d: %v", name, status, err)
			}
			if e.Message != "(message withheld: it repeats the access token)" || e.Privilege != "" {
				t.Errorf("%s, %d: message %q, privilege %q", name, status, e.Message, e.Privilege)
			}
			if e.Code != "" && strings.Contains(strings.ToLower(jwtToken+flip(jwtToken)), strings.ToLower(e.Code)) {
				t.Errorf("%s, %d: code %q", name, status, e.Code)
			}
			sent := r.seen[len(r.seen)-1].Header.Get("X-Ms-Client-Request-Id")
			if e.RequestID != sent || r.calls[0].RequestID != sent {
				t.Errorf("%s, %d: request id %q, sent %q", name, status, e.RequestID, sent)
			}
			if claims := e.Claims + r.tokens.claims; claims != "" {
				t.Errorf("%s, %d: claims %q", name, status, claims)
			}
		}
	}
}

func keepWord(c rune) rune {
	if c < 128 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
		return c
	}
	return -1
}

// What Dataverse really says passes.
func TestHonestRefusalsPass(t *testing.T) {
	const message = "Principal user (Id=78914942-34cb-ed11-b596-0022481d68cd, type=8, roleCount=3), is missing prvReadAccount privilege (Id=886b280c-6396-4d56-a0a3-2c1b0a50ceb0) on OTC=1 for entity 'account' (Microsoft.Dynamics.CRM.account), eyJhbGci is how tokens begin"
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ms-Service-Request-Id", strings.ToUpper(someID)+", "+guid(1))
		w.Header().Set("Www-Authenticate", `Bearer claims="e30="`)
		answer(403, fmt.Sprintf(`{"error":{"code":"0x80040220","message":%q}}`, message))(w, nil)
	})
	r.tokens.set(func(a *dynamics.Access) { a.Token = dynamics.NewSecret(jwtToken) })
	_, err := firstPage(t.Context(), r.open(t), nameOnly)
	if e := kind(t, err, dynamics.Forbidden); e.Message != message || e.Privilege != "prvReadAccount" ||
		e.Code != "0x80040220" || e.RequestID != someID {
		t.Errorf("%+v", e)
	}
	for _, id := range []string{"a,b", "x", someID + "," + someID + "," + someID, someID + ",x", "{" + someID + "}", someID[:35], someID + " " + someID, strings.ReplaceAll(someID, "-", "")} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ms-Service-Request-Id", id)
			w.WriteHeader(400)
		})
		_, err := firstPage(t.Context(), r.open(t), nameOnly)
		if e := kind(t, err, dynamics.Invalid); e.RequestID != r.seen[0].Header.Get("X-Ms-Client-Request-Id") {
			t.Errorf("%q became the id %q", id, e.RequestID)
		}
	}
}

// A token that was refused is still known when the next one is refused.
func TestAnOldTokenIsNotEchoedEither(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.Header.Get("Authorization"), jwtToken) {
			w.WriteHeader(401)
			return
		}
		answer(400, `{"error":{"code":"0x1","message":"you came with `+jwtToken+`"}}`)(w, req)
	})
	r.tokens.set(func(a *dynamics.Access) { a.Token = dynamics.NewSecret(jwtToken) })
	r.tokens.renewed = func(a dynamics.Access) (dynamics.Access, error) {
		a.Token = dynamics.NewSecret("another-token-of-the-same-user")
		return a, nil
	}
	_, err := firstPage(t.Context(), r.open(t), nameOnly)
	if e := kind(t, err, dynamics.Invalid); !strings.Contains(e.Message, "withheld") {
		t.Errorf("%+v", e)
	}
}

// A page that holds the token is not used, however it holds it, also where it
// stands across the borders of what is read at a time.
func TestNoRowEchoesTheToken(t *testing.T) {
	sign := jwtToken[strings.LastIndex(jwtToken, ".")+1:]
	forms := map[string]string{"plain": sign, "reversed": flip(sign), "hex": hex.EncodeToString([]byte(sign)),
		"base64": base64.StdEncoding.EncodeToString([]byte(jwtToken)), "base64url": base64.RawURLEncoding.EncodeToString([]byte("x" + jwtToken)),
		"cut": sign[10:26], "escaped": escapes(sign, `\u%04x`), "in pieces": pieces(sign, 16, "¦"), "whole": jwtToken, "upper": strings.ToUpper(sign), "percent": percent(sign), "HTML": escapes(sign, "&#%d;")}
	for name, form := range forms {
		for _, before := range []int{0, 500, 4090, 8180, 32760, 70000} {
			page := `{"value":[{"name":"` + strings.Repeat("é", before/2) + form + `"}]}`
			for way, asked := range map[string]dynamics.Query{"alone": nameOnly, "in a batch": long(dynamics.MaxURL)} {
				r := newRig(t, func(w http.ResponseWriter, req *http.Request) { answerAny(w, req, page) })
				r.tokens.set(func(a *dynamics.Access) { a.Token = dynamics.NewSecret(jwtToken) })
				_, err := firstPage(t.Context(), r.open(t), asked)
				if e := kind(t, err, dynamics.Upstream); !strings.Contains(e.Message, "repeats the access token") {
					t.Errorf("%s after %d, %s: %v", name, before, way, e)
				}
			}
		}
	}
	// Another token of the same form, and ids, are data.
	for _, data := range []string{jwtToken[:strings.LastIndex(jwtToken, ".")] + ".AAAA", someID, sign[:15]} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			answerAny(w, req, `{"value":[{"accountid":"`+someID+`","name":"`+data+`"}]}`)
		})
		r.tokens.set(func(a *dynamics.Access) { a.Token = dynamics.NewSecret(jwtToken) })
		if _, err := firstPage(t.Context(), r.open(t), nameOnly); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// The ids of who one is are stored; a GUID has room for 16 bytes of a token.
func TestWhoAmIEchoesNoToken(t *testing.T) {
	h := hex.EncodeToString([]byte(jwtToken[len(jwtToken)-16:]))
	for _, h := range []string{h, flip(h)} {
		user := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
		r := newRig(t, answer(200, fmt.Sprintf(`{"UserId":%q,"BusinessUnitId":%q,"OrganizationId":%q}`, user, guid(1),
			guid(2))))
		r.tokens.set(func(a *dynamics.Access) { a.Token = dynamics.NewSecret(jwtToken) })
		if who, err := r.open(t).WhoAmI(t.Context()); dynamics.KindOf(err) != dynamics.Upstream {
			t.Errorf("%v, %v", who, err)
		}
	}
}
