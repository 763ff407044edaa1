package main

import (
	"context"
	"errors"
	"fmt"
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
	Binary  string   `placeholder:"PATH" help:"Measure this build of crmbridge. By default it is built from the folder's sources; 'self' is the code in this program."`
	Profile string   `placeholder:"DIR" help:"Write CPU profiles of crmbridge there, by row; with --binary=self of the bare loop too."`
}

// Validate refuses what cannot be measured.
func (c *speedCommand) Validate() error {
	if c.Rounds < 1 || c.Seconds <= 0 {
		return fmt.Errorf("%w: --rounds and --seconds must be positive", bridge.ErrUsage)
	}
	_, err := c.rows()
	return err
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
		return nil
	}
	table := p.to
	if c.JSON {
		p.to = os.Stderr // nothing but JSON goes to standard output
	}
	s := &speed{speedCommand: c}
	if err := s.start(ctx, p); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var all []measured
	begun := time.Now()
	for i, row := range rows {
		m, err := s.measure(row, i*c.Rounds, len(rows)*c.Rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", row.Name, err)
		}
		all = append(all, m)
	}
	s.say("%d rows in %.0f s", len(rows), time.Since(begun).Seconds())
	result := speedResult{Machine: thisMachine(), Rounds: c.Rounds, Seconds: c.Seconds, Rows: all}
	if c.JSON {
		return result.json(table)
	}
	return result.print(table)
}

// A speed is one run.
type speed struct {
	*speedCommand
	*world
	connections []string
	bares       []*child
	load        *load
}

// start starts everything, and makes the connections.
func (s *speed) start(ctx context.Context, p *printer) (err error) {
	s.world, err = newWorld(ctx, p, setup{direct: true, stub: true, emulator: emulator.Options{Users: people(speedUsers)}})
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
	cmd := exec.CommandContext(s.ctx, "go", "build", "-o", path, "github.com/crmbridge/crmbridge/cmd/crmbridge")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build crmbridge (or give one with --binary): %w\n%s", err, said)
	}
	s.say("crmbridge: built from the sources")
	return path, nil
}
