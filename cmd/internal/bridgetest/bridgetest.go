// Package bridgetest gives end-to-end tests a place to happen in: NATS, Redis, an
// emulated Entra ID and Dataverse, and as many crmbridges as they ask for. It
// uses a real redis-server where one is installed.
package bridgetest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A World is what crmbridge needs around it, for one test.
type World struct {
	*devenv.Services
	Redis    *RedisServer // nil where miniredis stands in
	RedisURL string
	Keyset   string
	HTTPPort int // of the crmbridge that serves the pages
	// Tables is the TABLES of the world's crmbridges; empty is the default.
	Tables string

	t     testing.TB
	added []messages.Table // by BridgeWith
}

// New starts a world that ends with the test.
func New(t testing.TB, options emulator.Options) *World {
	t.Helper()
	return NewWrapped(t, options, nil)
}

// NewWrapped is New with something between the network and the emulator.
func NewWrapped(t testing.TB, options emulator.Options, wrap func(http.Handler) http.Handler) *World {
	t.Helper()
	w := &World{t: t, HTTPPort: Port(t)}
	options.RedirectURIs = []string{w.PublicURL() + "/oauth/callback"}
	var err error
	if w.Services, err = devenv.Start(devenv.Ports{}, options, wrap); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	w.NATSURL = w.Overheard(w.NATSURL)
	w.RedisURL = w.Services.RedisURL
	if w.Redis = StartRedis(t); w.Redis != nil {
		w.RedisURL = w.Redis.URL
	}
	keyset, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	w.Keyset = string(keyset)
	return w
}

// Port is a port of 127.0.0.1 that is the test's until its end: its servers may listen
// on it, end and begin again, and nobody else is given it meanwhile.
func Port(t testing.TB) int {
	t.Helper()
	port := 0
	release, err := devenv.Reserve(&port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return port
}

// PublicURL is where people reach the crmbridge that serves the pages.
func (w *World) PublicURL() string { return fmt.Sprintf("http://localhost:%d", w.HTTPPort) }

// Settings are those of a crmbridge in this world. The first one serves the
// pages, others get ports of their own.
func (w *World) Settings(first bool) bridge.Settings {
	w.t.Helper()
	httpPort := w.HTTPPort
	if !first {
		httpPort = Port(w.t)
	}
	return bridge.Settings{
		NATS: bridge.NATS{URL: w.NATSURL}, RedisURL: w.RedisURL, TokenKeyset: w.Keyset,
		EntraClientID: emulator.DefaultClientID, EntraClientSecret: emulator.DefaultClientSecret,
		EntraAuthorityURL: w.EmulatorURL, PublicURL: w.PublicURL(),
		HTTPAddr: devenv.Address(httpPort), AdminAddr: devenv.Address(Port(w.t)),
		ReplySubjects: "_INBOX.>,_R_.>,campaigns.replies.>",
		AllowedHosts:  strings.TrimPrefix(w.EmulatorURL, "http://"), AllowHTTP: "true", APIVersion: "v9.2",
		MaxInFlight: "256", UserConcurrency: "40", ShutdownGrace: "20s", LogLevel: "info",
		LogFormat: "json", Tables: w.Tables,
	}
}

// Bridge runs a crmbridge in this process until the test ends; log gets what it
// logs, nil throws it away.
func (w *World) Bridge(settings bridge.Settings, log io.Writer) *bridge.Bridge {
	w.t.Helper()
	return w.BridgeWith(settings, log)
}

// BridgeWith is Bridge with more tables than TABLES can name: those that a test describes.
func (w *World) BridgeWith(settings bridge.Settings, log io.Writer, more ...messages.Table) *bridge.Bridge {
	w.t.Helper()
	config, err := settings.Config()
	if err != nil {
		w.t.Fatal(err)
	}
	config.Tables = append(config.Tables, more...)
	w.added = append(w.added, more...)
	if log == nil {
		log = io.Discard
	}
	handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: config.LogLevel})
	b, err := bridge.Start(w.t.Context(), config, slog.New(handler))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(sync.OnceFunc(func() {
		if err := b.Stop(); err != nil {
			w.t.Error(err)
		}
	}))
	return b
}

// Client is a requester of its own.
func (w *World) Client() (*messages.Client, *nats.Conn) {
	w.t.Helper()
	nc, err := nats.Connect(w.NATSURL)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	return messages.NewClient(nc), nc
}

// Connect makes a connection the way a person does.
func (w *World) Connect(connection string) {
	w.t.Helper()
	client, _ := w.Client()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	if err := signin.Connect(ctx, client, connection, w.EmulatorURL, emulator.DefaultUser); err != nil {
		w.t.Fatal(err)
	}
}

// A RedisServer is a redis-server of a test's own, with an append-only file, that
// can be killed and started again.
type RedisServer struct {
	URL string

	t       testing.TB
	program string
	args    []string
	addr    string
	process *exec.Cmd
}

// StartRedis starts a redis-server; nil where none is installed, which
// CRMBRIDGE_TEST_REDIS=required makes a failure.
func StartRedis(t testing.TB) *RedisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CRMBRIDGE_TEST_REDIS") == "required" {
			t.Fatal("CRMBRIDGE_TEST_REDIS=required, and no redis-server is installed")
		}
		t.Log("Redis: miniredis, since no redis-server is installed")
		return nil
	}
	port := Port(t)
	r := &RedisServer{t: t, program: program, addr: devenv.Address(port), URL: fmt.Sprintf("redis://127.0.0.1:%d/0", port),
		args: []string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
			"--appendfsync", "always", "--dir", t.TempDir(), "--loglevel", "warning"}}
	r.Start()
	t.Cleanup(r.Kill)
	t.Logf("Redis: %s", program)
	return r
}

// Start starts the server and waits until it takes connections.
func (r *RedisServer) Start() {
	r.t.Helper()
	r.process = exec.Command(r.program, r.args...)
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	Await(r.t, "redis-server", func() error {
		c, err := net.DialTimeout("tcp", r.addr, time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// Kill ends the server at once.
func (r *RedisServer) Kill() {
	_ = r.process.Process.Kill() // it may be dead already
	_ = r.process.Wait()
}

// Await tries until something holds, at most 2 min: much longer than anything takes,
// so that only what does not come at all is a failure, also on a busy machine.
func Await(t testing.TB, what string, try func() error) {
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

// Unraced leaves a test to the run without the race detector, which CI has before the one with it: for
// what no goroutine of the product takes part in, such as help texts, or how output is laid out, and
// what only repeats what another test has under the detector. why says which of the two it is.
func Unraced(t testing.TB, why string) {
	t.Helper()
	if Raced {
		t.Skip("not with the race detector: " + why)
	}
}

// Long skips a test where -short asks for the quick ones; why says what takes long.
func Long(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped by -short: " + why)
	}
}
