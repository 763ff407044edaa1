package check

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

// A running crmbridge serve has been started with the very environment of the Deployment, but
// for addresses, and with files where the Deployment mounts them.
type running struct {
	cmd      *exec.Cmd
	log      *buffer
	pages    string // http://…
	admin    string // http://…
	nats     string
	notified *net.UnixConn
}

// serve starts services (crmbridge-dev --no-consumer) and crmbridge beside them, once for all
// tests of the package that ask for it.
func serve(t *testing.T) *running {
	t.Helper()
	around := surroundings(t)
	c := build(t, "base")
	secrets := t.TempDir()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	httpAddr, adminAddr := freeAddress(t), freeAddress(t)
	values := map[string]string{"nats_url": around["NATS_URL"], "redis_url": around["REDIS_URL"],
		"token_keyset": around["TOKEN_KEYSET"], "entra_client_secret": around["ENTRA_CLIENT_SECRET"]}
	for name, value := range c.environment(t) {
		switch {
		case name == "HTTP_ADDR":
			value = httpAddr
		case name == "ADMIN_ADDR":
			value = adminAddr
		case strings.HasSuffix(name, "_FILE"):
			key := filepath.Base(value)
			value = filepath.Join(secrets, key)
			if err := os.WriteFile(value, []byte(values[key]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		env = append(env, name+"="+value)
	}
	// What who takes the base sets, and what an emulator needs.
	for _, name := range []string{"ENTRA_CLIENT_ID", "ENTRA_AUTHORITY_URL", "PUBLIC_URL", "DYNAMICS_ALLOWED_HOSTS", "DYNAMICS_ALLOW_HTTP"} {
		env = append(env, name+"="+around[name])
	}
	r := &running{log: &buffer{}, pages: "http://" + httpAddr, admin: "http://" + adminAddr, nats: around["NATS_URL"]}
	socket := filepath.Join(t.TempDir(), "notify")
	var err error
	if r.notified, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.notified.Close() })
	r.cmd = exec.Command(crmbridge(t), c.container(t).Args...)
	r.cmd.Env = append(env, "NOTIFY_SOCKET="+socket)
	r.cmd.Stderr = r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended in the test
		_ = r.cmd.Wait()
	})
	if said := r.hear(t); said != "READY=1" {
		t.Fatalf("the service manager hears %s; %s", said, r.log)
	}
	return r
}

// hear is the next thing that the process tells the service manager.
func (r *running) hear(t *testing.T) string {
	t.Helper()
	if err := r.notified.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 100)
	n, err := r.notified.Read(text)
	if err != nil {
		t.Fatalf("%v; log: %s", err, r.log)
	}
	return string(text[:n])
}

// surroundings starts NATS, Redis and the emulator, with the arguments that the compose file
// gives to its demo, and returns the settings of a crmbridge beside them.
func surroundings(t *testing.T) map[string]string {
	t.Helper()
	args := append(slices.Clone(compose(t, "", []string{"demo"}).Services["demo"].Command), "--host=127.0.0.1", "--no-consumer", "--accounts=100",
		"--nats-port=0", "--redis-port=0", "--emulator-port=0", "--http-port=0", "--admin-port=0", "--console-port=0")
	cmd, out := exec.Command(dev(t), args...), &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	settings := map[string]string{}
	await(t, "crmbridge-dev", func() error {
		select {
		case <-ended:
			t.Fatalf("crmbridge-dev %v: %s", args, out)
		default:
		}
		for _, match := range regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`).FindAllStringSubmatch(out.String(), -1) {
			settings[match[1]] = match[2]
		}
		if settings["DYNAMICS_ALLOW_HTTP"] == "" { // the last one
			return fmt.Errorf("not yet: %s", out)
		}
		return nil
	})
	return settings
}

// What the manifests, the compose file, the unit and the alerts name is there in the program:
// probes, pages, health checks, metrics.
func TestWhatIsNamedIsThere(t *testing.T) {
	r := serve(t)
	ask := exec.Command(crmbridge(t), "connections", "list", "--nats-url="+r.nats)
	if out, err := ask.CombinedOutput(); err != nil { // counters are there from their first event on
		t.Fatalf("%v: %s", err, out)
	}
	t.Run("probes", func(t *testing.T) {
		container := build(t, "base").container(t)
		for name, probe := range map[string]struct {
			path   string
			within int32
		}{
			"/readyz":               {container.StartupProbe.HTTPGet.Path, container.StartupProbe.TimeoutSeconds},
			"/readyz?exclude=redis": {container.ReadinessProbe.HTTPGet.Path, container.ReadinessProbe.TimeoutSeconds},
			"/healthz":              {container.LivenessProbe.HTTPGet.Path, container.LivenessProbe.TimeoutSeconds},
		} {
			if probe.path != name {
				t.Errorf("a probe asks %s, not %s", probe.path, name)
			}
			if status, text := get(t, r.admin+probe.path); status != http.StatusOK {
				t.Errorf("%s: %d %s", probe.path, status, text)
			}
			if probe.within <= 3 { // which is what an answer of /readyz may take
				t.Errorf("%s: the kubelet waits %d s", probe.path, probe.within)
			}
			// What is left out is a check that there is.
			if _, text := get(t, r.admin+"/readyz?verbose&"+strings.TrimPrefix(probe.path, "/readyz?")); strings.Contains(text, "cannot be excluded") {
				t.Errorf("%s: %s", probe.path, text)
			}
		}
	})
	t.Run("pages", func(t *testing.T) {
		for _, path := range build(t, "ingress", "ingress").ingress.Spec.Rules[0].HTTP.Paths {
			if path.Path == "/operator/logo" {
				continue // it is there where OPERATOR_LOGO_FILE is set
			}
			at := path.Path
			if at == "/connect" {
				at += "/x"
			}
			if _, text := get(t, r.pages+at); !strings.Contains(text, "<html") {
				t.Errorf("%s is no page: %s", at, text)
			}
		}
	})
	t.Run("health check", func(t *testing.T) {
		for _, service := range compose(t, ".env.example", []string{"production"}).Services {
			if service.Build == nil {
				continue
			}
			check := exec.Command(crmbridge(t), service.HealthCheck.Test[2:]...)
			check.Env = []string{"ADMIN_ADDR=" + strings.TrimPrefix(r.admin, "http://")}
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%v: %v, %s", service.HealthCheck.Test, err, out)
			}
		}
	})
	t.Run("metrics", func(t *testing.T) {
		path := build(t, "podmonitor", "podmonitor").podMonitor.Spec.PodMetricsEndpoints[0].Path
		_, text := get(t, r.admin+path)
		families, err := rules.ParseFamilies([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, expr := range slices.Concat(expressions(t), queries(t), runbookQueries(t), dashboards(t)) {
			if unknown, err := families.Unknown(expr); err != nil || len(unknown) > 0 {
				t.Errorf("%s: %s %v", expr, strings.Join(unknown, ", "), err)
			}
		}
	})
	t.Run("end", func(t *testing.T) {
		if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if said := r.hear(t); said != "STOPPING=1" {
			t.Errorf("the service manager hears %s", said)
		}
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("%v; %s", err, r.log)
		}
	})
}

// The demo's own command runs, and its health check finds it ready.
func TestTheDemoRuns(t *testing.T) {
	demo := compose(t, "", []string{"demo"}).Services["demo"]
	admin := freeAddress(t)
	_, port, _ := net.SplitHostPort(admin)
	args := append(slices.Clone(demo.Command), "--accounts=200", "--nats-port=0", "--redis-port=0", "--emulator-port=0", "--http-port=0",
		"--admin-port="+port, "--console-port=0")
	cmd, out := exec.Command(dev(t), args...), &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	await(t, "the table of the demo", func() error {
		if text := out.String(); !strings.Contains(text, "Everything is up") {
			return fmt.Errorf("not yet: %s", text)
		}
		return nil
	})
	check := exec.Command(crmbridge(t), demo.HealthCheck.Test[2:]...)
	check.Env = []string{"ADMIN_ADDR=" + admin}
	if said, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	// Each port that the compose file opens is one that crmbridge-dev listens on by default.
	help := output(t, dev(t), "--help")
	for _, port := range demo.Ports {
		if !regexp.MustCompile(`--\w+-port=N [^:]*:\s+` + strconv.Itoa(int(port.Target)) + `\.`).MatchString(help) {
			t.Errorf("crmbridge-dev does not listen on port %d", port.Target)
		}
	}
}

func get(t *testing.T, at string) (status int, text string) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second}
	response, err := client.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// freeAddress is one of 127.0.0.1 that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// await tries until something holds, at most 2 min.
func await(t *testing.T, what string, try func() error) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A buffer may be written by a process and read by a test at once.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}
