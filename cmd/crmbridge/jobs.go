package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type jobsCommands struct {
	List   jobsList   `cmd:"" help:"List the jobs of a connection, or those that wait and run."`
	Get    jobsGet    `cmd:"" help:"Show one job."`
	Cancel jobsCancel `cmd:"" help:"End a job."`
	Retry  jobsRetry  `cmd:"" help:"Run a job that failed again."`
	Delete jobsDelete `cmd:"" help:"Remove an ended job's results, record and dead letter."`
}

// job are the arguments of a command about one job.
type job struct {
	connection
	Job string `arg:"" name:"job" predictor:"job" help:"Id of the job."`
}

// Help shows examples.
func (c *jobsCommands) Help() string {
	return `A job is a search that goes on without the one who asked; 'crmbridge accounts export' makes one.

Examples:
  crmbridge jobs list demo
  crmbridge jobs list
`
}

type jobsList struct {
	client
	Connection string `arg:"" optional:"" predictor:"connection" help:"Id of the connection; by default what waits and runs of all, as far as the process that answers knows."`
}

// Help shows examples.
func (c *jobsList) Help() string {
	return `Jobs are kept for 7 days after they have ended.

Examples:
  crmbridge jobs list demo
  crmbridge jobs list demo --json | jq -r '.jobs[] | select(.state == "failed").id'`
}

// Run prints all jobs, page by page.
func (c *jobsList) Run(ctx context.Context, std *stdio) error {
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		all, err := c.all(ctx, ask, std)
		if err != nil {
			return err
		}
		return c.print(std, all, func() error { return showJobs(std, all.Jobs) })
	})
}

// all reads all pages into one.
func (c *jobsList) all(ctx context.Context, ask *asker, std *stdio) (*messages.JobsListReply, error) {
	in := messages.JobsListRequest{Target: messages.Target{Connection: c.Connection},
		PageSize: messages.MaxJobsPageSize}
	var jobs []messages.Job
	progress := std.bar("jobs", 0)
	defer progress.end()
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Jobs().List, in)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, page.Jobs...)
		if page.NextCursor == "" {
			page.Jobs = jobs
			return page, nil
		}
		if page.NextCursor == in.Cursor {
			return nil, errNoProgress()
		}
		in.Cursor = page.NextCursor
		progress.set(int64(len(jobs)))
	}
	return nil, errNoProgress()
}

func showJobs(std *stdio, jobs []messages.Job) error {
	rows := make([][]string, len(jobs))
	for i, job := range jobs {
		code := ""
		if job.Error != nil {
			code = string(job.Error.Code)
		}
		rows[i] = []string{job.ID, job.Connection, string(job.Operation), string(job.State), countOf(job),
			strconv.Itoa(job.Pages), term.When(&job.QueuedAt), term.When(job.FinishedAt), code}
	}
	header := []string{"job", "connection", "operation", "state", "rows", "pages", "queued", "finished", "error"}
	if err := term.Table(std.out, header, rows); err != nil {
		return err
	}
	return term.Prose(std.err, 2, counted(len(jobs), "job", "jobs"))
}

// countOf is how many rows of a job are stored, of how many.
func countOf(job messages.Job) string {
	count := strconv.FormatInt(job.Rows, 10)
	if job.Total != nil && *job.Total != job.Rows {
		count += " of " + strconv.FormatInt(*job.Total, 10)
	}
	return count
}

type jobsGet struct {
	client
	job
}

// Help shows examples.
func (c *jobsGet) Help() string {
	return `Examples:
  crmbridge jobs get demo job-1
  crmbridge jobs get demo job-1 --json | jq -r .job.state
`
}

// Run prints one job.
func (c *jobsGet) Run(ctx context.Context, std *stdio) error {
	return c.show(ctx, std, c.Connection, c.Job, (*messages.JobsClient).Get)
}

type jobsCancel struct {
	client
	job
}

// Help says what becomes of the results.
func (c *jobsCancel) Help() string {
	return `Ends a job that waits or runs; one that has ended stays as it is. The pages that are stored
stay until they are deleted or 48 h old.

Example:
  crmbridge jobs cancel demo job-1`
}

// Run ends one job and prints it.
func (c *jobsCancel) Run(ctx context.Context, std *stdio) error {
	return c.show(ctx, std, c.Connection, c.Job, (*messages.JobsClient).Cancel)
}

// show asks for something that is answered with the job, and prints it.
func (c *client) show(ctx context.Context, std *stdio, connection, id string,
	question func(*messages.JobsClient, context.Context, string, string) (*messages.Job, error)) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		job, err := question(ask.Jobs(), ctx, connection, id)
		if err != nil {
			return err
		}
		return c.print(std, map[string]any{"job": job}, func() error { return showJob(std, job) })
	})
}

func showJob(std *stdio, job *messages.Job) error {
	pairs := [][2]string{
		{"job", job.ID}, {"connection", job.Connection}, {"operation", string(job.Operation)},
		{"state", string(job.State)}, {"rows", countOf(*job)}, {"pages", strconv.Itoa(job.Pages)},
		{"bytes", strconv.FormatInt(job.Bytes, 10)}, {"attempts", strconv.Itoa(job.Attempts)},
		{"takeovers", strconv.Itoa(job.Takeovers)}, {"queued", term.When(&job.QueuedAt)},
	}
	for _, pair := range [][2]string{{"started", term.When(job.StartedAt)}, {"waits until", term.When(job.RetryAt)},
		{"finished", term.When(job.FinishedAt)}, {"retry of", job.RetryOf}} {
		pairs = append(pairs, onlyIf(pair[0], pair[1])...)
	}
	if job.Error != nil {
		pairs = append(pairs, [2]string{"error", inCommands.Replace(job.Error.Error())})
	}
	return term.Pairs(std.out, pairs)
}

type jobsRetry struct {
	client
	job
	As string `placeholder:"JOB" help:"Id of the job that runs it again; by default a new one."`
}

// Help shows an example.
func (c *jobsRetry) Help() string {
	return `Runs the request of a job that failed again, as a job of its own.

Examples:
  crmbridge jobs retry demo job-1
  crmbridge jobs retry demo job-1 --as job-2`
}

// Run publishes the job again and prints the new one.
func (c *jobsRetry) Run(ctx context.Context, std *stdio) error {
	again := func(jobs *messages.JobsClient, ctx context.Context, connection, id string) (*messages.Job, error) {
		return jobs.Retry(ctx, messages.JobRetryRequest{Target: messages.Target{Connection: connection}, JobID: id,
			NewJobID: c.As})
	}
	return c.show(ctx, std, c.Connection, c.Job, again)
}

type jobsDelete struct {
	client
	job
	Yes bool `name:"yes" short:"y" help:"Do not ask first."`
}

// Help shows examples.
func (c *jobsDelete) Help() string {
	return `Examples:
  crmbridge jobs delete demo job-1
  crmbridge jobs delete demo job-1 --yes
`
}

// Run deletes one job. On a terminal it asks first: the results are gone then.
func (c *jobsDelete) Run(ctx context.Context, std *stdio) error {
	if !c.Yes && !std.agrees("Delete job "+c.Job+" of "+c.Connection+" and its results?") {
		return messages.Errorf(messages.Cancelled, "nothing was deleted")
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		deleted, err := ask.Jobs().Delete(ctx, c.Connection, c.Job)
		if err != nil {
			return err
		}
		answer := struct {
			Connection string `json:"connection"`
			Job        string `json:"job_id"`
			Deleted    bool   `json:"deleted"`
		}{c.Connection, c.Job, deleted}
		return c.print(std, answer, func() error {
			said := "%s is deleted\n"
			if !deleted {
				said = "there was no job %s, and so nothing was deleted\n"
			}
			_, err := fmt.Fprintf(std.out, said, c.Job)
			return err
		})
	})
}

// waitsFor says in a few words what a job that does not run waits for; "" where it runs.
func waitsFor(job *messages.Job) string {
	switch {
	case job.State != messages.JobQueued:
		return ""
	case job.RetryAt != nil && job.RetryAt.After(time.Now()) && job.Error != nil:
		return "waits until " + term.When(job.RetryAt) + ": " + term.Safe(strings.ToLower(string(job.Error.Code)))
	case job.RetryAt != nil && job.RetryAt.After(time.Now()):
		return "waits until " + term.When(job.RetryAt)
	}
	return "waits for its turn"
}
