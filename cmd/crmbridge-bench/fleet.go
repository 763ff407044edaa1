package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// fleetCommand measures what a fleet costs, and whether anything grows with processes ×
// connections.
type fleetCommand struct {
	Processes   []int `default:"1,2,4,8" help:"Fleets to measure, by processes of crmbridge: ${default}."`
	Connections []int `default:"100,1000,10000" help:"And with how many connections each: ${default}."`
	Seconds     int   `default:"10" help:"How long each fleet is looked at while it has nothing to do: ${default}."`
	JSON        bool  `name:"json" help:"Print the figures as JSON; what goes on is said on standard error."`

	quick bool // for a test: less of everything that has a fixed size
}

// Help is the long form.
func (c *fleetCommand) Help() string {
	return `Each fleet begins anew, beside one Redis and one NATS. Then, in this order: 64 connections that
do not count are asked, so that every process has worked; every connection is asked once; nobody asks (the figures of "idle"); a few
connections are asked again and again; jobs of 1 and of 11 pages run; tokens are renewed.

Commands and bytes are Redis's own count (INFO; commands inside scripts are counted each),
messages and bytes of NATS the server's count for the connections of crmbridge, both ways.
Memory is what is resident after garbage was collected; CPU is from /proc.

64 connections are made by sign-ins. The others are copies of them, sealed anew under names of
their own with the product's own key set, each as if another user of the environment had
made it. For the renewals some are given tokens that end in a minute, as after 59 minutes;
processes renew 5 a second each.

The verdict: each figure is fitted to a + b·P + c·C + d·P·C. Status 1 where d is more than
noise, that is three times its standard error and a twentieth of the largest figure (a
quarter for CPU). It takes two numbers of processes and two of connections at least.`
}

// Validate looks at the lists.
func (c *fleetCommand) Validate() error {
	for _, list := range [][]int{c.Processes, c.Connections} {
		if len(list) == 0 || slices.Min(list) < 1 {
			return fmt.Errorf("%w: --processes and --connections take numbers from 1 on", bridge.ErrUsage)
		}
	}
	if slices.Max(c.Processes) > 64 || slices.Max(c.Connections) > 1_000_000 || c.Seconds < 1 {
		return fmt.Errorf("%w: --processes is at most 64, --connections at most 1000000, --seconds at least 1",
			bridge.ErrUsage)
	}
	slices.Sort(c.Processes)
	slices.Sort(c.Connections)
	c.Processes, c.Connections = slices.Compact(c.Processes), slices.Compact(c.Connections)
	return nil
}

// fleetModels is how many connections are made by sign-ins.
const fleetModels = 64

// fleetRows is how many accounts the environment has: 11 pages of 100.
const fleetRows = 1100

// Run measures and gives the verdict.
func (c *fleetCommand) Run(ctx context.Context, p *printer) (err error) {
	out := p.to
	if c.JSON {
		p = &printer{to: os.Stderr, begun: p.begun}
	}
	w, err := newWorld(ctx, p, setup{direct: true, monitored: true,
		emulator: emulator.Options{Accounts: fleetRows, Contacts: -1, Users: people(fleetModels),
			AccessTokenLifetime: 24 * time.Hour, // the models' and their copies', for the whole run
			Limits:              emulator.Limits{Requests: -1, Execution: -1, Concurrent: -1}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if w.redis == nil {
		return errors.New("redis-server is not installed: nothing else counts commands as Redis does")
	}
	f := &fleetRun{fleetCommand: c, world: w}
	if err := cmp.Or(f.connectRedis(), f.calibrate()); err != nil {
		return err
	}
	if f.ends, err = w.hearEnds(); err != nil {
		return err
	}
	if err := f.signIn(); err != nil {
		return err
	}
	for i, connections := range c.Connections {
		if err := f.connectUpTo(connections); err != nil {
			return err
		}
		for j, processes := range c.Processes {
			p.say("fleet %d of %d: %d processes, %d connections", i*len(c.Processes)+j+1,
				len(c.Connections)*len(c.Processes), processes, connections)
			if err := f.cell(processes, connections); err != nil {
				if w.redis.pid() == 0 {
					err = fmt.Errorf("%w; redis-server has ended: %s", err, w.redis.tail(1000))
				}
				return fmt.Errorf("%d processes, %d connections: %w", processes, connections, err)
			}
		}
	}
	return f.report(out, p)
}

// A fleetRun is one run of the command.
type fleetRun struct {
	*fleetCommand
	*world
	rdb     *redis.Client
	looking fleetCost // what a look at the counters adds to them
	own     int       // connections to Redis of the bench itself
	ends    *ends
	client  *messages.Client
	sealer  *tokens.Keyset
	models  []fleetModel
	made    int   // connections that there are
	grant   int64 // bytes that Redis takes for a connection
	cells   []*fleetCell
	asked   atomic.Int64 // requests so far: each carries a filter of its own
	jobs    int
}

func (f *fleetRun) connectRedis() error {
	options, err := redis.ParseURL(f.redisURL)
	if err != nil {
		return err
	}
	options.DisableIdentity = true
	f.rdb = redis.NewClient(options)
	f.onStop(f.rdb.Close)
	return nil
}

// A fleetCell is what was measured of one fleet.
type fleetCell struct {
	Processes   int `json:"processes"`
	Connections int `json:"connections"`
	// Copies is how many tokens the processes hold together after each connection was asked
	// once: a process holds copiesMost at most.
	Copies int `json:"copies"`

	FreshMemory int64 `json:"fresh_memory_bytes"` // of all processes, which have worked, but not for the connections
	Memory      int64 `json:"memory_bytes"`       // of all processes, after each connection was asked once
	RedisMemory int64 `json:"redis_memory_bytes"` // used_memory
	NATSMemory  int64 `json:"nats_memory_bytes"`
	Files       int   `json:"open_files"`        // of all processes
	RedisLinks  int   `json:"redis_connections"` // of all processes
	Subs        int   `json:"nats_subscriptions"`

	Idle  fleetCost `json:"idle_each_second"`
	First fleetCost `json:"first_request"` // to a connection that the process does not know
	// Filtered is one with a filter, where nobody has read the columns for 15 minutes.
	Filtered fleetCost `json:"first_filtered_request"`
	Request  fleetCost `json:"request"`  // to one that it knows
	Job      fleetCost `json:"job"`      // without its further pages
	Page     fleetCost `json:"job_page"` // each further page
	Renewal  fleetCost `json:"renewal"`
	Renewed  int       `json:"renewed"`
}

// copiesMost is how many tokens a process keeps copies of; tokens/local.go.
const copiesMost = 4096

// settle waits longer than a process keeps slots of a user for the next call, and than what else
// follows on requests.
func (f *fleetRun) settle() error {
	follows := 1500 * time.Millisecond
	if f.quick {
		follows /= 5
	}
	if !sleep(f.ctx, follows) {
		return f.ctx.Err()
	}
	return nil
}

// cell measures one fleet.
func (f *fleetRun) cell(processes, connections int) error {
	defer f.endFleet()
	for range processes {
		if _, err := f.addCrmbridge([]string{"LOG_LEVEL=error", "MAX_IN_FLIGHT=256"}); err != nil {
			return err
		}
	}
	if err := cmp.Or(f.awaitFleet(), f.awaitLane()); err != nil {
		return err
	}
	if err := f.settle(); err != nil {
		return err
	}
	c := &fleetCell{Processes: processes, Connections: connections, Copies: min(connections, processes*copiesMost-warmers)}
	for _, part := range []func(*fleetCell) error{f.fresh, f.first, f.idle, f.filtered, f.again, f.pages, f.renew} {
		if err := part(c); err != nil {
			return err
		}
	}
	f.cells = append(f.cells, c)
	f.say("idle: %.1f Redis commands/s, %.1f NATS messages/s, %.1f ms CPU/s, %.1f MiB; a request %.1f commands and %.0f µs CPU "+
		"(the first of a connection %.1f), a job's page %.1f messages, a renewal %.1f commands", c.Idle.Commands,
		c.Idle.Messages,
		c.Idle.CPU/1000, mebibytes(c.Memory), c.Request.Commands, c.Request.CPU, c.First.Commands, c.Page.Messages,
		c.Renewal.Commands)
	return nil
}

func (f *fleetRun) endFleet() {
	for _, c := range f.fleet {
		c.end(interrupt)
	}
	f.fleet = nil
}

// warmers are connections that do not count: by asking them a process comes to the buffers,
// the connections and the goroutines that it takes once.
const warmers = 512

// fresh looks at processes that have worked, and know none of the connections.
func (f *fleetRun) fresh(c *fleetCell) (err error) {
	rounds := 4
	if f.quick {
		rounds = 1
	}
	if err := f.ask(rounds*warmers, atOnce, false, func(i int) string { return warmName(i % warmers) }); err != nil {
		return err
	}
	if err := f.settle(); err != nil {
		return err
	}
	c.FreshMemory, err = f.kept()
	return err
}

// atOnce is how many requests are on their way.
const atOnce = 16

// first asks every connection once, without a filter.
func (f *fleetRun) first(c *fleetCell) (err error) {
	c.First, err = f.during(c.Connections, nil, func() error {
		return cmp.Or(f.ask(c.Connections, atOnce, false, fleetName), f.settle())
	})
	return err
}

// idle looks at a fleet that knows all connections while nobody asks.
func (f *fleetRun) idle(c *fleetCell) (err error) {
	if c.Memory, err = f.kept(); err != nil {
		return err
	}
	if c.Idle, err = f.during(1, nil, func() error {
		if !sleep(f.ctx, time.Duration(f.Seconds)*time.Second) {
			return f.ctx.Err()
		}
		return nil
	}); err != nil {
		return err
	}
	c.Idle = c.Idle.over(c.Idle.Seconds)
	c.First = c.First.less(c.Idle, c.First.Seconds) // which is of each request
	return f.sizes(c)
}

// filtered asks some connections with a filter whose columns' metadata nobody has read lately.
func (f *fleetRun) filtered(c *fleetCell) error {
	n := min(100, c.Connections)
	for i := range n {
		if err := f.rdb.Del(f.ctx, metadataKey(fleetName(i))).Err(); err != nil {
			return err
		}
	}
	cost, err := f.during(n, &c.Idle, func() error {
		return cmp.Or(f.ask(n, atOnce, true, fleetName), f.settle())
	})
	c.Filtered = cost
	return err
}

// warmed is how many connections are asked again and again.
const warmed = 32

// again asks a few connections that every process knows.
func (f *fleetRun) again(c *fleetCell) (err error) {
	few := min(warmed, c.Connections)
	name := func(i int) string { return fleetName(i % few) }
	if err := f.ask(4*few*c.Processes, atOnce, true, name); err != nil { // every process meets every one
		return err
	}
	n := 1500
	if f.quick {
		n = 100
	}
	c.Request, err = f.during(n, &c.Idle, func() error {
		return cmp.Or(f.ask(n, atOnce, true, name), f.settle())
	})
	return err
}

// pages runs jobs of one page and of eleven.
func (f *fleetRun) pages(c *fleetCell) error {
	n := 16
	run := func(rows int) (fleetCost, error) {
		return f.during(n, &c.Idle, func() error { return f.runJobs(n, rows, min(n, c.Connections)) })
	}
	if _, err := run(100); err != nil { // the lane awakes
		return err
	}
	short, err := run(100)
	if err != nil {
		return err
	}
	long, err := run(fleetRows)
	if err != nil {
		return err
	}
	c.Page = long.less(short, 1).over(10)
	c.Job = short.less(c.Page, 1)
	return nil
}

// fleetFields are what every request asks for: ten columns, none of which takes metadata.
var fleetFields = []string{"id", "name", "email", "phone", "city", "country", "website", "created_at", "modified_at",
	"revenue"}

// accountsOf is what a request asks for: ten rows, with a filter of its own where it has one,
// so that no two requests are one call.
func accountsOf(connection string, filter int64) messages.SearchRequest {
	r := messages.SearchRequest{Target: messages.Target{Connection: connection}, PageSize: 10, Fields: fleetFields}
	if filter > 0 {
		where := messages.Leaf("name", messages.Ne, fmt.Sprintf("none %d", filter))
		r.Where = &where
	}
	return r
}
