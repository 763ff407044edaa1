package bridgetest

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
)

// beTheProgram makes the test binary run as crmbridge itself, so that tests can
// start, signal and kill real processes of the code under test.
const beTheProgram = "CRMBRIDGE_TEST_BE_THE_PROGRAM"

// Main runs a package's tests, or program where Program started this process; nil is
// for packages that start none. It belongs into TestMain and does not return.
// See [Run] for how.
func Main(m *testing.M, program func(args []string, stdout, stderr io.Writer) (status int)) {
	if os.Getenv(beTheProgram) != "" {
		os.Exit(program(os.Args[1:], os.Stdout, os.Stderr))
	}
	status := Run(m)
	sayHeld(os.Stdout)
	os.Exit(status)
}

// Run runs a package's tests. Those that call t.Parallel mostly wait, each in a world of its own: two
// for each core keep the cores busy. A -parallel on the command line counts in place of that.
func Run(m *testing.M) (status int) {
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // package testing has no such flag any more
	}
	bridge.QuietRedis(slog.New(slog.DiscardHandler))
	return m.Run()
}

// Program is the program given to Main as a process, with this environment and
// nothing else.
func Program(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	home := t.TempDir() // without a context of the nats CLI
	cmd.Env = append([]string{beTheProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + home,
		"XDG_CONFIG_HOME=" + home, "GORACE=" + os.Getenv("GORACE")}, env...)
	return cmd
}

// A Process is a crmbridge serve of its own.
type Process struct {
	*exec.Cmd
	Admin string // the address of its health, readiness and metrics, with http://
	Log   *Buffer
}

// NewProcess is a process with these settings that has not been started; more are
// variables that its environment also has.
func NewProcess(t testing.TB, settings bridge.Settings, more ...string) *Process {
	t.Helper()
	p := &Process{Cmd: Program(t, append(Environment(settings), more...), "serve"),
		Admin: "http://" + settings.AdminAddr, Log: &Buffer{}}
	p.Stderr = p.Log
	return p
}

// Serve starts a process, waits until it is ready, and kills it when the test ends.
func Serve(t testing.TB, settings bridge.Settings) *Process {
	t.Helper()
	p := NewProcess(t, settings)
	p.Await(t)
	return p
}

// Await starts the process, waits until it is ready, and kills it when the test ends.
func (p *Process) Await(t testing.TB) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended in the test
		_ = p.Wait()
	})
	Await(t, "a ready process", p.Ready)
}

// Ready is the reason why the process is not ready; nil where it is.
func (p *Process) Ready() error {
	response, err := http.Get(p.Admin + "/readyz")
	if err != nil {
		return fmt.Errorf("%w; log: %s", err, p.Log)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}

// Environment writes settings as variables.
func Environment(s bridge.Settings) []string {
	return []string{
		"NATS_URL=" + s.URL, "REDIS_URL=" + s.RedisURL, "TOKEN_KEYSET=" + s.TokenKeyset,
		"TOKEN_KEYSET_FILE=" + s.TokenKeysetFile,
		"ENTRA_CLIENT_ID=" + s.EntraClientID, "ENTRA_CLIENT_SECRET=" + s.EntraClientSecret,
		"ENTRA_AUTHORITY_URL=" + s.EntraAuthorityURL, "PUBLIC_URL=" + s.PublicURL, "HTTP_ADDR=" + s.HTTPAddr,
		"ADMIN_ADDR=" + s.AdminAddr, "REPLY_SUBJECTS=" + s.ReplySubjects, "DYNAMICS_ALLOWED_HOSTS=" + s.AllowedHosts,
		"DYNAMICS_ALLOW_HTTP=" + string(s.AllowHTTP), "LOG_LEVEL=" + s.LogLevel, "SHUTDOWN_GRACE=" + s.ShutdownGrace,
		"MAX_IN_FLIGHT=" + s.MaxInFlight, "BUS_COMPLETION=" + string(s.BusCompletion),
		"ENTRA_CLIENT_CERTIFICATE_FILE=" + s.EntraClientCertificateFile,
		"ENTRA_FEDERATED_TOKEN_FILE=" + s.EntraFederatedTokenFile,
		"APP_CONNECTIONS_FILE=" + s.AppConnectionsFile, "TABLES=" + s.Tables,
	}
}

// A Buffer may be written by a process and read by a test at once.
type Buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

// String is what has been written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}
