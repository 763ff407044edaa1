package main

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// An exportProgress shows how far an export is: what is in the file, of how much, how fast, and
// what the job waits for. It hears of the job by its records; a user who may not subscribe to them
// sees the pages alone.
type exportProgress struct {
	std     *stdio
	bar     *bar
	stop    context.CancelFunc
	joining sync.WaitGroup

	mu    sync.Mutex
	waits *messages.Job // the job where it waits; nil where it does not
}

// follow begins to show an export, and listens to the job until end.
func (c *rowsExport) follow(ctx context.Context, ask *asker, std *stdio, file *exportFile) *exportProgress {
	p := &exportProgress{std: std, bar: std.bar(c.table.Name, file.state.Rows)}
	ctx, p.stop = context.WithCancel(ctx)
	if c.Limit > 0 {
		p.bar.atMost(int64(c.Limit))
	}
	if file.state.Whole {
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
	p.joining.Go(func() { p.ask(ctx, ask, c.Connection) })
	return p
}

// ask explains by the limits of a connection, as long as this user may ask for them: each question
// beyond the first one that is not permitted would be one more refusal in the server's log.
func (p *exportProgress) ask(ctx context.Context, ask *asker, connection string) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(ask.spared, end)()
	p.explain(ctx, func(ctx context.Context) (*messages.LimitsReply, error) {
		ctx, cancel := context.WithTimeout(ctx, waitsPatience)
		defer cancel()
		return ask.client.Limits(ctx, connection)
	})
}

// explain finds out what a job waits for that has not begun, and so has met nothing to tell of.
func (p *exportProgress) explain(ctx context.Context,
	ask func(context.Context) (*messages.LimitsReply, error)) {
	tick := time.NewTicker(waitsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !p.isUnsaid() {
			continue
		}
		limits, err := ask(ctx)
		if err != nil {
			continue // it may be known the next time
		}
		p.mu.Lock()
		if p.waits != nil {
			p.bar.says("the job " + waitsFor(p.std, p.waits, limits))
		}
		p.mu.Unlock()
	}
}

func (p *exportProgress) isUnsaid() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waits != nil && waitsUnsaid(p.waits)
}

// end takes the line away, and stops listening. It may be called again.
func (p *exportProgress) end() {
	p.stop()
	p.joining.Wait()
	p.bar.end()
}

func (p *exportProgress) wrote(result *messages.Result, file *exportFile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits = nil
	p.bar.set(file.state.Rows)
	p.bar.of(result.Total)
	if file.state.Request.Shape.Split > 0 {
		p.bar.says(filepath.Base(file.part(file.state.Part)))
	} else {
		p.bar.says("")
	}
}

// heard shows what the job waits for, until it runs.
func (p *exportProgress) heard(job *messages.Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.of(job.Total)
	switch waits := waitsFor(p.std, job, nil); {
	case waits != "":
		p.waits = job
		p.bar.says("the job " + waits)
	case p.waits != nil:
		p.waits = nil
		p.bar.says("")
	}
}
