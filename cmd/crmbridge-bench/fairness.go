package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// fairnessCommand measures what one connection's backlog costs another one.
type fairnessCommand struct {
	Jobs     int  `default:"10000" help:"Jobs of the connection that asks most: ${default}."`
	Others   int  `default:"1000" help:"Other connections with jobs of their own: ${default}."`
	Each     int  `default:"100" help:"Jobs of each of them: ${default}."`
	Replicas int  `default:"1" enum:"1,3" help:"NATS servers: 1, or 3 of one cluster."`
	Sync     bool `help:"NATS with sync_interval: always."`
}

// Run measures and gives the verdict.
func (c *fairnessCommand) Run(ctx context.Context, p *printer) (err error) {
	w, err := newWorld(ctx, p, setup{replicas: c.Replicas, sync: c.Sync, processes: 2,
		env: []string{replicated(c.Replicas), "MAX_IN_FLIGHT=32", "LOG_LEVEL=warn"},
		emulator: emulator.Options{Accounts: 10_000, Contacts: -1, Users: people(64), Latency: 50 * time.Millisecond,
			Limits: emulator.Limits{Requests: -1, Execution: -1, Concurrent: -1}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	begun := time.Now()
	others := numbered("other", c.Others)
	if err := w.connectAll(append([]string{"a", "b"}, others...)); err != nil {
		return err
	}
	p.say("%d connections in %.0f s", 2+len(others), time.Since(begun).Seconds())
	if err := w.awaitLane(); err != nil {
		return err
	}
	e, err := w.hearEnds()
	if err != nil {
		return err
	}
	f := &fairness{fairnessCommand: c, world: w, ends: e, promises: &promises{printer: p}}
	for _, part := range []func() error{f.backlog, f.crowd, f.exports} {
		if err := part(); err != nil {
			return err
		}
	}
	return f.verdict("fairness")
}

type fairness struct {
	*fairnessCommand
	*world
	*ends
	*promises
	runs int
}

func (f *fairness) say(format string, args ...any) { f.world.say(format, args...) }

// bs are times of jobs of B, one after the other.
func (f *fairness) bs(n int) ([]time.Duration, error) {
	f.runs++
	return f.timed(f.ends, n, func(i int) job { return small("b", fmt.Sprintf("b%d-%d", f.runs, i)) })
}

// backlog: jobs of A, then one of B.
func (f *fairness) backlog() error {
	if _, err := f.bs(3); err != nil { // tokens are fetched
		return err
	}
	alone, err := f.bs(11)
	if err != nil {
		return err
	}
	if err := f.fill(f.Jobs, func(i int) job { return small("a", fmt.Sprintf("a-%d", i)) }); err != nil {
		return err
	}
	behind, err := f.bs(5)
	if err != nil {
		return err
	}
	left, err := f.left(f.ctx)
	if err != nil {
		return err
	}
	f.keep(left > uint64(f.Jobs)/20, "when B was done, %d of %d jobs of A were left", left, f.Jobs)
	f.keep(ratio(median(behind), median(alone)) <= 2,
		"a job of B behind %d of A: median %.0f ms, %.2f × its %.0f ms alone (at most 2); "+
			"the first %.0f ms", f.Jobs, ms(median(behind)), ratio(median(behind), median(alone)), ms(median(alone)),
		ms(behind[0]))
	return f.awaitEmpty(5 * time.Minute)
}

// crowd: A, and many connections with work.
func (f *fairness) crowd() error {
	alone, err := f.bs(11)
	if err != nil {
		return err
	}
	if err := f.fill(f.Jobs, func(i int) job { return small("a", fmt.Sprintf("c-%d", i)) }); err != nil {
		return err
	}
	if err := f.fill(f.Others*f.Each, func(i int) job {
		return small(fmt.Sprintf("other%d", i%f.Others+1), fmt.Sprintf("c-%d", i))
	}); err != nil {
		return err
	}
	f.say("%d jobs are stored", f.Jobs+f.Others*f.Each)
	beside, err := f.bs(10)
	if err != nil {
		return err
	}
	left, err := f.left(f.ctx)
	if err != nil {
		return err
	}
	f.keep(left > uint64(f.Others), "when B was done, %d jobs were left", left)
	f.keep(ratio(median(beside), median(alone)) <= 2,
		"jobs of B beside %d connections with %d jobs each: median %.0f ms, %.2f × "+
			"its %.0f ms alone (at most 2); the first %.0f ms", f.Others, f.Each, ms(median(beside)),
		ratio(median(beside), median(alone)),
		ms(median(alone)), ms(beside[0]))
	// What is left is of no interest.
	stream, err := f.js.Stream(f.ctx, messages.JobsStream)
	if err != nil {
		return err
	}
	if err := stream.Purge(f.ctx); err != nil {
		return err
	}
	begun := time.Now()
	if err := f.forgotten(); err != nil {
		return err
	}
	f.say("%.0f s after the purge no process waits for a job of it", time.Since(begun).Seconds())
	return f.quiet()
}

// forgotten waits until every process has noticed that the jobs of a purged stream are gone:
// it claims them in vain, in turn with all connections, until its count of messages has
// differed for minutes and it reads the stream from the start.
func (f *fairness) forgotten() error {
	return await(f.ctx, 6*time.Minute, "jobs that were purged are forgotten", func(ctx context.Context) error {
		for _, c := range f.fleet {
			if waits := c.jobMetrics(ctx); strings.Contains(waits, "pending ") {
				return fmt.Errorf("%s: %s", c.name, waits)
			}
		}
		return nil
	})
}

// quiet waits until no page is being read.
func (f *fairness) quiet() error {
	before := -1
	return await(f.ctx, time.Minute, "nothing runs", func(ctx context.Context) error {
		now := f.count()
		defer func() { before = now }()
		_ = sleep(ctx, 2*time.Second)
		if now != before {
			return errors.New("jobs still end")
		}
		return nil
	})
}

const pageDelay = 300 * time.Millisecond

// exports: A has 40 exports of 100 pages; B has a job of one page, and A searches.
func (f *fairness) exports() error {
	f.upstream.setDelay(pageDelay)
	one := func(connection, id string) job {
		return newJob(accountsSearch, connection, id, map[string]any{"limit": 1, "fields": []string{"id"}})
	}
	pages := func(n int, round string) ([]time.Duration, error) {
		return f.timed(f.ends, n, func(i int) job { return one("b", fmt.Sprintf("page-%s-%d", round, i)) })
	}
	alone, err := pages(7, "alone")
	if err != nil {
		return err
	}
	searchAlone, err := f.searches(40)
	if err != nil {
		return err
	}
	if err := f.fill(40, func(i int) job {
		return newJob(accountsSearch, "a", fmt.Sprintf("export-%d", i), map[string]any{"page_size": 100, "parallel": false,
			"fields": distinctFields(i)})
	}); err != nil {
		return err
	}
	if err := await(f.ctx, time.Minute, "exports that run", func(context.Context) error {
		if f.upstream.inFlight.Load() < 10 {
			return fmt.Errorf("%d pages are being read", f.upstream.inFlight.Load())
		}
		return nil
	}); err != nil {
		return err
	}
	f.say("%d pages of A are being read at once", f.upstream.inFlight.Load())
	beside, err := pages(7, "beside")
	if err != nil {
		return err
	}
	searchBeside, err := f.searches(40)
	if err != nil {
		return err
	}
	f.keep(f.upstream.inFlight.Load() >= 10, "A's exports still run: %d pages at once", f.upstream.inFlight.Load())
	f.keep(median(beside) <= median(alone)+pageDelay,
		"a one-page job of B beside 40 exports of A: median %.0f ms; alone %.0f ms and one "+
			"page of %.0f", ms(median(beside)), ms(median(alone)), ms(pageDelay))
	f.keep(ratio(quantile(searchBeside, .95), quantile(searchAlone, .95)) <= 1.5,
		"a search of A beside its exports: p95 %.0f ms, %.2f × "+
			"%.0f ms alone (at most 1.5)", ms(quantile(searchBeside, .95)),
		ratio(quantile(searchBeside, .95), quantile(searchAlone, .95)),
		ms(quantile(searchAlone, .95)))
	return nil
}

// searches are times of interactive searches of A.
func (f *fairness) searches(n int) ([]time.Duration, error) {
	client := messages.NewClient(f.nc)
	var took []time.Duration
	for range n {
		ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
		begun := time.Now()
		_, err := client.Table(messages.Accounts).Search(ctx, messages.SearchRequest{Target: messages.Target{Connection: "a"},
			PageSize: messages.Count(1), Fields: []string{"id"}})
		cancel()
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
