package emulator

import (
	"bytes"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var index = template.Must(template.New("index").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Emulator</title>` + pageStyle + `</head><body><main>
<h1>Emulated Entra ID and Dataverse</h1><p>Environment and authority: <code>{{.Origin}}</code><br>Tenant: <code>{{.Tenant}}</code><br>Client: <code>{{.Client}}</code></p>
<p>GET <a href="/_emulator/counts">/_emulator/counts</a><br>GET <a href="/_emulator/users">/_emulator/users</a><br>GET <a href="/_emulator/grants">/_emulator/grants</a><br>
POST /_emulator/reset<br>POST /_emulator/expire<br>POST /_emulator/lifetime?seconds=…<br>POST /_emulator/revoke?user=… or ?grant=…<br>
POST /_emulator/expire-refresh?user=…<br>POST /_emulator/password?user=…<br>POST /_emulator/block?user=…<br>POST /_emulator/mfa?user=…<br>
POST /_emulator/withdraw?user=…<br>POST /_emulator/secret-expired<br>POST /_emulator/admin-consent<br>POST /_emulator/claims with a JSON object<br>
POST /_emulator/tracking<br>POST /_emulator/expire-changes<br>POST /_emulator/withhold?user=…&amp;privilege=… and perhaps &amp;depth=Local<br>
POST /_emulator/language?user=…&amp;lcid=1031<br>POST /_emulator/app-blocked<br>
POST /_emulator/option?column=…&amp;value=…&amp;label=… and perhaps &amp;lcid=1031<br>POST /_emulator/column?column=…&amp;label=… and for a new one &amp;type=String<br>POST /_emulator/fail with a JSON fault<br>POST /_emulator/clear<br>
block, mfa, secret-expired, admin-consent, tracking, withhold, app-blocked, option and column are taken back with &amp;off=1</p></main></body></html>
`))

// serveControl is [Control] over HTTP, for loopback hosts only: a page elsewhere must not be able to reach it by another name.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/_emulator"), "/")
	if tenant, ok := strings.CutPrefix(path, "signin/"); ok {
		s.serveSignIn(w, r, tenant)
		return
	}
	if tenant, ok := strings.CutPrefix(path, "adminconsent/"); ok {
		s.serveAdminAnswer(w, r, tenant)
		return
	}
	if !loopbackHost(r.Host) || r.Header.Get("Origin") != "" {
		http.Error(w, "the control endpoint answers on loopback names only, and not to pages", http.StatusForbidden)
		return
	}
	if path == "" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = index.Execute(w, map[string]string{"Origin": origin(r), "Tenant": s.opts.TenantID, "Client": s.opts.ClientID}) // the client may be gone
		return
	}
	want := http.MethodPost
	if path == "counts" || path == "users" || path == "grants" {
		want = http.MethodGet
	}
	if r.Method != want {
		w.Header().Set("Allow", want)
		http.Error(w, "use "+want, http.StatusMethodNotAllowed)
		return
	}
	s.control(w, r, path)
}

func (s *Server) control(w http.ResponseWriter, r *http.Request, path string) {
	c := s.Control()
	q := r.URL.Query()
	user, on := q.Get("user"), q.Get("off") == ""
	done, ok := map[string]any{"ok": true}, true
	switch path {
	case "counts":
		writeJSON(w, http.StatusOK, c.Counts())
		return
	case "users":
		writeJSON(w, http.StatusOK, c.Users())
		return
	case "reset":
		c.ResetCounts()
	case "tracking":
		c.SetChangeTracking(on)
	case "expire-changes":
		c.ExpireChangeTokens()
	case "expire":
		c.ExpireAccessTokens()
	case "grants":
		writeJSON(w, http.StatusOK, c.Grants())
		return
	case "revoke":
		if id := q.Get("grant"); id != "" {
			done["revoked"] = c.RevokeGrant(id)
		} else {
			done["revoked"] = c.RevokeRefreshTokens(user)
		}
	case "expire-refresh":
		done["expired"] = c.ExpireRefreshTokens(user)
	case "password":
		done["revoked"], ok = c.ChangePassword(user)
	case "block":
		ok = c.BlockSignIn(user, on)
	case "mfa":
		ok = c.RequireMFA(user, on)
	case "withdraw":
		ok = c.WithdrawConsent(user)
	case "secret-expired":
		c.ExpireClientSecret(on)
	case "admin-consent":
		c.RequireAdminConsent(on)
	case "claims":
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxClaims+1))
		if err != nil || !c.ChallengeClaims(string(bytes.TrimSpace(b))) {
			controlError(w, "claims must be a JSON object of at most 4096 bytes, or nothing")
			return
		}
	case "lifetime":
		n, err := strconv.Atoi(q.Get("seconds"))
		if err != nil || n < 0 || n > 86400 {
			controlError(w, "seconds must be a number from 0 to 86400")
			return
		}
		c.SetAccessTokenLifetime(time.Duration(n) * time.Second)
	case "clear":
		c.Clear()
	case "fail":
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			controlError(w, err.Error())
			return
		}
		f, err := ParseFault(b)
		if err != nil {
			controlError(w, err.Error())
			return
		}
		c.Fail(f)
	default:
		known, text := s.controlUser(path, q)
		if !known {
			known, text = s.controlSchema(path, q)
		}
		switch {
		case !known:
			http.NotFound(w, r)
			return
		case text != "":
			controlError(w, text)
			return
		}
	}
	if !ok {
		controlError(w, "user must be one of /_emulator/users")
		return
	}
	writeJSON(w, http.StatusOK, done)
}

func controlError(w http.ResponseWriter, text string) {
	writeJSON(w, http.StatusBadRequest, map[string]any{"ok": false, "error": text})
}
