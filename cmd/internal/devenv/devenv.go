// Package devenv starts the services that crmbridge needs, in one process: a NATS
// server with JetStream, a Redis, an emulated Entra ID and Dataverse. The
// development program and the end-to-end tests use it, the production program
// does not: it must hold no broker and no fake identity provider.
package devenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// Ports are where servers listen; 0 takes a free port, None starts no server.
type Ports struct {
	NATS, Redis, Emulator int
	Host                  string // address of this machine to listen on; "" is 127.0.0.1

	// Say is told what is being started; nil is told nothing.
	Say func(what string)
}

// None is the port of a server that is not started.
const None = -1

// Services are NATS, Redis and Microsoft, as far as crmbridge can tell.
type Services struct {
	NATSURL     string
	RedisURL    string
	EmulatorURL string
	Emulator    *emulator.Server
	NATS        *server.Server

	stops []func() error
}

// Start starts them; what has been started is stopped where one fails. wrap may
// stand between the network and the emulator; nil is nothing.
func Start(ports Ports, options emulator.Options, wrap func(http.Handler) http.Handler) (s *Services, err error) {
	s = &Services{}
	host := cmp.Or(ports.Host, loopback)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	for _, part := range []struct {
		what  string
		port  int
		start func(port int) error
	}{
		{"NATS", ports.NATS, func(port int) error { return s.startNATS(host, port) }},
		{"Redis", ports.Redis, func(port int) error { return s.startRedis(host, port) }},
		{"Entra ID and Dataverse", ports.Emulator, func(port int) error {
			return s.startEmulator(host, port, options, wrap)
		}},
	} {
		if part.port == None {
			continue
		}
		if ports.Say != nil {
			ports.Say(part.what)
		}
		if err = part.start(part.port); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Stop stops everything, last started first.
func (s *Services) Stop() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	return errors.Join(errs...)
}

func (s *Services) startNATS(host string, port int) error {
	if err := Free("NATS", "--nats-port", port); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "crmbridge-dev-jetstream-")
	if err != nil {
		return fmt.Errorf("make a folder for JetStream: %w", err)
	}
	s.stops = append(s.stops, func() error { return os.RemoveAll(folder) })
	if port == 0 {
		port = server.RANDOM_PORT
	}
	broker, err := server.NewServer(&server.Options{ServerName: "crmbridge-dev", Host: host, Port: port,
		JetStream: true, JetStreamMaxStore: maxStore, StoreDir: folder, NoLog: true, NoSigs: true,
		MaxPending: maxPending})
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	broker.Start()
	s.stops = append(s.stops, func() error {
		broker.Shutdown()
		broker.WaitForShutdown()
		return nil
	})
	if !broker.ReadyForConnections(10 * time.Second) {
		return errors.New("no connection to the NATS server within 10 s")
	}
	s.NATS = broker
	s.NATSURL = "nats://" + onLoopback(broker.Addr().String())
	return nil
}

func (s *Services) startRedis(host string, port int) error {
	if err := Free("Redis", "--redis-port", port); err != nil {
		return err
	}
	redis := miniredis.NewMiniRedis()
	if err := redis.StartAddr(net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	s.RedisURL = "redis://" + onLoopback(redis.Addr()) + "/0"
	// Keys of this Redis expire only when its clock is moved.
	ctx, cancel := context.WithCancel(context.Background())
	var clock sync.WaitGroup
	clock.Go(func() {
		const step = 100 * time.Millisecond
		tick := time.NewTicker(step)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				redis.FastForward(step)
			}
		}
	})
	s.stops = append(s.stops, func() error {
		cancel()
		clock.Wait()
		redis.Close()
		return nil
	})
	return nil
}

func (s *Services) startEmulator(host string, port int, options emulator.Options,
	wrap func(http.Handler) http.Handler) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return taken("the emulated Dataverse", "--emulator-port", port, err)
	}
	s.EmulatorURL = "http://" + onLoopback(listener.Addr().String())
	s.Emulator, err = emulator.New(options)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	handler := http.Handler(s.Emulator)
	if wrap != nil {
		handler = wrap(handler)
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	s.stops = append(s.stops, func() error {
		err := web.Close()
		<-failed
		return err
	})
	return nil
}

// maxPending is what deploy/nats.conf sets, in bytes: bursts do not cut clients off.
const maxPending = 512 << 20

// maxStore is what streams may ask for, in bytes: those that crmbridge makes, however full the
// disk is. Nothing is taken of it before it is used.
const maxStore = 16 << 30

const loopback = "127.0.0.1"

// Address is a port of 127.0.0.1.
func Address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// onLoopback is where this machine reaches a listener: crmbridge talks plain http to
// loopback addresses only.
func onLoopback(addr string) string {
	_, port, _ := net.SplitHostPort(addr) // a TCP listener's has one
	return net.JoinHostPort(loopback, port)
}

// Free finds out whether a port can be had, for servers whose own errors do not name it.
func Free(what, flag string, port int) error {
	listener, err := net.Listen("tcp", Address(port))
	if err != nil {
		return taken(what, flag, port, err)
	}
	return listener.Close()
}

func taken(what, flag string, port int, err error) error {
	return fmt.Errorf("port %d for %s is taken or not allowed; "+
		"stop what uses it, or choose another with %s (0 takes a free one): %w", port, what, flag, err)
}
