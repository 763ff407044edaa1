package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// speedCommand measures crmbridge beside a bare loop that does the same work.
type speedCommand struct {
	Rounds  int      `default:"7" help:"Rounds of each row, in each of which the bare loop and crmbridge take turns: ${default}."`
	Seconds float64  `default:"3" help:"Seconds that each is measured in a round: ${default}."`
	Only    []string `sep:"none" placeholder:"NAME" help:"Only this row, such as small-192; repeatable. --list names them."`
	List    bool     `help:"Name the rows and end."`
	JSON    bool     `name:"json" help:"Print figures as JSON."`
	Check   bool     `help:"End with a status of 1 where a target is missed, and name each."`
	Chart   string   `placeholder:"FILE.svg" help:"Draw the ratios of the table there."`
	Page    string   `placeholder:"FILE.md" help:"Write the figures into this page, in place of those that are there."`
	Binary  string   `placeholder:"PATH" help:"Measure this build of crmbridge. By default it is built from the folder's sources; 'self' is the code in this program."`
	Profile string   `placeholder:"DIR" help:"Write CPU profiles of crmbridge there, by row; with --binary=self of the bare loop too."`
}

// Help is the long form.
func (c *speedCommand) Help() string {
	return `NATS, Redis, a stub of the upstream with fixed pages, the bare loop and crmbridge run as
processes of their own on loopback. The bare loop is the fastest straightforward program that does
the same work: a queue subscription, a goroutine per message, one HTTP call with a fixed token, one
strict pass over the page, no contract. Both take turns in each round, and who begins changes.

Ratios are crmbridge's to the bare loop's of the same round: the least, the median and the
largest. CPU is that of the process that is measured, from /proc, and so is its peak memory; the
process is started anew for each row. Every answer is checked: no error, all rows; the first
of each row is compared value by value. Each request has a filter of its own, so that
nothing is shared, and they are spread evenly over 32 connections of 32 users.

It needs a machine that does nothing else: on a busy one only the CPU figures hold. The JSON has
times in nanoseconds. With the jobs it takes about 12 minutes; --only and --rounds shorten it.`
}

// Validate refuses what cannot be measured.
func (c *speedCommand) Validate() error {
	if c.Rounds < 1 || c.Seconds <= 0 {
		return fmt.Errorf("%w: --rounds and --seconds must be positive", bridge.ErrUsage)
	}
	if c.Chart != "" && filepath.Ext(c.Chart) != ".svg" {
		return fmt.Errorf("%w: --chart is an SVG file", bridge.ErrUsage)
	}
	rows, err := c.rows()
	if err == nil && c.Chart != "" && len(rows) == 0 {
		err = fmt.Errorf("%w: --chart draws rows of the table, of which --only leaves none", bridge.ErrUsage)
	}
	return err
}

// writable finds out before anything is measured whether its figures can be written where they
// are to go.
func (c *speedCommand) writable() error {
	if c.Chart != "" {
		file, err := os.OpenFile(c.Chart, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("%w: --chart: %w", bridge.ErrUsage, err)
		}
		_ = file.Close() // nothing was written
	}
	if c.Page != "" {
		if _, _, err := pageAround(c.Page); err != nil {
			return fmt.Errorf("%w: --page: %w", bridge.ErrUsage, err)
		}
		file, err := os.OpenFile(c.Page, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("%w: --page: %w", bridge.ErrUsage, err)
		}
		_ = file.Close() // nothing was written
	}
	if c.Profile != "" {
		if err := os.MkdirAll(c.Profile, 0o700); err != nil {
			return fmt.Errorf("%w: --profile: %w", bridge.ErrUsage, err)
		}
	}
	if c.Binary != "" && c.Binary != "self" {
		if _, err := os.Stat(c.Binary); err != nil {
			return fmt.Errorf("%w: --binary: %w", bridge.ErrUsage, err)
		}
	}
	return nil
}

// speedUsers is how many people share the connections, one each: what Dataverse allows one
// user is not measured.
const speedUsers = 32

// Run measures and prints the table.
func (c *speedCommand) Run(ctx context.Context, p *printer) (err error) {
	rows, err := c.rows()
	if err != nil {
		return err
	}
	if c.List {
		for _, row := range rows {
			fmt.Fprintf(p.to, "%-16s %s\n", row.Name, row.title())
		}
		for _, more := range moreSpeed {
			fmt.Fprintf(p.to, "%-16s %s\n", more.name, more.title)
		}
		return nil
	}
	if err := c.writable(); err != nil {
		return err
	}
	table := p.to
	if c.JSON {
		p.to = p.aside // nothing but JSON goes to standard output
	}
	s := &speed{speedCommand: c, result: speedResult{Machine: thisMachine(), Rounds: c.Rounds, Seconds: c.Seconds}}
	if err := s.start(ctx, p); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var steps []func() error
	for _, row := range rows {
		steps = append(steps, func() error { return s.measure(row) })
	}
	for _, more := range moreSpeed {
		if c.wants(more.name) {
			steps = append(steps, func() error { return more.run(s) })
		}
	}
	s.todo = len(steps) * c.Rounds
	var broken error
	for _, step := range steps {
		if broken = step(); broken != nil {
			break
		}
	}
	if ctx.Err() != nil {
		broken = errors.New("interrupted; the figures are those of what was measured until then")
	}
	return errors.Join(broken, s.report(table, broken == nil))
}

// report gives the figures out; those of a run that was not whole are only printed.
func (s *speed) report(table io.Writer, whole bool) error {
	s.result.prune()
	if s.Chart != "" && whole {
		if err := s.result.chart(s.Chart); err != nil {
			return err
		}
	}
	if s.Page != "" && whole {
		if err := s.result.write(s.Page); err != nil {
			return err
		}
	}
	s.say("measured in %.0f s", time.Since(s.begun).Seconds())
	print := s.result.print
	if s.JSON {
		print = s.result.json
	}
	if err := print(table); err != nil || !s.Check || !whole {
		return err
	}
	return s.result.check(s.printer)
}

// moreSpeed is what is measured besides the rows of the table.
var moreSpeed = []struct {
	name, title string
	run         func(*speed) error
}{
	{"processes", fmt.Sprintf("%d processes beside one, 50 ms upstream", manyProcesses), (*speed).processes},
	{"jobs", "small jobs and pages of large ones, at 1, 2 and 4 processes", (*speed).jobs},
	{"start", "from start to first answer, and memory of an idle process", (*speed).begins},
}

// A speed is one run.
type speed struct {
	*speedCommand
	*world
	connections []string
	bares       []*child
	load        *load

	result     speedResult
	done, todo int // rounds
}

// progress says how far the run is, after a round.
func (s *speed) progress(name, format string, args ...any) {
	s.done++
	s.say("%3d %%  %-15s %s", 100*s.done/s.todo, name, fmt.Sprintf(format, args...))
}

// start starts everything, and makes the connections.
func (s *speed) start(ctx context.Context, p *printer) (err error) {
	s.world, err = newWorld(ctx, p, setup{direct: true, stub: true,
		emulator: emulator.Options{Users: people(speedUsers)}})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.binary, err = s.build(); err != nil {
		return err
	}
	profiles, err := s.profiling()
	if err != nil {
		return err
	}
	if _, err := s.addCrmbridge(profiles); err != nil {
		return err
	}
	if err := s.running(1); err != nil {
		return err
	}
	s.connections = numbered("speed", speedUsers)
	if err := s.connectAll(s.connections); err != nil {
		return err
	}
	s.say("%d connections of as many users", len(s.connections))
	s.load, err = newLoad(s.cluster.url(), s.connections)
	if err != nil {
		return err
	}
	s.onStop(func() error { s.load.close(); return nil })
	return nil
}

// build is the path of the crmbridge to measure; empty for the code in this program.
func (s *speed) build() (string, error) {
	if s.Binary == "self" {
		return "", nil
	}
	if s.Binary != "" {
		return filepath.Abs(s.Binary)
	}
	path := filepath.Join(s.folder, "crmbridge")
	// As deploy/Dockerfile does: what stands in the file is part of what an idle process holds.
	cmd := exec.CommandContext(s.ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path,
		"github.com/crmbridge/crmbridge/cmd/crmbridge")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build crmbridge (or give one with --binary): %w\n%s", err, said)
	}
	s.say("crmbridge: built from the sources")
	return path, nil
}
