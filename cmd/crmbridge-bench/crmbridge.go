package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/messages"
)

// serveCommand is a crmbridge in a process of its own: the production program's serve.
type serveCommand struct {
	bridge.Settings
	// More is a table that this process knows and others do not.
	More string `name:"bench-table" help:"Name of a table besides those of the product."`
}

// Run serves until a signal.
func (c *serveCommand) Run(ctx context.Context) error {
	endWithParent()
	defer profile("crmbridge")()
	defer collectOnSignal()()
	if c.More == "" {
		return c.Serve(ctx, os.Stderr)
	}
	config, err := c.Config()
	if err != nil {
		return err
	}
	config.Tables = append(config.Tables, anotherTable(c.More))
	log := bridge.NewLog(os.Stderr, config.LogLevel, config.LogFormat)
	bridge.QuietRedis(log)
	return bridge.Serve(ctx, config, log)
}

// A crmbridge is one process of the fleet. It reaches every NATS server through proxies of
// its own, unless its world is direct.
type crmbridge struct {
	*child
	admin string
	wire  *wire
}

// addCrmbridge starts one more crmbridge, with further variables and arguments.
func (w *world) addCrmbridge(env []string, args ...string) (*crmbridge, error) {
	httpPort := w.publicPort // the first serves the pages
	var err error
	if len(w.fleet) > 0 {
		if httpPort, err = w.port(); err != nil {
			return nil, err
		}
	}
	adminPort, err := w.port()
	if err != nil {
		return nil, err
	}
	c := &crmbridge{admin: "http://" + devenv.Address(adminPort), wire: &wire{mutate: w.mutate, claims: &w.claims}}
	var ports []int
	for _, behind := range w.cluster.ports {
		if w.direct {
			ports = append(ports, behind)
			continue
		}
		p, err := newProxy(devenv.Address(behind), c.wire)
		if err != nil {
			return nil, err
		}
		w.onStop(p.close)
		ports = append(ports, p.port())
	}
	settings := w.settings(httpPort, adminPort)
	settings.URL = urls(ports)
	name := "crmbridge" + strconv.Itoa(len(w.fleet)+1)
	c.child, err = itself(name, w.folder, append(settings.Environment(), env...), append([]string{"serve"}, args...)...)
	if err != nil {
		return nil, err
	}
	if w.binary != "" {
		c.program = w.binary
	}
	w.onStop(func() error { c.kill(); return nil })
	w.fleet = append(w.fleet, c)
	return c, c.start()
}

// start starts the process; what its wire knew was of the one before.
func (c *crmbridge) start() error {
	if c.pid() == 0 {
		c.wire.forgetAll()
	}
	return c.child.start()
}

// awaitFleet waits until all processes are ready.
func (w *world) awaitFleet() error {
	for _, c := range w.fleet {
		if err := await(w.ctx, 2*time.Minute, c.name, c.ready); err != nil {
			return fmt.Errorf("%w; its log ends with:\n%s", err, c.tail(2000))
		}
	}
	return nil
}

// ready is why the process is not ready; nil where it is.
func (c *crmbridge) ready(ctx context.Context) error {
	if c.pid() == 0 {
		return errors.New("it has ended")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}

// anotherTable is accounts under another name, as a newer version might know it.
func anotherTable(name string) messages.Table {
	accounts := messages.Tables()[0]
	accounts.Name = name
	return accounts
}
