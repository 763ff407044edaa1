package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// contextFile is a context as 'nats context add' of natscli 0.5.1 has written it.
func contextFile(url, user, password, inbox string) string {
	return `{
  "description": "campaigns, staging",
  "url": "` + url + `",
  "socks_proxy": "",
  "token": "",
  "user": "` + user + `",
  "password": "` + password + `",
  "creds": "",
  "nkey": "",
  "cert": "",
  "key": "",
  "ca": "",
  "nsc": "",
  "jetstream_domain": "",
  "jetstream_api_prefix": "",
  "jetstream_event_prefix": "",
  "inbox_prefix": "` + inbox + `",
  "user_jwt": "",
  "user_seed": "",
  "color_scheme": "",
  "tls_first": false,
  "windows_cert_store": "",
  "windows_cert_match_by": "",
  "windows_cert_match": "",
  "windows_ca_certs_match": null
}`
}

// A strictServer has users by password, one of whom may use inboxes of his own only.
func strictServer(t *testing.T) *server.Server {
	t.Helper()
	only := func(subjects ...string) *server.SubjectPermission { return &server.SubjectPermission{Allow: subjects} }
	s := streamstest.Server(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "consumer", Password: "other"},
			{Username: "ann", Password: "pass-of-ann", Permissions: &server.Permissions{
				Publish: only("crm.>", "$SRV.>", "$JS.API.>"), Subscribe: only("_INBOX.ann.>", "crm.events.>")}}}
	})
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("consumer", "other"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err := nc.Subscribe("crm.*.*.request.>", refuse(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("crm.*.*.request", refuse(t)); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

func refuse(t *testing.T) nats.MsgHandler {
	return func(msg *nats.Msg) {
		reply := nats.NewMsg(msg.Reply)
		reply.Header.Set("Crm-Error-Code", "forbidden")
		reply.Data = []byte(`{"error":{"code":"forbidden","message":"the responder of the context"}}`)
		if err := msg.RespondMsg(reply); err != nil {
			t.Error(err)
		}
	}
}

// connectionsOf counts the connections that a user has made.
func connectionsOf(t *testing.T, s *server.Server, user string) (count int) {
	t.Helper()
	all, err := s.Connz(&server.ConnzOptions{Username: true, State: server.ConnAll, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Conns {
		if c.AuthorizedUser == user {
			count++
		}
	}
	return count
}

// Every command that asks reaches the server of a context, as its user, with its inboxes.
func TestEveryCommandTakesAContext(t *testing.T) {
	bridgetest.Unraced(t, "TestExamplesInHelpRunAsTyped runs all commands; this one says which server they ask")
	s := strictServer(t)
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	write(t, filepath.Join(home, "nats", "context", "staging.json"), contextFile(s.ClientURL(), "ann", "pass-of-ann",
		"_INBOX.ann"))
	tested := map[string]bool{}
	row := "11111111-2222-3333-4444-555555555555"
	lines := []string{"connect acme https://contoso.crm4.dynamics.com --no-browser --no-wait",
		"connections list", "connections get acme", "connections check acme", "connections limits acme",
		"connections delete acme --yes", "users get acme " + row, "users whoami acme",
		"jobs list acme", "jobs get acme j", "jobs cancel acme j", "jobs retry acme j", "jobs delete acme j --yes", "status", "events watch --timeout=1s"}
	for _, table := range []string{"accounts", "contacts", "leads", "opportunities"} {
		for _, rest := range []string{"search acme", "get acme " + row, "count acme", "fields acme", "changes acme",
			"export acme --timeout=1s --out " + filepath.Join(home, table+".csv")} {
			lines = append(lines, table+" "+rest)
		}
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			before := connectionsOf(t, s, "ann")
			var out, diag strings.Builder
			run(append(strings.Fields(line), "--context=staging"), &out, &diag)
			said := out.String() + diag.String()
			bridgetest.Await(t, "a connection of the context's user", func() error {
				if connectionsOf(t, s, "ann") == before {
					return errors.New(said)
				}
				return nil
			})
			if strings.Contains(said, "Permissions Violation") {
				t.Errorf("%s", said)
			}
			if word := strings.Fields(line)[0]; word != "status" && word != "events" && !strings.Contains(line, "export") &&
				!strings.Contains(said, "forbidden: the responder of the context") {
				t.Errorf("%s", said)
			}
		})
		words := strings.Fields(line)
		tested[words[0]], tested[words[0]+" "+words[min(1, len(words)-1)]] = true, true
	}
	parser, err := kong.New(newCommands())
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		takes := slices.ContainsFunc(leaf.Flags, func(f *kong.Flag) bool { return f.Name == "context" })
		asks := slices.ContainsFunc(leaf.Flags, func(f *kong.Flag) bool { return f.Name == "nats-url" })
		name := strings.TrimPrefix(leaf.Path(), " ")
		if takes && !tested[name] {
			t.Errorf("%s is not tried", name)
		}
		if asks && !takes && name != "serve" && name != "doctor" {
			t.Errorf("%s asks, and takes no context", name)
		}
	}
}

// What is said of the order in cmd/crmbridge/README.md: flag, variable, --context, NATS_CONTEXT,
// the selected context, the default.
func TestContextsComeAfterFlagsAndVariables(t *testing.T) {
	bridgetest.Unraced(t, "which server is asked is read from files before anything begins")
	strict, open, third := strictServer(t), newAnswers(t), newAnswers(t)
	open.give("crm.connections.get.request.acme", `{"error":{"code":"not_found","message":"the open one"}}`)
	third.give("crm.connections.get.request.acme", `{"error":{"code":"not_found","message":"the third one"}}`)
	const isStrict, isOpen, isThird = "the responder of the context", "the open one", "the third one"
	own := contextFile(strict.ClientURL(), "ann", "pass-of-ann", "_INBOX.ann")
	withUser := strings.Replace(strict.ClientURL(), "nats://", "nats://ann:pass-of-ann@", 1)
	for _, c := range []struct {
		name     string
		selected string // content of context.txt
		env      []string
		args     []string
		want     string
	}{
		{"selected", "staging", nil, nil, isStrict},
		{"NATS_CONTEXT before selected", "staging", []string{"NATS_CONTEXT=open"}, nil, isOpen},
		{"--context before NATS_CONTEXT", "open", []string{"NATS_CONTEXT=open"}, []string{"--context=staging"}, isStrict},
		{"a variable before --context", "", []string{"NATS_URL=" + third.url}, []string{"--context=open"}, isThird},
		{"a flag before a variable", "", []string{"NATS_URL=" + third.url}, []string{"--nats-url=" + open.url, "--context=staging"}, isOpen},
		{"a variable passes a selected one over", "staging", []string{"NATS_URL=" + third.url}, nil, isThird},
		{"also one that is broken", "broken", []string{"NATS_URL=" + third.url}, nil, isThird},
		{"also one that is not there", "nowhere", nil, []string{"--nats-url=" + third.url}, isThird},
		{"a file with the URL passes it over", "broken", []string{"NATS_URL_FILE=FOLDER/url"}, nil, isThird},
		{"an empty variable says nothing", "open", []string{"NATS_URL=", "NATS_CONTEXT="}, nil, isOpen},
		{"an inbox prefix before a context's", "", nil, []string{"--context=badinbox", "--nats-inbox-prefix=_INBOX.ann"}, isStrict},
		{"a context's own inbox prefix", "", nil, []string{"--context=badinbox", "--timeout=2s"}, "Permissions Violation"},
		{"a URL's user before a context's", "", nil, []string{"--context=wronguser", "--nats-url=" + withUser}, isStrict},
		{"a named context's user for a URL", "", nil, []string{"--context=wrongurl", "--nats-url=" + strict.ClientURL()}, isStrict},
		{"no user of a selected context for a URL", "wrongurl", nil, []string{"--nats-url=" + strict.ClientURL()}, "Authorization Violation"},
		{"a path", "", nil, []string{"--context=FOLDER/nats/context/open.json"}, isOpen},
		{"the user's folder", "", nil, []string{"--context=creds"}, "/no-such.creds: "},
		{"a name that there is not", "", nil, []string{"--context=stagin"}, `--context: "stagin": there is no such context; did you mean staging?`},
		{"a name that is like none", "", nil, []string{"--context=zzz"}, "there is no such context; there are badinbox, broken, creds, elsewhere, nsc, open, staging, wrongurl, wronguser"},
		{"a name that leads out", "", nil, []string{"--context=../x"}, "there is no such context"},
		{"a named one that is broken", "", nil, []string{"--context=broken"}, "broken.json is no context"},
		{"a selected one that is broken", "broken", nil, nil, "pass it over with --nats-url or NATS_URL"},
		{"a selected one that is not there", "nowhere", nil, nil, "pass it over with --nats-url or NATS_URL"},
		{"a user of nsc", "", nil, []string{"--context=nsc"}, "takes its user from nsc"},
		{"a secret elsewhere", "", nil, []string{"--context=elsewhere"}, "refers to a secret or a file by a URI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			at := filepath.Join(home, "nats", "context")
			write(t, filepath.Join(at, "staging.json"), own)
			write(t, filepath.Join(at, "open.json"), contextFile(open.url, "", "", ""))
			write(t, filepath.Join(at, "broken.json"), `{"url": 7`)
			write(t, filepath.Join(at, "badinbox.json"), contextFile(strict.ClientURL(), "ann", "pass-of-ann", "_INBOX.bob"))
			write(t, filepath.Join(at, "wronguser.json"), contextFile(strict.ClientURL(), "ann", "wrong", "_INBOX.ann"))
			write(t, filepath.Join(at, "wrongurl.json"), contextFile("nats://127.0.0.1:1", "ann", "pass-of-ann", "_INBOX.ann"))
			write(t, filepath.Join(at, "creds.json"), `{"url":"`+strict.ClientURL()+`","creds":"~/no-such.creds"}`)
			write(t, filepath.Join(at, "nsc.json"), `{"url":"`+strict.ClientURL()+`","nsc":"nsc://o/a/u"}`)
			write(t, filepath.Join(at, "elsewhere.json"), contextFile(strict.ClientURL(), "ann", "env://PASSWORD", ""))
			write(t, filepath.Join(home, "url"), third.url)
			if c.selected != "" {
				write(t, filepath.Join(home, "nats", "context.txt"), c.selected+"\n")
			}
			args := []string{"connections", "get", "acme"}
			for _, arg := range c.args {
				args = append(args, strings.ReplaceAll(arg, "FOLDER", home))
			}
			env := []string{"XDG_CONFIG_HOME=" + home}
			for _, variable := range c.env {
				env = append(env, strings.ReplaceAll(variable, "FOLDER", home))
			}
			said, _ := bridgetest.Program(t, env, args...).CombinedOutput() // its status is not 0 in any case
			if !strings.Contains(string(said), c.want) {
				t.Errorf("%s, want %s", said, c.want)
			}
			if strings.Contains(string(said), "pass-of-ann") {
				t.Errorf("a password is shown: %s", said)
			}
		})
	}
}
