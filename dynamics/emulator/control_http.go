package emulator

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
)

var index = template.Must(template.New("index").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Emulator</title>` + pageStyle + `</head><body><main>
<h1>Emulated Entra ID and Dataverse</h1><p>Environment and authority: <code>{{.Origin}}</code><br>Tenant: <code>{{.Tenant}}</code><br>Client: <code>{{.Client}}</code></p>
<p>GET <a href="/_emulator/counts">/_emulator/counts</a><br>POST /_emulator/reset<br>POST /_emulator/expire<br>POST /_emulator/revoke?user=…<br>
POST /_emulator/fail with a JSON fault<br>POST /_emulator/clear<br>GET <a href="/_emulator/users">/_emulator/users</a></p></main></body></html>
`))

// serveControl is [Control] over HTTP, for loopback hosts only: a page elsewhere must not be able to reach it by another name.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/_emulator"), "/")
	if tenant, ok := strings.CutPrefix(path, "signin/"); ok {
		s.serveSignIn(w, r, tenant)
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
	if path == "counts" || path == "users" {
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
	done := map[string]any{"ok": true}
	switch path {
	case "counts":
		writeJSON(w, http.StatusOK, c.Counts())
		return
	case "users":
		writeJSON(w, http.StatusOK, c.Users())
		return
	case "reset":
		c.ResetCounts()
	case "expire":
		c.ExpireAccessTokens()
	case "revoke":
		done["revoked"] = c.RevokeRefreshTokens(r.URL.Query().Get("user"))
	case "clear":
		c.Clear()
	case "fail":
		var f Fault
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		if err := d.Decode(&f); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]any{"ok": false, "error": err.Error()})
			return
		}
		c.Fail(f)
	default:
		http.NotFound(w, r)
		return
	}
	writeJSON(w, http.StatusOK, done)
}
