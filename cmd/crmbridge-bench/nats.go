package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
)

// natsCommand is a NATS server in a process of its own, so that it can be killed.
type natsCommand struct {
	Name   string
	Port   int
	Store  string
	Route  int      // port for the other servers; 0 where there are none
	Routes []string `sep:","`
	Sync   bool     // sync_interval: always
	// Monitor is a port on which the server tells of itself; 0 where it does not.
	Monitor int
}

// Run serves until it is killed.
func (n *natsCommand) Run(ctx context.Context) error {
	endWithParent()
	defer profile("nats")()
	options := &server.Options{ServerName: n.Name, Host: "127.0.0.1", Port: n.Port, NoSigs: true,
		JetStream: true, StoreDir: n.Store, JetStreamMaxStore: 64 << 30, JetStreamMaxMemory: 1 << 30,
		SyncAlways: n.Sync, MaxPending: 512 << 20,
		// As deploy/nats.conf: a process that stands still is dropped within seconds.
		PingInterval: 2 * time.Second, MaxPingsOut: 2}
	if n.Monitor > 0 {
		options.HTTPHost, options.HTTPPort = "127.0.0.1", n.Monitor
	}
	if n.Route > 0 {
		options.Cluster = server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: n.Route, NoAdvertise: true}
		for _, route := range n.Routes {
			u, err := url.Parse(route)
			if err != nil {
				return fmt.Errorf("route: %w", err)
			}
			options.Routes = append(options.Routes, u)
		}
	}
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	s.ConfigureLogger()
	s.Start()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// A cluster is one NATS server, or three.
type cluster struct {
	servers  []*child
	ports    []int
	monitors []int // of the servers, where the world is monitored
}

// startNATS starts as many servers.
func (w *world) startNATS(replicas int, sync bool) error {
	c := &cluster{}
	var routes []int
	var addresses []string
	for range replicas {
		port, err := w.port()
		if err != nil {
			return err
		}
		c.ports = append(c.ports, port)
		if replicas > 1 {
			if port, err = w.port(); err != nil {
				return err
			}
			routes = append(routes, port)
			addresses = append(addresses, fmt.Sprintf("nats://127.0.0.1:%d", port))
		}
	}
	for i, port := range c.ports {
		name := "nats" + strconv.Itoa(i+1)
		args := []string{"nats", "--name=" + name, "--port=" + strconv.Itoa(port), "--store=" + filepath.Join(w.folder, name)}
		if replicas > 1 {
			args = append(args, "--route="+strconv.Itoa(routes[i]), "--routes="+strings.Join(addresses, ","))
		}
		if sync {
			args = append(args, "--sync")
		}
		if w.monitored {
			monitor, err := w.port()
			if err != nil {
				return err
			}
			c.monitors = append(c.monitors, monitor)
			args = append(args, "--monitor="+strconv.Itoa(monitor))
		}
		s, err := itself(name, w.folder, nil, args...)
		if err != nil {
			return err
		}
		c.servers = append(c.servers, s)
		w.onStop(func() error { s.kill(); return nil })
		if err := s.start(); err != nil {
			return err
		}
	}
	w.cluster = c
	nc, err := nats.Connect(c.url(), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.Name("bench"), nats.PingInterval(2*time.Second))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	w.onStop(func() error { nc.Close(); return nil })
	w.nc = nc
	if w.js, err = jetstream.New(nc); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	w.say("NATS: %d server(s), each in a process of its own", replicas)
	return await(w.ctx, time.Minute, "JetStream", func(ctx context.Context) error {
		_, err := w.js.AccountInfo(ctx)
		if err == nil && replicas > 1 {
			// A stream of three copies is made once all three servers know each other.
			err = w.probeReplicas(ctx, replicas)
		}
		return err
	})
}

func (w *world) probeReplicas(ctx context.Context, replicas int) error {
	_, err := w.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"bench.probe"},
		Replicas: replicas, Storage: jetstream.MemoryStorage})
	if err != nil {
		return err
	}
	return w.js.DeleteStream(ctx, "PROBE")
}

// url has all servers.
func (c *cluster) url() string { return urls(c.ports) }

func urls(ports []int) string {
	var all []string
	for _, port := range ports {
		all = append(all, "nats://"+devenv.Address(port))
	}
	return strings.Join(all, ",")
}

// leader is the server that leads a stream; the only one where there is but one.
func (w *world) leader(ctx context.Context, stream string) (*child, error) {
	if len(w.cluster.servers) == 1 {
		return w.cluster.servers[0], nil
	}
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	for _, server := range w.cluster.servers {
		if info := s.CachedInfo().Cluster; info != nil && server.name == info.Leader {
			return server, nil
		}
	}
	return nil, errors.New("the stream has no leader")
}
