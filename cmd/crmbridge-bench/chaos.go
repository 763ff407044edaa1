package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// chaosCommand runs jobs while everything is killed, paused and cut, and looks at every row
// afterwards.
type chaosCommand struct {
	Rows      int           `default:"500000" help:"Accounts of the environment, all of which every job reads: ${default}."`
	Jobs      int           `default:"3" help:"Jobs that run at once: ${default}."`
	Processes int           `default:"3" help:"Processes of crmbridge: ${default}."`
	Replicas  int           `default:"1" enum:"1,3" help:"NATS servers: 1, or 3 of one cluster."`
	Form      string        `default:"both" enum:"both,parallel,sequential,mixed" help:"How jobs read: parallel, sequential, both one after the other, or mixed."`
	Delay     time.Duration `default:"0s" help:"Delay of a page of the emulated Dataverse. 0s is what makes a disturbed run take minutes."`
	Short     bool          `help:"A form of at most a minute: fewer rows, mixed, no undisturbed run before."`

	Kill       time.Duration `default:"5s" help:"A crmbridge is killed (-9) so often: ${default}; 0s is never, here and below."`
	Pause      time.Duration `default:"7s" help:"A crmbridge is paused (SIGSTOP, 1 to 20 s) so often: ${default}."`
	Hold       time.Duration `default:"0s" help:"A result is held on its way to NATS for 20 to 24 s so often, and arrives when somebody else runs the job. Nothing else is disturbed then. Default never, every 4 s with --mutate=no-guard."`
	KillLeader time.Duration `default:"15s" help:"With three NATS servers the leader of CRM_RESULTS is killed so often: ${default}. A single one is killed twice."`
	Deaf       time.Duration `default:"0s" help:"A crmbridge is cut off from the records of jobs for 25 s so often, and its heartbeats are answered by nobody's server: it goes on with jobs that others took over. Nothing else is disturbed then. Default never, every 6 s with --mutate=msg-id."`

	Mutate  string        `default:"" enum:",no-guard,msg-id" help:"Breaks the lane on the wire, so that the check must fail: no-guard takes the expected last sequence off every result, msg-id gives each the id CONNECTION.JOB.PAGE (seen with 3 servers)."`
	Seed    uint64        `default:"1" help:"Of the disturbances: ${default}."`
	Timeout time.Duration `default:"30m" help:"Of each form: ${default}."`
	Trace   bool          `help:"Print every change of a job's owner, and every disturbance."`

	calms time.Duration // how long a run is disturbed; 0 is to its end
}

// shorten makes it the short form.
func (c *chaosCommand) shorten() {
	c.Rows, c.Jobs, c.Form = min(c.Rows, 60_000), min(c.Jobs, 2), "mixed"
	c.Timeout, c.calms = min(c.Timeout, 4*time.Minute), 26*time.Second
	// A job of a dead process is taken over after 15 to 17 s: who kills more often waits
	// for takeovers most of the time.
	c.Kill, c.Pause, c.KillLeader = max(c.Kill, 8*time.Second), max(c.Pause, 15*time.Second),
		max(c.KillLeader, 15*time.Second)
}

// calm reports whether only what --hold and --deaf say is disturbed: processes that go on
// with jobs of others. That is what guards break, and whatever else cuts a process short
// would hide it.
func (c *chaosCommand) calm() bool { return c.Hold > 0 || c.Deaf > 0 }

// single makes it a run with one kind of disturbance.
func (c *chaosCommand) single() {
	switch {
	case c.Mutate == mutateMsgID && c.Deaf == 0:
		c.Deaf = 6 * time.Second
	case c.Mutate == mutateNoGuard && c.Hold == 0:
		c.Hold = 4 * time.Second
	}
	if !c.calm() {
		return
	}
	c.Kill, c.Pause, c.KillLeader = 0, 0, 0
	delay := 4 * time.Second // a job runs on for longer than a lease
	if c.Short {
		c.Form, c.calms = "parallel", 40*time.Second
		if c.Deaf == 0 {
			c.calms, delay = 15*time.Second, 2*time.Second
		}
	}
	c.Delay = cmp.Or(c.Delay, delay)
}

// connection is what the jobs of a run belong to.
const connection = "acme"

// Run runs the forms and gives the verdict.
func (c *chaosCommand) Run(ctx context.Context, p *printer) error {
	if c.Short {
		c.shorten()
	}
	c.single()
	forms := []string{c.Form}
	if c.Form == "both" {
		forms = []string{"parallel", "sequential"}
	}
	var errs []error
	for _, form := range forms {
		errs = append(errs, c.form(ctx, p, form))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// form runs one form in a world of its own.
func (c *chaosCommand) form(ctx context.Context, p *printer, form string) (err error) {
	p.say("chaos: %s jobs, %d NATS server(s), %d rows, %d jobs, %d processes, seed %d%s", form, c.Replicas, c.Rows, c.Jobs,
		c.Processes, c.Seed, map[bool]string{true: ", mutated: " + c.Mutate}[c.Mutate != ""])
	w, err := newWorld(ctx, p, setup{replicas: c.Replicas, processes: c.Processes, mutate: c.Mutate,
		env:      []string{replicated(c.Replicas)},
		emulator: emulator.Options{Accounts: c.Rows, Contacts: -1, Limits: emulator.Limits{Requests: -1, Execution: -1}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := w.connect(connection); err != nil {
		return err
	}
	if err := w.awaitLane(); err != nil {
		return err
	}
	if c.Mutate == mutateMsgID {
		if err := w.widenDuplicates(); err != nil {
			return err
		}
	}
	r := &chaosRun{chaosCommand: c, world: w, form: form}
	return r.run()
}

// A chaosRun is one form in its world.
type chaosRun struct {
	*chaosCommand
	*world
	form string

	done disturbances
}

// trace says what happens, where that is asked for.
func (r *chaosRun) trace(format string, args ...any) {
	if r.Trace {
		r.say(format, args...)
	}
}

// how says how the i-th job reads, how large its Dataverse pages are, and by how many readers.
func (r *chaosRun) how(i int) (parallel bool, pageSize, readers int) {
	parallel = r.form == "parallel" || r.form == "mixed" && i%2 == 0
	switch {
	case parallel && r.Short:
		return true, 500, mostReaders
	case parallel:
		return true, 5000, mostReaders
	case r.Short:
		return false, 2000, 1
	}
	return false, 5000, 1
}

// mostReaders is how many readers a parallel job has: twice x-ms-dop-hint, which is 4 here.
const mostReaders = 8

// delay makes an undisturbed run take about 20 s, and one that is disturbed minutes:
// a process lives for 15 s on average, which is as long as it must watch a record before it
// takes a job over.
func (r *chaosRun) delay() time.Duration {
	switch {
	case r.Delay > 0:
		return r.Delay
	case r.Short:
		return 700 * time.Millisecond
	case r.form == "sequential":
		return 200 * time.Millisecond
	}
	return 1200 * time.Millisecond
}

func (r *chaosRun) jobs(prefix string) []job {
	var jobs []job
	for i := range r.Jobs {
		parallel, pageSize, _ := r.how(i)
		body := map[string]any{"fields": distinctFields(i), "page_size": pageSize}
		if !parallel {
			body["parallel"] = false
		}
		if i%3 == 1 {
			body["encoding"] = messages.EncodingZstd
		}
		jobs = append(jobs, newJob(accountsSearch, connection, fmt.Sprintf("%s-%d", prefix, i+1), body))
	}
	return jobs
}

func (r *chaosRun) run() error {
	want := r.accountIDs()
	undisturbed, err := r.undisturbed(want)
	if err != nil {
		return fmt.Errorf("undisturbed: %w", err)
	}
	if r.Trace {
		r.claims.say = r.say
	}
	r.upstream.setDelay(r.delay())
	r.upstream.reset()
	r.breakUpstream()
	jobs := r.jobs("chaos")
	begun := time.Now()
	for i := range jobs {
		if err := r.publish(&jobs[i]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.Timeout)
	defer cancel()
	stopDisturbing := r.disturb(ctx)
	err = r.awaitAll(ctx, jobs)
	stopDisturbing()
	took := time.Since(begun)
	r.emulator.Control().Clear()
	if err != nil {
		r.why(jobs)
		return err
	}
	if err := r.awaitNoJobs(); err != nil {
		r.why(jobs)
		return err
	}
	return r.verdict(jobs, want, undisturbed, took)
}

// undisturbed is how many pages Dataverse answers for the jobs when nothing goes wrong:
// measured, or for the short form computed.
func (r *chaosRun) undisturbed(want map[string]bool) (int, error) {
	if r.Short {
		pages := 0
		for i := range r.Jobs {
			_, pageSize, readers := r.how(i)
			// Each reader may end with a page that is not full, and so does each half that an
			// idle one takes.
			pages += (r.Rows+pageSize-1)/pageSize + 4*(readers-1)
		}
		r.say("undisturbed: at most %d Dataverse pages, computed", pages)
		return pages, nil
	}
	r.upstream.setDelay(r.delay() / 10)
	r.upstream.reset()
	jobs := r.jobs("calm")
	begun := time.Now()
	for i := range jobs {
		if err := r.publish(&jobs[i]); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Minute)
	defer cancel()
	if err := r.awaitAll(ctx, jobs); err != nil {
		r.why(jobs)
		return 0, err
	}
	took := time.Since(begun)
	if err := r.awaitNoJobs(); err != nil {
		r.why(jobs)
		return 0, err
	}
	pages := int(r.upstream.pages.Load())
	for _, j := range jobs {
		report, err := r.check(r.ctx, j, want)
		if err != nil {
			return 0, err
		}
		if len(report.faults) > 0 {
			return 0, fmt.Errorf("job %s:\n    %s", j.id, strings.Join(report.faults, "\n    "))
		}
		if err := r.forget(j); err != nil {
			return 0, err
		}
	}
	r.say("undisturbed, with a tenth of the delay: %.1f s, %d Dataverse pages and %d look-ups, every row once",
		took.Seconds(), pages,
		r.upstream.lookups.Load())
	return pages, nil
}

// awaitAll waits for the ends of jobs, and says how far they are.
func (r *chaosRun) awaitAll(ctx context.Context, jobs []job) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, len(jobs))
	for _, j := range jobs {
		go func() {
			_, err := r.awaitEnd(ctx, j)
			ended <- err
		}()
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	var errs []error
	for left := len(jobs); left > 0; {
		select {
		case err := <-ended:
			left--
			errs = append(errs, err)
		case <-tick.C:
			r.say("%d of %d jobs have ended; %d Dataverse pages; %s", len(jobs)-left, len(jobs), r.upstream.pages.Load(),
				&r.done)
		}
	}
	return errors.Join(errs...)
}

// awaitNoJobs waits until the last thing that is done for a job is done.
func (r *chaosRun) awaitNoJobs() error {
	return await(r.ctx, 2*time.Minute, "no job message left", func(ctx context.Context) error {
		left, err := r.left(ctx)
		if err == nil && left > 0 {
			err = fmt.Errorf("%s has %d", messages.JobsStream, left)
		}
		return err
	})
}

// verdict looks at everything that is stored.
func (r *chaosRun) verdict(jobs []job, want map[string]bool, undisturbed int, took time.Duration) error {
	var faults []string
	allowed, takeovers, returns := 0, 0, 0
	for i, j := range jobs {
		report, err := r.check(r.ctx, j, want)
		if err != nil {
			return err
		}
		if report.code != "" {
			report.fault("the job ended with %s", report.code)
		}
		of := r.claims.job(j)
		r.say("job %s: %d messages, %d rows, %d claims, %d takeovers, %d given back, %d faults", j.id, report.pages,
			report.rows, of.made,
			of.takeovers, of.returns, len(report.faults))
		for _, fault := range report.faults {
			faults = append(faults, fmt.Sprintf("job %s: %s", j.id, fault))
		}
		_, _, readers := r.how(i)
		allowed += 2 * readers * of.takeovers
		takeovers += of.takeovers
		returns += of.returns
	}
	pages, most := int(r.upstream.pages.Load()), undisturbed+allowed
	// A process that is cut off from records reads on, beside the job's owner, for as long as it
	// is: that has no bound here.
	if pages > most && r.Deaf == 0 {
		faults = append(faults, fmt.Sprintf("Dataverse answered %d pages, at most %d (%d undisturbed + 2 × readers × takeovers, %d)",
			pages, most, undisturbed, allowed))
	}
	if took < time.Minute && !r.Short {
		faults = append(faults, fmt.Sprintf("the run took %.0f s, which is too little to be disturbed", took.Seconds()))
	}
	r.say("%.1f s; %s; %d takeovers, %d given back; Dataverse pages %d, at most %d (%d undisturbed + 2 × readers × takeovers, %d)",
		took.Seconds(), &r.done, takeovers, returns, pages, most, undisturbed, allowed)
	if len(faults) > 0 {
		return fmt.Errorf("chaos, %s, %d NATS server(s): FAILED\n  %s", r.form, r.Replicas, strings.Join(faults, "\n  "))
	}
	r.say("chaos, %s, %d NATS server(s): ok, %d × %d rows, each exactly once", r.form, r.Replicas, len(jobs), len(want))
	return nil
}
