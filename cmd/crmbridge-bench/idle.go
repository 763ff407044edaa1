package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// idleCommand looks at what connections cost that have nothing to do.
type idleCommand struct {
	Connections int           `default:"10000" help:"Connections, each with one job that has ended: ${default}."`
	Processes   int           `default:"3" help:"Processes of crmbridge: ${default}."`
	For         time.Duration `default:"60s" help:"How long NATS's CPU is looked at: ${default}."`
	Replicas    int           `default:"1" enum:"1,3" help:"NATS servers: 1, or 3 of one cluster."`
	Unknown     bool          `help:"Do not make the connections, which takes minutes: their jobs fail, and leave in the streams what done ones leave, and a dead letter."`
}

// Run measures and gives the verdict.
func (c *idleCommand) Run(ctx context.Context, p *printer) (err error) {
	w, err := newWorld(ctx, p, setup{replicas: c.Replicas, processes: c.Processes,
		env: []string{replicated(c.Replicas), "LOG_LEVEL=error"},
		emulator: emulator.Options{Accounts: -1, Contacts: -1, Users: people(64),
			Limits: emulator.Limits{Requests: -1, Execution: -1, Concurrent: -1}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := w.awaitLane(); err != nil {
		return err
	}
	for _, s := range w.fleet {
		p.say("%s takes %d MiB before them", s.name, resident(s.pid())>>20)
	}
	begun := time.Now()
	connections := numbered("idle", c.Connections)
	if !c.Unknown {
		if err := w.connectAll(connections); err != nil {
			return err
		}
		p.say("%d connections (%.0f s)", c.Connections, time.Since(begun).Seconds())
	}
	if err := w.fill(c.Connections, func(i int) job { return small(connections[i], "old") }); err != nil {
		return err
	}
	if err := w.awaitEmpty(10 * time.Minute); err != nil {
		return err
	}
	state, err := w.js.Stream(ctx, messages.StateStream)
	if err != nil {
		return err
	}
	p.say("%d jobs of as many connections have ended (%.0f s)", c.Connections, time.Since(begun).Seconds())
	all := &promises{printer: p}
	all.keep(state.CachedInfo().State.Msgs == uint64(c.Connections), "%s has %d records", messages.StateStream,
		state.CachedInfo().State.Msgs)
	dead, err := w.js.Stream(ctx, messages.DeadStream)
	if err != nil {
		return err
	}
	if letters := dead.CachedInfo().State.Msgs; !c.Unknown {
		all.keep(letters == 0, "%d of the jobs failed", letters)
	}
	consumers, err := w.consumers(ctx)
	if err != nil {
		return err
	}
	all.keep(consumers == c.Processes, "%d consumers on all streams with %d processes (one each)", consumers, c.Processes)
	if !sleep(ctx, 10*time.Second) { // what follows on the last jobs
		return ctx.Err()
	}
	for _, s := range w.cluster.servers {
		share, err := cpuShare(ctx, s.pid(), c.For)
		if err != nil {
			return err
		}
		all.keep(share < 0.02, "%s takes %.2f %% of a core (less than 2)", s.name, 100*share)
	}
	for _, s := range w.fleet {
		share, err := cpuShare(ctx, s.pid(), 10*time.Second)
		if err != nil {
			return err
		}
		p.say("%s takes %.2f %% of a core and %d MiB", s.name, 100*share, resident(s.pid())>>20)
	}
	return all.verdict("idle")
}

// cpuShare is how much of a core a process takes, over a time.
func cpuShare(ctx context.Context, pid int, over time.Duration) (float64, error) {
	before, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if !sleep(ctx, over) {
		return 0, ctx.Err()
	}
	after, err := cpuTime(pid)
	return (after - before).Seconds() / time.Since(begun).Seconds(), err
}

// resident is how much memory a process has, in bytes, from Linux's /proc; 0 elsewhere.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
		if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			return pages * int64(os.Getpagesize())
		}
	}
	return 0
}

// ticks are the parts of a second in /proc on Linux.
const ticks = 100

// cpuTime is the time that a process has run, from Linux's /proc.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("the CPU time of a process is read on Linux only: %w", err)
	}
	// The name, in brackets, may have blanks: fields are counted after it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const user, system = 11, 12
	if len(fields) <= system {
		return 0, errors.New("/proc has another form")
	}
	var sum int64
	for _, at := range []int{user, system} {
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}
