package emulator

import (
	"errors"
	"html/template"
	"io"
	"net/http"
	"strings"
)

var index = template.Must(template.New("index").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Emulator</title>` + pageStyle + `</head><body><main>
<h1>Emulated Entra ID and Dataverse</h1><p>Environment and authority: <code>{{.Origin}}</code><br>Tenant: <code>{{.Tenant}}</code><br>Client: <code>{{.Client}}</code></p>
<p>{{range .Commands}}{{if eq .Method "GET"}}GET <a href="/_emulator/{{.Path}}">/_emulator/{{.Path}}</a>{{else}}POST /_emulator/{{.Path}}{{.Args}}{{end}}: {{.Help}}<br>
{{end}}off=1 takes back what can be taken back.</p></main></body></html>
`))

// command is one path of the control endpoint.
type command struct {
	// Method, Path, Args and Help are how the index page and the package comment tell it.
	Method, Path, Args, Help string
	// run returns what is answered, nil for "ok". An error is what is wrong with the request.
	run func(controlRequest) (any, error)
}

// controlRequest is a request to the control endpoint.
type controlRequest struct {
	c    Control
	get  func(name string) string // a parameter
	on   bool                     // not taken back
	body func(limit int64) ([]byte, error)
}

var errUser = errors.New("user must be one of /_emulator/users")

// table is the table that the request names, accounts where it names none.
func (r controlRequest) table() TableControl {
	set := r.get("table")
	if set == "" {
		set = "accounts"
	}
	return r.c.Table(set)
}

// findCommand is nil where no path is called so.
func findCommand(path string) *command {
	for i := range commands {
		if commands[i].Path == path {
			return &commands[i]
		}
	}
	return nil
}

// serveControl is [Control] over HTTP, for loopback hosts only: a page elsewhere must not be able
// to reach it by another name.
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
		_ = index.Execute(w, map[string]any{"Origin": origin(r), "Tenant": s.opts.TenantID, "Client": s.opts.ClientID, "Commands": commands}) // the client may be gone
		return
	}
	cmd, want := findCommand(path), http.MethodPost
	if cmd != nil {
		want = cmd.Method
	}
	if r.Method != want {
		w.Header().Set("Allow", want)
		http.Error(w, "use "+want, http.StatusMethodNotAllowed)
		return
	}
	if cmd == nil {
		http.NotFound(w, r)
		return
	}
	q := r.URL.Query()
	answer, err := cmd.run(controlRequest{c: s.Control(), get: q.Get, on: q.Get("off") == "",
		body: func(limit int64) ([]byte, error) {
			return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		}})
	switch {
	case err != nil:
		writeJSON(w, http.StatusBadRequest, map[string]any{"ok": false,
			"error": strings.TrimPrefix(err.Error(), "emulator: ")})
	case answer == nil:
		writeJSON(w, http.StatusOK, map[string]any{"ok": true})
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}
