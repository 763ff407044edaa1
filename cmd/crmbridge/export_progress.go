package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// An exportProgress is the line that shows how far an export is: what is in the file, of how
// much, how fast, and what the job waits for. It hears of the job by its records; a user who
// may not subscribe to them sees the pages alone.
type exportProgress struct {
	line  *progressLine
	rows  string // what is counted: accounts
	began time.Time

	mu      sync.Mutex
	ended   bool
	at      int64 // rows in the file when the run began
	written int64
	total   *int64
	state   string // what the job waits for; "" where it runs

	stop    context.CancelFunc
	joining sync.WaitGroup
}

// follow begins the line, and listens to the job until end.
func (c *rowsExport) follow(ctx context.Context, ask *asker, std *stdio, file *exportFile) *exportProgress {
	p := &exportProgress{line: std.progress(), rows: c.table.Name, began: time.Now(), at: file.state.Rows,
		written: file.state.Rows}
	ctx, p.stop = context.WithCancel(ctx)
	if !std.live || file.state.Whole {
		return p
	}
	watch, err := ask.client.Jobs().Watch(c.Connection, file.state.JobID)
	if err != nil {
		return p // the pages show the progress
	}
	p.joining.Go(func() {
		defer watch.Close()
		if job, err := ask.client.Jobs().Get(ctx, c.Connection, file.state.JobID); err == nil {
			p.heard(job)
		}
		for {
			record, err := watch.Next(ctx)
			if err != nil {
				return
			}
			p.heard(&record.Job)
		}
	})
	return p
}

// end takes the line away, and stops listening. It may be called again.
func (p *exportProgress) end() {
	p.stop()
	p.joining.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.line.clear()
}

func (p *exportProgress) wrote(result *messages.Result, rows int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written, p.state = rows, ""
	if result.Total != nil {
		p.total = result.Total
	}
	p.say()
}

func (p *exportProgress) heard(job *messages.Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = waitsFor(job)
	if job.Total != nil {
		p.total = job.Total
	}
	p.say()
}

// barCells is how many characters the bar has.
const barCells = 20

func (p *exportProgress) say() {
	if p.ended {
		return
	}
	text := fmt.Sprintf("%d %s", p.written, p.rows)
	if p.total != nil && *p.total > 0 {
		part := min(float64(p.written)/float64(*p.total), 1)
		full := int(part * barCells)
		text = fmt.Sprintf("[%s%s] %3.0f %%  %s of %d", strings.Repeat("#", full), strings.Repeat("-", barCells-full),
			100*part, text, *p.total)
	}
	if past := time.Since(p.began).Seconds(); past >= 1 && p.written > p.at {
		text += fmt.Sprintf("  %.0f/s", float64(p.written-p.at)/past)
	}
	if p.state != "" {
		text += "  the job " + p.state
	}
	p.line.say("%s", text)
}
