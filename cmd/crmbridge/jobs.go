package main

import (
	"context"
	"fmt"
	"strconv"

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

// asked is the request of an operation on the job.
func (j job) asked() *messages.JobRequest {
	return &messages.JobRequest{Target: j.target(), JobID: j.Job}
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
	shown
	Connection string `arg:"" optional:"" predictor:"connection" help:"Id of the connection; by default what waits and runs of all, as far as the process that answers knows."`
}

// Help shows examples.
func (c *jobsList) Help() string {
	return `Jobs are kept for 7 days after they have ended. With --json there is a document for each page.

Examples:
  crmbridge jobs list demo
  crmbridge jobs list demo --json | jq -r '.jobs[] | select(.state == "failed").id'`
}

// Run prints all jobs; as JSON a document for each page.
func (c *jobsList) Run(ctx context.Context, std *stdio) error {
	std.utc, c.spare = c.UTC, askedForWaits
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		jobs, err := c.all(ctx, ask, std)
		if err != nil || c.JSON {
			return err
		}
		return showJobs(std, jobs, reasons(ctx, ask.client, jobs...))
	})
}

// all reads all pages. As JSON it prints each, and keeps none.
func (c *jobsList) all(ctx context.Context, ask *asker, std *stdio) (jobs []messages.Job, err error) {
	in := messages.JobsListRequest{Target: messages.Target{Connection: c.Connection},
		PageSize: messages.MaxJobsPageSize}
	progress, read := std.bar("jobs", 0), 0
	defer progress.end()
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Jobs().List, in)
		if err != nil {
			return nil, err
		}
		if read += len(page.Jobs); !c.JSON {
			jobs = append(jobs, page.Jobs...)
		} else if err := term.JSON(std.out, page); err != nil {
			return nil, err
		}
		if page.NextCursor == "" {
			return jobs, nil
		}
		if page.NextCursor == in.Cursor {
			return nil, errNoProgress()
		}
		in.Cursor = page.NextCursor
		progress.set(int64(read))
	}
	return nil, errNoProgress()
}

// showJobs prints a table; why a job waits, too, stands where its error does.
func showJobs(std *stdio, jobs []messages.Job, limits map[string]*messages.LimitsReply) error {
	rows := make([][]string, len(jobs))
	for i, job := range jobs {
		code := ""
		if job.Error != nil {
			code = string(job.Error.Code)
		}
		if until := waitsUntil(std, &job, limits[job.Connection]); until != "" {
			code = until
		}
		rows[i] = []string{job.ID, job.Connection, string(job.Operation), string(job.State), countOf(job),
			strconv.Itoa(job.Pages), std.when(&job.QueuedAt), std.when(job.FinishedAt), code}
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
	shown
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
	std.utc = c.UTC
	return c.show(ctx, std, func(ctx context.Context, ask *messages.Client) (*messages.JobReply, error) {
		return messages.Ask[messages.JobReply](ctx, ask, messages.JobsGet, c.asked())
	})
}

type jobsCancel struct {
	client
	shown
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
	std.utc = c.UTC
	return c.show(ctx, std, func(ctx context.Context, ask *messages.Client) (*messages.JobReply, error) {
		return messages.Ask[messages.JobReply](ctx, ask, messages.JobsCancel, c.asked())
	})
}

// show asks for something that is answered with the job, and prints it.
func (c *client) show(ctx context.Context, std *stdio,
	question func(context.Context, *messages.Client) (*messages.JobReply, error)) error {
	c.spare = askedForWaits
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		reply, err := question(ctx, ask)
		if err != nil {
			return err
		}
		return c.print(std, reply, func() error {
			return showJob(std, &reply.Job, reasons(ctx, ask, reply.Job)[reply.Job.Connection])
		})
	})
}

func showJob(std *stdio, job *messages.Job, limits *messages.LimitsReply) error {
	pairs := [][2]string{
		{"job", job.ID}, {"connection", job.Connection}, {"operation", string(job.Operation)},
		{"state", string(job.State)}, {"rows", countOf(*job)}, {"pages", strconv.Itoa(job.Pages)},
		{"bytes", strconv.FormatInt(job.Bytes, 10)}, {"attempts", strconv.Itoa(job.Attempts)},
		{"takeovers", strconv.Itoa(job.Takeovers)}, {"queued", std.when(&job.QueuedAt)},
	}
	for _, pair := range [][2]string{{"started", std.when(job.StartedAt)}, {"waits", waitsUntil(std, job, limits)},
		{"finished", std.when(job.FinishedAt)}, {"retry of", job.RetryOf}} {
		pairs = append(pairs, onlyIf(pair[0], pair[1])...)
	}
	if job.Error != nil {
		pairs = append(pairs, [2]string{"error", inCommands.Replace(job.Error.Error())})
	}
	return term.Pairs(std.out, pairs)
}

type jobsRetry struct {
	client
	shown
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
	std.utc = c.UTC
	return c.show(ctx, std, func(ctx context.Context, ask *messages.Client) (*messages.JobReply, error) {
		return messages.Ask[messages.JobReply](ctx, ask, messages.JobsRetry,
			&messages.JobRetryRequest{Target: c.target(), JobID: c.Job, NewJobID: c.As})
	})
}

type jobsDelete struct {
	client
	job
	Yes bool `name:"yes" short:"y" help:"Do not ask first. Where nobody can be asked nothing is deleted without it."`
}

// Help shows examples.
func (c *jobsDelete) Help() string {
	return `Examples:
  crmbridge jobs delete demo job-1
  crmbridge jobs delete demo job-1 --yes
`
}

// Run deletes one job. It asks first: the results are gone then.
func (c *jobsDelete) Run(ctx context.Context, std *stdio) error {
	if !c.Yes {
		if err := std.agrees("Delete job " + c.Job + " of " + c.Connection + " and its results?"); err != nil {
			return err
		}
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		reply, err := messages.Ask[messages.DeletedReply](ctx, ask, messages.JobsDelete, c.asked())
		if err != nil {
			return err
		}
		return c.print(std, reply, func() error {
			said := "%s is deleted\n"
			if !reply.Deleted {
				said = "there was no job %s, and so nothing was deleted\n"
			}
			_, err := fmt.Fprintf(std.out, said, c.Job)
			return err
		})
	})
}
