package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/world"
)

// beTheProgram makes the test binary run as crmbridge itself, so that tests can
// start, signal and kill real processes of the code under test.
const beTheProgram = "CRMBRIDGE_TEST_BE_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	if os.Getenv(beTheFlooder) != "" {
		if err := flood(os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	bridge.QuietRedis(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// process is a crmbridge serve of its own.
type process struct {
	*exec.Cmd
	admin string
	log   *buffer
}

// serve starts a process and waits until it is ready.
func serve(t testing.TB, settings bridge.Settings) *process {
	t.Helper()
	p := &process{Cmd: program(t, environment(settings), "serve"), admin: "http://" + settings.AdminAddr, log: &buffer{}}
	p.Stderr = p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended in the test
		_ = p.Wait()
	})
	world.Await(t, "a ready process", p.ready)
	return p
}

func (p *process) ready() error {
	response, err := http.Get(p.admin + "/readyz")
	if err != nil {
		return fmt.Errorf("%w; log: %s", err, p.log)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}

// program is crmbridge as a process with this environment and nothing else.
func program(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append([]string{beTheProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	return cmd
}

// environment writes settings as variables.
func environment(s bridge.Settings) []string {
	return []string{
		"NATS_URL=" + s.URL, "REDIS_URL=" + s.RedisURL, "TOKEN_KEYSET=" + s.TokenKeyset,
		"TOKEN_KEYSET_FILE=" + s.TokenKeysetFile,
		"ENTRA_CLIENT_ID=" + s.EntraClientID, "ENTRA_CLIENT_SECRET=" + s.EntraClientSecret,
		"ENTRA_AUTHORITY_URL=" + s.EntraAuthorityURL, "PUBLIC_URL=" + s.PublicURL, "HTTP_ADDR=" + s.HTTPAddr,
		"ADMIN_ADDR=" + s.AdminAddr, "REPLY_SUBJECTS=" + s.ReplySubjects, "DYNAMICS_ALLOWED_HOSTS=" + s.AllowedHosts,
		"DYNAMICS_ALLOW_HTTP=" + string(s.AllowHTTP), "LOG_LEVEL=" + s.LogLevel, "SHUTDOWN_GRACE=" + s.ShutdownGrace,
		"MAX_IN_FLIGHT=" + s.MaxInFlight, "BUS_COMPLETION=" + string(s.BusCompletion),
		"ENTRA_CLIENT_CERTIFICATE_FILE=" + s.EntraClientCertificateFile, "ENTRA_FEDERATED_TOKEN_FILE=" + s.EntraFederatedTokenFile,
		"APP_CONNECTIONS_FILE=" + s.AppConnectionsFile, "TABLES=" + s.Tables,
	}
}

// buffer may be written by a process and read by a test at once.
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

func TestBadConfigurationListsAllFaultsAndConnectsNowhere(t *testing.T) {
	cmd := program(t, []string{"MAX_IN_FLIGHT=many", "BUS_COMPLETION=maybe", "PUBLIC_URL=http://crm.example.com",
		"NATS_URL=::", "REDIS_URL=http://x", "LOG_LEVEL=loud", "REPLY_SUBJECTS=$SYS.>", "DYNAMICS_ALLOWED_HOSTS=https://x/y",
		"ENTRA_AUTHORITY_URL=http://login.example.com", "SHUTDOWN_GRACE=soon", "DYNAMICS_API_VERSION=2011",
		"HTTP_ADDR=nowhere", "ENTRA_CLIENT_SECRET_FILE=/does/not/exist"}, "serve")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState.ExitCode() != exitUsage {
		t.Fatalf("status %d (%v), want %d", cmd.ProcessState.ExitCode(), err, exitUsage)
	}
	for _, name := range []string{"MAX_IN_FLIGHT", "BUS_COMPLETION", "PUBLIC_URL", "NATS_URL", "REDIS_URL", "LOG_LEVEL",
		"REPLY_SUBJECTS", "ENTRA_AUTHORITY_URL", "SHUTDOWN_GRACE", "DYNAMICS_API_VERSION", "HTTP_ADDR",
		"ENTRA_CLIENT_SECRET_FILE", "TOKEN_KEYSET", "ENTRA_CLIENT_ID"} {
		if !strings.Contains(stderr.String(), name+":") {
			t.Errorf("%s is not listed in:\n%s", name, stderr.String())
		}
	}
}

func TestUsageErrorsEndWithStatus2(t *testing.T) {
	for _, args := range [][]string{{}, {"nonsense"}, {"accounts"}, {"accounts", "search"}, {"serve", "--no-such-flag"},
		{"accounts", "search", "demo", "--where", "{"}, {"accounts", "search", "demo", "--where="}, {"users", "whoami", "demo", "--timeout", "1h"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var stdout, stderr strings.Builder
			if status := run(args, &stdout, &stderr); status != exitUsage {
				t.Errorf("status %d, want %d; stderr: %s", status, exitUsage, stderr.String())
			}
		})
	}
}

func readAll(response *http.Response) string {
	var text bytes.Buffer
	_, _ = text.ReadFrom(response.Body) // what is missing shows in what the test looks for
	return text.String()
}
