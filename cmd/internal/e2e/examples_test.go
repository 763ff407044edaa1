//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

const (
	examplesFolder  = "../../../messages/examples"
	exampleAccounts = 12_000
)

// A language of messages/examples: tools prepares a copy of its folder, and returns what starts a program there;
// build is what is done before.
type language struct {
	name, ending string
	tools        func(t *testing.T, folder string) (command, settings []string)
	build        func(t *testing.T, folder, name string)
}

// runner copies the language's folder, and returns how an example of it is started there.
func (l language) runner(t *testing.T) func(name string, settings ...string) *example {
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(examplesFolder, l.name))); err != nil {
		t.Fatal(err)
	}
	command, settings := l.tools(t, folder)
	return func(name string, more ...string) *example {
		t.Helper()
		if l.build != nil {
			l.build(t, folder, name)
		}
		return startExample(t, folder, append(slices.Clone(command), "./"+name+l.ending), append(settings, more...))
	}
}

var exampleLanguages = []language{
	{name: "go", ending: "/main", tools: func(*testing.T, string) (command, settings []string) { return nil, nil },
		build: func(t *testing.T, folder, name string) {
			command := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", filepath.Join(folder, name, "main"),
				"./"+name)
			command.Dir = filepath.Join(examplesFolder, "go")
			if text, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}},
	{name: "javascript", ending: ".mjs", tools: func(t *testing.T, folder string) (command, settings []string) {
		node, err := exec.LookPath("node")
		packages := os.Getenv("CRMBRIDGE_TEST_TYPESCRIPT_FOLDER")
		if err != nil || packages == "" {
			absent(t, "CRMBRIDGE_TEST_NODE", "node, or the packages in CRMBRIDGE_TEST_TYPESCRIPT_FOLDER")
		}
		// node looks for packages beside the program.
		if err := os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(folder, "node_modules")); err != nil {
			t.Fatal(err)
		}
		return []string{node}, nil
	}},
	{name: "shell", ending: ".sh", tools: func(t *testing.T, _ string) (command, settings []string) {
		cli, err := exec.LookPath(os.Getenv("CRMBRIDGE_TEST_NATS_CLI"))
		if err == nil {
			_, err = exec.LookPath("jq")
		}
		if err != nil {
			absent(t, "CRMBRIDGE_TEST_SHELL", "jq, or the nats CLI at CRMBRIDGE_TEST_NATS_CLI")
		}
		return []string{"sh"}, []string{"PATH=" + filepath.Dir(cli) + string(os.PathListSeparator) + os.Getenv("PATH"),
			"XDG_CONFIG_HOME=" + t.TempDir()} // nobody's selected context
	}},
	{name: "python", ending: ".py", tools: func(t *testing.T, _ string) (command, settings []string) {
		python, err := exec.LookPath("python3")
		if err == nil {
			err = exec.CommandContext(t.Context(), python, "-c", "import nats").Run()
		}
		if err != nil {
			absent(t, "CRMBRIDGE_TEST_PYTHON", "python3 with nats-py")
		}
		return []string{python}, []string{"PYTHONDONTWRITEBYTECODE=1"}
	}},
}

// absent skips a test whose tools are not installed, unless a variable says that they are required.
func absent(t *testing.T, variable, what string) {
	t.Helper()
	if os.Getenv(variable) == "required" {
		t.Fatalf("%s=required, and not installed: %s", variable, what)
	}
	t.Skip("not installed: " + what)
}

// Every example of every language does what it says on a real consumer, and each request that it sends is one of the
// schemas.
func TestExamplesRun(t *testing.T) {
	bridgetest.Long(t, "it runs the programs of messages/examples")
	for _, language := range exampleLanguages {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			run := language.runner(t)
			w := bridgetest.New(t, emulator.Options{Accounts: exampleAccounts})
			w.Bridge(w.Settings(true), nil)
			w.Connect("demo")
			heard := overhear(t, w.NATSURL)
			start := func(name string, settings ...string) *example {
				t.Helper()
				return run(name, append(settings, "NATS_URL="+w.NATSURL)...)
			}
			all := fmt.Sprint(exampleAccounts, " accounts")

			connect := start("connect", "CONNECTION=mine", "ENVIRONMENT_URL="+w.EmulatorURL)
			address := connect.await(`Open in a browser: (http\S+)`)
			browser, err := signin.NewBrowser()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := browser.SignIn(t.Context(), address, w.EmulatorURL, emulator.DefaultUser); err != nil {
				t.Fatal(err)
			}
			connect.ends(`mine is connected to ` + regexp.QuoteMeta(w.EmulatorURL))

			start("search").ends(`(?s)\d\d+ accounts match\n.*, Consulting\n.*\n200 accounts read of demo`)
			start("stream").ends(all + ` in \d+ messages`)
			start("changes").ends(all + ` made or changed, 0 deleted`)
			start("changes").ends(`(?m)^0 accounts made or changed, 0 deleted`)
			start("job", "JOB_ID=export-1").ends(`(?s)job export-1\n.*` + all)
			start("errors").ends(`(?s)refused: invalid_request\n +where.field: .*did you mean industry.*` + all)

			events := start("events", "CONNECTION=mine", "WEBHOOK_URL="+webhook(t))
			events.await(`watching mine`)
			w.Emulator.Control().RevokeRefreshTokens("")
			w.Emulator.Control().ExpireAccessTokens()
			client, _ := w.Client()
			_, err = client.WhoAmI(t.Context(), "mine")
			wantCode(t, err, messages.ReauthorizationRequired)
			events.await(`again in \d+ s`) // the webhook is out of order first
			events.await(`mine must connect again`)
			events.interrupt()

			if n := heard(); n < 12 {
				t.Errorf("%d requests were heard", n)
			}
		})
	}
}

// exampleNATS is a server without a crmbridge, until the test ends.
func exampleNATS(t *testing.T, options *server.Options) *server.Server {
	t.Helper()
	options.Host, options.Port, options.NoLog, options.NoSigs = "127.0.0.1", -1, true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("no NATS")
	}
	return s
}

// What is refused for a while is asked for again after retry_after_ms.
func TestExamplesAskAgain(t *testing.T) {
	bridgetest.Long(t, "it runs programs of messages/examples")
	bridgetest.Unraced(t, "no crmbridge runs in it")
	for _, language := range exampleLanguages {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			run := language.runner(t)
			s := exampleNATS(t, &server.Options{})
			nc, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			asked := 0
			count := messages.Accounts.Operation(messages.VerbCount)
			answer := func(msg *nats.Msg) {
				reply := nats.NewMsg(msg.Reply)
				code := messages.Throttled
				switch asked++; asked {
				case 1:
					code = messages.InvalidRequest
					if err := errors.Join(msg.Sub.Unsubscribe(), nc.Flush()); err != nil { // nobody is there for a while
						t.Error(err)
					}
				case 2:
				default:
					code = ""
				}
				reply.Data = []byte(`{"request_id":"r","connection":"demo","count":7}`)
				if code != "" {
					reply.Header.Set(messages.HeaderErrorCode, string(code))
					reply.Data, _ = json.Marshal(map[string]any{"request_id": "r", "error": map[string]any{ // texts and numbers
						"code": code, "message": "for the test", "retryable": code.Retryable(), "retry_after_ms": 20}})
				}
				_ = msg.RespondMsg(reply) // who does not hear it fails
			}
			serve := func() {
				_, err := nc.Subscribe(count.ScopedSubject("demo"), answer)
				if err := errors.Join(err, nc.Flush()); err != nil {
					t.Fatal(err)
				}
			}
			serve()
			program := run("errors", "NATS_URL="+s.ClientURL())
			program.await(`refused: invalid_request`)
			program.await(`(?i)(no ?responders|nobody answers|no crmbridge listens).*again in \d+ s`)
			serve()
			program.ends(`(?s)throttled: for the test; again in 1 s\n.*7 accounts`)
			if asked != 3 {
				t.Errorf("it asked %d times, want 3", asked)
			}
		})
	}
}

// A stream of which a message is lost is not taken for a whole one, and nobody's silence not for an answer.
func TestExamplesFindWhatIsMissing(t *testing.T) {
	bridgetest.Long(t, "it runs programs of messages/examples")
	bridgetest.Unraced(t, "no crmbridge runs in it")
	for _, language := range exampleLanguages {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			run := language.runner(t)
			s := exampleNATS(t, &server.Options{})
			url := "NATS_URL=" + s.ClientURL()
			for _, name := range []string{"search", "stream"} {
				run(name, url).fails(`(?i)no ?responders|nobody answers|no crmbridge listens`)
			}
			nc, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.Subscribe(messages.Accounts.Operation(messages.VerbSearch).ScopedSubject("demo"), func(msg *nats.Msg) {
				for _, page := range []string{"1", "3"} {
					reply := nats.NewMsg(msg.Reply)
					reply.Data = []byte(`{"request_id":"r","connection":"demo","accounts":[{"id":"1","name":"A"}]}`)
					reply.Header.Set(messages.HeaderPage, page)
					if page == "3" {
						reply.Header.Set(messages.HeaderLast, "true")
					}
					_ = msg.RespondMsg(reply) // who does not hear it fails
				}
			}); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			run("stream", url).fails(`message (2 of the answer )?is missing`)
		})
	}
}

// The watcher of events needs the rights that examples/README.md lists, and no others.
func TestExamplesWatchWithTheListedRights(t *testing.T) {
	bridgetest.Long(t, "it runs programs of messages/examples")
	list, err := os.ReadFile(filepath.Join(examplesFolder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string // but the shell's, which has words after it
	for _, subject := range regexp.MustCompile(`(?m) \$JS\.\S+$`).FindAllString(string(list), -1) {
		listed = append(listed, strings.ReplaceAll(strings.TrimSpace(subject), "acme", "mine"))
	}
	if len(listed) != 4 {
		t.Fatalf("examples/README.md lists %q", listed)
	}
	for _, language := range exampleLanguages {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			run := language.runner(t)
			rights := listed
			if language.name == "shell" {
				rights = []string{"$JS.API.STREAM.MSG.GET.CRM_EVENTS"}
			}
			inboxes := []string{"_INBOX.watcher.>"}
			s := exampleNATS(t, &server.Options{JetStream: true, StoreDir: t.TempDir(),
				Users: []*server.User{{Username: "admin", Password: "a"},
					{Username: "watcher", Password: "w", Permissions: &server.Permissions{
						Publish: &server.SubjectPermission{Allow: rights}, Subscribe: &server.SubjectPermission{Allow: inboxes}}}}})
			watchesAs(t, run, s, nats.UserInfo("admin", "a"), "w")
		})
	}
}

// The user watcher of deploy/nats.conf has them.
func TestExamplesWatchAsTheDeployedWatcher(t *testing.T) {
	bridgetest.Long(t, "it runs programs of messages/examples")
	for _, language := range exampleLanguages {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			run := language.runner(t)
			s := bridgetest.DeployedNATS(t, bridgetest.Port(t))
			watchesAs(t, run, s, nats.UserInfo("crmbridge", "secret-crmbridge"), "secret-watcher")
		})
	}
}

// watchesAs runs the watcher as the user of that name; publisher makes the stream and an event.
func watchesAs(t *testing.T, run func(name string, settings ...string) *example, s *server.Server,
	publisher nats.Option, password string) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), publisher, nats.CustomInboxPrefix("_INBOX.crmbridge"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: messages.EventsStream,
		Subjects: []string{messages.EventSubjects}}); err != nil {
		t.Fatal(err)
	}
	publish := func(id, connection string) {
		event := fmt.Sprintf(`{"event_id":%q,"kind":"reauthorization_required","connection":%q,"version":2}`, id, connection)
		subject := messages.EventSubject(messages.EventReauthorizationRequired, connection)
		if _, err := js.Publish(t.Context(), subject, []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	publish("old", "mine") // the customer may have connected since
	watcher := run("events", "CONNECTION=mine", "WEBHOOK_URL="+webhook(t), "NATS_URL="+s.ClientURL(),
		"NATS_USER=watcher", "NATS_PASSWORD="+password, "NATS_INBOX_PREFIX=_INBOX.watcher")
	watcher.await(`watching mine`)
	publish("other", "other")
	publish("new", "mine")
	watcher.await(`again in \d+ s`)
	watcher.await(`mine must connect again`)
	watcher.interrupt()
}

// webhook is an address that is out of order once, and then takes that event.
func webhook(t *testing.T) string {
	var mu sync.Mutex
	var first string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		var event messages.ConnectionEvent
		if err == nil {
			err = json.Unmarshal(body, &event)
		}
		if err != nil || event.Kind != messages.EventReauthorizationRequired || event.Connection != "mine" {
			t.Errorf("the webhook got %q (%v)", body, err)
		}
		if event.EventID == "old" {
			t.Error("the webhook got an event of before the watch")
		}
		if first == "" {
			first = event.EventID
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if event.EventID != first {
			t.Errorf("event %q, want %q again", event.EventID, first)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// overhear holds every request and job that is sent against its operation's schema; the function that it returns
// stops that, and tells how many there were.
func overhear(t *testing.T, url string) func() int {
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync("crm.*.*.*.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() (n int) {
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			msg, err := sub.NextMsg(time.Millisecond) // what was sent is here
			if err != nil {
				return n
			}
			part := strings.Split(msg.Subject, ".")
			op := messages.Operation(part[1] + "." + part[2])
			var schema string
			switch part[3] {
			case "request":
				schemas, problem := op.Schemas(messages.Tables())
				schema, err = schemas.Request, problem
			case "job":
				schema, err = op.JobSchema(messages.Tables())
			default: // events and what jobs bring
				continue
			}
			if err == nil {
				err = holds(schema, msg.Data)
			}
			if n++; err != nil {
				t.Errorf("%s %s: %v", msg.Subject, msg.Data, err)
			}
		}
	}
}

// holds checks a body against a schema.
func holds(schema string, body []byte) error {
	var parsed jsonschema.Schema
	if err := json.Unmarshal([]byte(schema), &parsed); err != nil {
		return err
	}
	resolved, err := parsed.Resolve(nil)
	if err != nil {
		return err
	}
	var instance any
	if err := json.Unmarshal(body, &instance); err != nil {
		return err
	}
	return resolved.Validate(instance)
}

// An example is a program of messages/examples that runs.
type example struct {
	t      *testing.T
	name   string
	output *bridgetest.Buffer
	cmd    *exec.Cmd
	ended  chan error
	read   int
}

func startExample(t *testing.T, folder string, command, settings []string) *example {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	e := &example{t: t, name: strings.Join(command, " "), output: new(bridgetest.Buffer), ended: make(chan error, 1)}
	e.cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	e.cmd.Dir, e.cmd.Env = folder, append(os.Environ(), settings...)
	e.cmd.Stdout, e.cmd.Stderr = e.output, e.output
	e.cmd.WaitDelay = 10 * time.Second
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell's children are interrupted with it
	e.cmd.Cancel = func() error { return syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL) }
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		e.ended <- e.cmd.Wait()
		cancel()
	}()
	t.Cleanup(cancel)
	return e
}

// await waits until the output, from where the last await ended, has a pattern, and returns its group.
func (e *example) await(pattern string) string {
	e.t.Helper()
	var found string
	bridgetest.Await(e.t, e.name, func() error {
		text := e.output.String()
		m := regexp.MustCompile(pattern).FindStringSubmatchIndex(text[e.read:])
		if m == nil {
			select {
			case err := <-e.ended:
				e.t.Fatalf("%s ended (%v):\n%s", e.name, err, text)
			default:
			}
			return fmt.Errorf("no %q in:\n%s", pattern, text)
		}
		if len(m) > 2 {
			found = text[e.read+m[2] : e.read+m[3]]
		}
		e.read += m[1]
		return nil
	})
	return found
}

// ends waits for the end, which must be a good one with this in the output.
func (e *example) ends(pattern string) {
	e.t.Helper()
	if err := <-e.ended; err != nil || !regexp.MustCompile(pattern).MatchString(e.output.String()) {
		e.t.Errorf("%s: %v, want %q in:\n%s", e.name, err, pattern, e.output)
	}
}

// fails waits for the end, which must be a failure that is explained by this, without a trace of a stack.
func (e *example) fails(pattern string) {
	e.t.Helper()
	err := <-e.ended
	if text := e.output.String(); e.cmd.ProcessState.ExitCode() != 1 || !regexp.MustCompile(pattern).MatchString(text) ||
		strings.Count(text, "\n") > 2 {
		e.t.Errorf("%s: %v, want status 1 and %q in:\n%s", e.name, err, pattern, text)
	}
}

// interrupt is what Ctrl-C does: the program ends at once, and says nothing more.
func (e *example) interrupt() {
	e.t.Helper()
	before := e.output.String()
	if err := syscall.Kill(-e.cmd.Process.Pid, syscall.SIGINT); err != nil {
		e.t.Fatal(err)
	}
	<-e.ended
	if status := e.cmd.ProcessState.ExitCode(); status != 130 {
		e.t.Errorf("%s ended with status %d after an interrupt, want 130", e.name, status)
	}
	if more := strings.TrimPrefix(e.output.String(), before); strings.TrimSpace(more) != "" {
		e.t.Errorf("%s, interrupted, says: %s", e.name, more)
	}
}
