package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A world is everything of one run.
type world struct {
	*printer
	ctx     context.Context
	options emulator.Options
	folder  string

	upstream    upstream
	emulator    *emulator.Server
	emulatorURL string
	stub        *child // nil where the emulator is in this process
	redis       *child // nil where miniredis stands in
	redisURL    string
	cluster     *cluster
	nc          *nats.Conn
	js          jetstream.JetStream
	keyset      string
	publicPort  int
	fleet       []*crmbridge
	mutate      string // of every crmbridge's wire
	direct      bool   // there is no wire
	monitored   bool   // NATS tells of itself
	binary      string // of every crmbridge; empty for the code in this program
	pprof       string // address of the first crmbridge's profiles
	claims      claims // of all of them

	stops []func() error
}

// A setup says of which parts a world is made.
type setup struct {
	emulator emulator.Options
	replicas int
	mutate   string
	sync     bool // NATS syncs every write
	direct   bool // no wire stands between crmbridge and NATS: it takes CPU of its own
	// monitored has every NATS server tell of itself over HTTP.
	monitored bool
	stub      bool // the upstream is a process of its own, whose pages are fixed
	// env are further variables of every crmbridge.
	env []string
	// processes is how many crmbridges are started.
	processes int
	// serve are further arguments of the processes.
	serve []string
}

// newWorld starts a world. It is stopped by stop, also where it could not be started whole.
func newWorld(ctx context.Context, p *printer, s setup) (w *world, err error) {
	w = &world{printer: p, ctx: ctx, mutate: s.mutate, direct: s.direct, monitored: s.monitored}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	if w.folder, err = os.MkdirTemp("", "crmbridge-bench-"); err != nil {
		return w, fmt.Errorf("make a folder: %w", err)
	}
	w.onStop(func() error { return os.RemoveAll(w.folder) })
	keyset, err := tokens.GenerateKeyset()
	if err != nil {
		return w, err
	}
	w.keyset = string(keyset)
	if w.publicPort, err = w.port(); err != nil {
		return w, err
	}
	s.emulator.RedirectURIs = []string{w.publicURL() + "/oauth/callback"}
	w.options = s.emulator
	upstream := w.startEmulator
	if s.stub {
		upstream = w.startStub
	}
	for _, start := range []func() error{
		upstream, w.startRedis,
		func() error { return w.startNATS(max(s.replicas, 1), s.sync) },
	} {
		if err = start(); err != nil {
			return w, err
		}
	}
	for range s.processes {
		if _, err = w.addCrmbridge(s.env, s.serve...); err != nil {
			return w, err
		}
	}
	return w, w.awaitFleet()
}

func (w *world) publicURL() string { return fmt.Sprintf("http://localhost:%d", w.publicPort) }

// port is a free port that is the world's until its end.
func (w *world) port() (port int, err error) {
	release, err := devenv.Reserve(&port)
	if err != nil {
		return 0, err
	}
	w.onStop(release)
	return port, nil
}

func (w *world) onStop(f func() error) { w.stops = append(w.stops, f) }

// stop stops everything, last started first.
func (w *world) stop() error {
	var errs []error
	for _, stop := range slices.Backward(w.stops) {
		errs = append(errs, stop())
	}
	w.stops = nil
	return errors.Join(errs...)
}

func (w *world) startEmulator() error {
	listener, err := net.Listen("tcp", devenv.Address(0))
	if err != nil {
		return fmt.Errorf("listen for the emulator: %w", err)
	}
	w.emulatorURL = "http://" + listener.Addr().String()
	begun := time.Now()
	if w.emulator, err = emulator.New(w.options); err != nil {
		return errors.Join(err, listener.Close())
	}
	web := &http.Server{Handler: w.upstream.wrap(w.emulator), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	w.onStop(func() error {
		err := web.Close()
		<-failed
		return err
	})
	w.say("Dataverse: emulated in this process (%.1f s)", time.Since(begun).Seconds())
	return nil
}

// connect makes connections the way a person does.
func (w *world) connect(connections ...string) error {
	client := messages.NewClient(w.nc)
	for _, connection := range connections {
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		err := signin.Connect(ctx, client, connection, w.emulatorURL, emulator.DefaultUser)
		cancel()
		if err != nil {
			return fmt.Errorf("connect %s: %w", connection, err)
		}
	}
	return nil
}

// settings are those of a crmbridge in this world.
func (w *world) settings(httpPort, adminPort int) bridge.Settings {
	return bridge.Settings{
		NATS: bridge.NATS{URL: w.cluster.url()}, RedisURL: w.redisURL, TokenKeyset: w.keyset,
		EntraClientID: emulator.DefaultClientID, EntraClientSecret: emulator.DefaultClientSecret,
		EntraAuthorityURL: w.emulatorURL, PublicURL: w.publicURL(),
		HTTPAddr: devenv.Address(httpPort), AdminAddr: devenv.Address(adminPort),
		AllowedHosts: strings.TrimPrefix(w.emulatorURL, "http://"), AllowHTTP: "true",
		ShutdownGrace: "10s", LogFormat: "json", LogLevel: "info",
	}
}

// await tries until something holds.
func await(ctx context.Context, atMost time.Duration, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		err := try(attempt)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s, within %s: %w", what, atMost, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
