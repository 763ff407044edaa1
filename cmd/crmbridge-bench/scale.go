package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// scaleCommand measures how many small jobs 1, 2 and 4 processes do.
type scaleCommand struct {
	Jobs     int `default:"2500" help:"Jobs for each process: ${default}."`
	Replicas int `default:"1" enum:"1,3" help:"NATS servers: 1, or 3 of one cluster."`
}

// Run measures and gives the verdict.
func (c *scaleCommand) Run(ctx context.Context, p *printer) (err error) {
	defer profile("bench")()
	w, err := newWorld(ctx, p, setup{replicas: c.Replicas, processes: 1, direct: true,
		env: []string{replicated(c.Replicas), "MAX_IN_FLIGHT=32", "LOG_LEVEL=warn"},
		emulator: emulator.Options{Accounts: 10, Contacts: -1, Users: people(8), Latency: 50 * time.Millisecond,
			Limits: emulator.Limits{Requests: -1, Execution: -1, Concurrent: -1}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	connections := numbered("acme", 8)
	if err := w.connectAll(connections); err != nil {
		return err
	}
	if err := w.awaitLane(); err != nil {
		return err
	}
	e, err := w.hearEnds()
	if err != nil {
		return err
	}
	all := &promises{printer: p}
	var single float64
	for _, step := range []struct {
		processes int
		least     float64
	}{{1, 1}, {2, 1.8}, {4, 3.3}} {
		for len(w.fleet) < step.processes {
			if _, err := w.addCrmbridge([]string{replicated(c.Replicas), "MAX_IN_FLIGHT=32", "LOG_LEVEL=warn"}); err != nil {
				return err
			}
		}
		if err := w.awaitFleet(); err != nil {
			return err
		}
		run := func(name string, n int) (time.Duration, error) {
			before := e.count()
			begun := time.Now()
			if err := w.fill(n, func(i int) job {
				return small(connections[i%len(connections)], fmt.Sprintf("%s-%d-%d", name, step.processes, i))
			}); err != nil {
				return 0, err
			}
			err := await(ctx, 5*time.Minute, "the ends of all jobs", func(context.Context) error {
				if ended := e.count() - before; ended < n {
					return fmt.Errorf("%d of %d have ended", ended, n)
				}
				return nil
			})
			return time.Since(begun), err
		}
		if _, err := run("warm", 100*step.processes); err != nil { // tokens, and followers
			return err
		}
		n := c.Jobs * step.processes
		before := w.cost()
		took, err := run("job", n)
		if err != nil {
			return err
		}
		p.say("%s", w.cost().since(before, n))
		rate := float64(n) / took.Seconds()
		if step.processes == 1 {
			single = rate
		}
		all.keep(rate/single >= step.least, "%d process(es): %.0f jobs/s, %.2f × those of one (at least %.1f)",
			step.processes, rate,
			rate/single, step.least)
	}
	return all.verdict("scale")
}
