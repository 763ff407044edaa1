package e2e

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A hungry world has environments whose answers are as large as a test likes.
type hungry struct {
	*bridgetest.World
	program     string // that serves; "" is the tests' own
	environment string
	certificate string // file, where environment is https
	connections []string
	answer      atomic.Pointer[http.HandlerFunc] // to accounts and options; nil is the emulator's own
}

// newHungry starts one with connections, over HTTP/2 or over HTTP/1.1.
func newHungry(t testing.TB, http2 bool, connections int) *hungry {
	t.Helper()
	h := &hungry{program: os.Getenv("CRMBRIDGE_BENCH_PROGRAM")}
	if h.program == "" && !raceDetector { // the detector looks at the tests' own program
		h.program = build(t)
	}
	options := emulator.Options{Accounts: 10, Limits: emulator.Limits{Requests: -1, Execution: -1, Concurrent: -1}}
	port := 0
	if http2 {
		port = bridgetest.Port(t)
		h.environment = "https://" + devenv.Address(port)
		options.Environments = []string{h.environment}
	}
	h.World = bridgetest.NewWrapped(t, options, h.wrap)
	if http2 {
		h.secure(t, port)
	} else {
		h.environment = h.EmulatorURL
	}
	p := h.serve(t, true, "64MiB")
	client, _ := h.Client()
	for i := range connections {
		h.connections = append(h.connections, fmt.Sprintf("c%d", i))
		h.connect(t, client, h.connections[i])
	}
	_ = p.Process.Kill() // each run has a process of its own
	_ = p.Wait()
	return h
}

func (h *hungry) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := h.answer.Load()
		if answer != nil && (strings.HasSuffix(r.URL.Path, "/accounts") || strings.HasSuffix(r.URL.Path, "PicklistAttributeMetadata")) {
			w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
			w.Header().Set("OData-Version", "4.0")
			(*answer)(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secure serves the environment by HTTP/2 too.
func (h *hungry) secure(t testing.TB, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", devenv.Address(port))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(h.wrap(h.Emulator))
	_ = web.Listener.Close() // it has made one of its own
	web.Listener, web.EnableHTTP2 = listener, true
	web.StartTLS()
	t.Cleanup(web.Close)
	h.certificate = filepath.Join(t.TempDir(), "ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(h.certificate, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve starts a process with a budget. It is the test binary, or the program that
// CRMBRIDGE_BENCH_PROGRAM names.
func (h *hungry) serve(t testing.TB, first bool, budget string) *bridgetest.Process {
	t.Helper()
	settings := h.Settings(first)
	settings.AllowedHosts += "," + strings.TrimPrefix(h.environment, "https://")
	more := []string{"MEMORY_BUDGET=" + budget, "USER_CONCURRENCY=1000"}
	if h.certificate != "" {
		more = append(more, "SSL_CERT_FILE="+h.certificate)
		settings.AllowedHosts = strings.TrimPrefix(h.EmulatorURL, "http://") + "," +
			strings.TrimPrefix(h.environment, "https://")
	} else {
		settings.AllowedHosts = strings.TrimPrefix(h.EmulatorURL, "http://")
	}
	return serveAs(t, settings, h.program, more...)
}

// build makes the product: its memory is what is promised. That of the tests' own program is some
// 20 MiB more, for the servers and the schemas within it.
func build(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "crmbridge")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../crmbridge").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return path
}

func serveAs(t testing.TB, settings bridge.Settings, path string, more ...string) *bridgetest.Process {
	t.Helper()
	p := bridgetest.NewProcess(t, settings, more...)
	if path != "" {
		p.Path, p.Args[0] = path, path
	}
	p.Await(t)
	return p
}

func (h *hungry) connect(t testing.TB, client *messages.Client, connection string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	begun, err := client.Authorize(ctx, messages.AuthorizeRequest{
		Target: messages.Target{Connection: connection}, EnvironmentURL: h.environment, LoginHint: emulator.DefaultUser})
	if err != nil {
		t.Fatal(err)
	}
	browser, err := signin.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := browser.SignIn(ctx, begun.ConnectURL, h.EmulatorURL, emulator.DefaultUser); err != nil {
		t.Fatal(err)
	}
}

// A meal is what is asked of a hungry world at once.
type meal struct {
	op       messages.Operation
	body     string
	requests int
	atOnce   int
	answer   http.HandlerFunc
}

// eat has a meal, and returns how many answers had which code. Each request must
// have one answer.
func (h *hungry) eat(t testing.TB, m meal, patience time.Duration) map[string]int {
	t.Helper()
	if m.answer != nil {
		h.answer.Store(&m.answer)
	}
	defer h.answer.Store(nil)
	_, nc := h.Client()
	inbox := nc.NewInbox()
	var mu sync.Mutex
	answers, codes := make([]int, m.requests), map[string]int{}
	done := make(chan struct{}, m.requests+m.atOnce)
	sub, err := nc.Subscribe(inbox+".*", func(msg *nats.Msg) {
		var i int
		if _, err := fmt.Sscanf(msg.Subject[len(inbox)+1:], "%d", &i); err != nil || i >= m.requests {
			return
		}
		code := msg.Header.Get(messages.HeaderErrorCode)
		if code == "" {
			code = "ok"
		}
		if status := msg.Header.Get("Status"); status != "" { // the server's, for want of a responder
			code = status
		}
		mu.Lock()
		answers[i]++
		first := answers[i] == 1
		if codes[code]++; codes[code] == 1 && code != "ok" {
			t.Logf("%s: %.300s", code, msg.Data)
		}
		mu.Unlock()
		if first {
			done <- struct{}{}
		}
	})
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err != nil {
		t.Fatal(err)
	}
	end := time.After(patience + 10*time.Second)
	for asked, ended := 0, 0; ended < m.requests; {
		if asked < m.requests && asked-ended < m.atOnce {
			msg := nats.NewMsg(m.op.ScopedSubject(h.connections[asked%len(h.connections)]))
			msg.Reply, msg.Data = fmt.Sprintf("%s.%d", inbox, asked), []byte(m.body)
			msg.Header.Set(messages.HeaderDeadline, time.Now().Add(patience).UTC().Format(time.RFC3339Nano))
			if err := nc.PublishMsg(msg); err != nil {
				t.Fatal(err)
			}
			asked++
			continue
		}
		select {
		case <-done:
			ended++
		case <-end:
			t.Errorf("%d of %d requests were answered", ended, m.requests)
			ended = m.requests
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for i, n := range answers {
		if n != 1 {
			t.Errorf("request %d has %d answers", i, n)
		}
	}
	return codes
}

// rowsOf is a page of rows whose names have length bytes.
func rowsOf(environment string, rows, length int) []byte {
	var b strings.Builder
	b.Grow(rows * (length + 100))
	b.WriteString(`{"@odata.context":"x","value":[`)
	name := strings.Repeat("n", length)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"@odata.etag":"W/\"%d\"","accountid":"78914942-34cb-ed11-b596-%012x","name":"%s"}`, i, i, name)
	}
	fmt.Fprintf(&b, `],"@odata.deltaLink":"%s/api/data/v9.2/accounts?$select=name&$deltatoken=1"}`, environment)
	return []byte(b.String())
}
