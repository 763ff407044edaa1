// Command crmbridge-bench measures crmbridge beside a bare loop that does the same work, and
// disturbs and measures the durable lane: whole fleets of real processes, real NATS servers that
// are killed and started again, a Redis, and an emulated Dataverse that throttles and breaks.
//
//	go run ./cmd/crmbridge-bench speed               # what the contract costs; README.md has the figures
//	go run ./cmd/crmbridge-bench chaos               # one NATS server, 500,000 rows, minutes
//	go run ./cmd/crmbridge-bench chaos --replicas=3  # three of them, the leader killed every 15 s
//	go run ./cmd/crmbridge-bench chaos --mutate=no-guard  # must fail: the guard is taken off on the wire
//
// The other commands measure one promise each, as ratios to a baseline of the same run:
// fairness, idle, scale, throttle, poison, old-new. fleet measures what a fleet costs, and that
// nothing grows with processes × connections. Every command ends with a verdict, status 0
// where the promise holds and 1 where it does not. It starts itself for crmbridge's and NATS's
// processes, ends every one that it started, and removes what it has stored.
//
// It is a program of its own so that the production binary holds no broker and no emulator.
package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/program"
)

// commands are those of the program. The hidden ones are its own processes.
type commands struct {
	Chaos    chaosCommand    `cmd:"" help:"Kill, pause and cut everything while jobs run, and look at every row afterwards."`
	Fairness fairnessCommand `cmd:"" help:"What one connection's backlog costs another one."`
	Idle     idleCommand     `cmd:"" help:"What connections cost that have nothing to do."`
	Scale    scaleCommand    `cmd:"" help:"How many small jobs 1, 2 and 4 processes do."`
	Throttle throttleCommand `cmd:"" help:"A job that Dataverse throttles waits without holding anything."`
	Fleet    fleetCommand    `cmd:"" help:"What a fleet costs, and that nothing grows with processes × connections."`
	Poison   poisonCommand   `cmd:"" help:"A job that kills whoever runs it; and what follows on SIGTERM."`
	OldNew   oldNewCommand   `cmd:"" name:"old-new" help:"Two versions side by side, of which one knows a table more."`

	Speed speedCommand `cmd:"" help:"What the contract costs: crmbridge beside a bare loop that does the same work."`
	Chart chartCommand `cmd:"" help:"Draw the chart of the figures that stand in a page."`

	Serve serveCommand `cmd:"" hidden:""`
	NATS  natsCommand  `cmd:"" name:"nats" hidden:""`
	Stub  stubCommand  `cmd:"" hidden:""`
	Bare  bareCommand  `cmd:"" hidden:""`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	return program.Program{Name: "crmbridge-bench",
		Description: "Measures crmbridge, and disturbs what is promised to survive.",
		Commands:    &commands{}, Bind: []any{&printer{to: stdout, aside: stderr, begun: time.Now()}},
	}.Run(args, stdout, stderr)
}

// A printer prints what goes on, with the seconds since the program began.
type printer struct {
	mu    sync.Mutex
	to    io.Writer
	aside io.Writer // standard error
	begun time.Time
}

func (p *printer) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.to, "%7.1fs  %s\n", time.Since(p.begun).Seconds(), fmt.Sprintf(format, args...))
}
