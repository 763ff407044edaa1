package emulator

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

const pageStyle = `<style>body{font:16px/1.5 system-ui,sans-serif;background:#f2f2f2;margin:0}main{max-width:28rem;margin:4rem auto;background:#fff;` +
	`padding:2rem;box-shadow:0 2px 6px #0003}h1{font-size:1.4rem;margin:0 0 1rem}label{display:block;padding:.5rem;border-bottom:1px solid #eee}` +
	`small{color:#555;display:block;margin-left:1.6rem}button{font:inherit;padding:.4rem 1.5rem;margin:1rem .5rem 0 0}fieldset{border:0;padding:0;` +
	`max-height:22rem;overflow:auto}.note{color:#8a4b00}</style>`

var signIn = template.Must(template.New("signin").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8">` +
	`<meta name="viewport" content="width=device-width"><title>Sign in (emulator)</title>` + pageStyle + `</head><body><main>
<h1>Pick an account</h1><p class="note">This is an emulated Entra ID. No real account is used.</p>
<p>The application <b>{{.Client}}</b> asks for: <code>{{.Scopes}}</code></p>
<form method="post" action="{{.Action}}"><fieldset>
{{range .Users}}<label><input type="radio" name="user" value="{{.UserName}}"{{if .Chosen}} checked{{end}} required> {{.Name}}<small>{{.UserName}}</small></label>
{{end}}</fieldset>
<button name="action" value="accept">Accept</button><button name="action" value="cancel" formnovalidate>Cancel</button>
</form></main></body></html>
`))

type signInUser struct {
	Name, UserName string
	Chosen         bool
}

func (s *Server) signInPage(w http.ResponseWriter, tenant string, q url.Values, a authorization) {
	var users []signInUser
	for _, u := range s.dir.users {
		if u.ApplicationID == "" {
			users = append(users, signInUser{Name: u.Name, UserName: u.UserName, Chosen: a.hint != "" &&
				strings.EqualFold(u.UserName, a.hint)})
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("X-Frame-Options", "DENY")
	_ = signIn.Execute(w, struct {
		Client, Scopes, Action string
		Users                  []signInUser
	}{a.clientID, a.scopes.agreed(), "/_emulator/signin/" + url.PathEscape(tenant) + "?" + q.Encode(), users}) // the client may be gone
}

var errorPage = template.Must(template.New("error").Parse(
	`<!doctype html><html lang="en"><head><meta charset="utf-8">` +
		`<title>Sign in to your account</title>` + pageStyle + `</head><body><main><h1>Sorry, but we're having trouble signing you in.</h1>
<p>AADSTS{{.Number}}: {{.Text}}</p><p>Request Id: {{.Trace}}<br>Correlation Id: {{.Correlation}}<br>Timestamp: {{.At}}</p></main></body></html>
`))

// errorPage is shown where no trusted redirect URI is known: such an error must never be sent anywhere.
func (s *Server) errorPage(w http.ResponseWriter, e *entraError, t trace) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusBadRequest)
	_ = errorPage.Execute(w, struct {
		Number                       int
		Text, Trace, Correlation, At string
	}{e.number, e.text, t.id, t.correlation, t.at}) // the client may be gone
}
