package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type rowsExport struct {
	ofTable
	client
	connection
	sheet
	chosen
	Out        string `required:"" placeholder:"FILE" help:"Write to this file, which ends in .csv or .jsonl."`
	Where      filter `placeholder:"FILTER" predictor:"where" help:"Those that match: an expression, or the tree in JSON."`
	Fields     names  `placeholder:"NAME" predictor:"fields" help:"Columns by friendly or logical name; default ${defaults}."`
	OrderBy    orders `placeholder:"NAME" predictor:"order" help:"Order, for example -created_at,name; by default there is none, and ${rows} are read in parallel."`
	Limit      count  `placeholder:"N" help:"At most this many rows."`
	Split      split  `placeholder:"N" help:"At most this many ${rows} in a file: the files are called NAME-001.csv, NAME-002.csv, …"`
	Total      bool   `help:"Count the matching ${rows} first, so that the progress is one of the whole."`
	Zstd       bool   `help:"Compress the results on their way; the file is not compressed."`
	Sequential bool   `help:"Read one page after the other."`
	Consumer   string `placeholder:"NAME" help:"Read the results from their stream by a consumer of this name, which is faster and takes the right to make one; by default each page is asked for."`
}

// Help shows examples.
func (c *rowsExport) Help() string {
	x, export := examplesFor(c.table), c.command("export")
	return `Writes every row that matches to a file. crmbridge reads them as a job, which goes on when this
command ends. The same command goes on with the same file, after Ctrl-C, a closed terminal, kill -9 or a
power cut, and writes no row twice: FILE.job beside the file holds the job and how far the file is. When
the file is whole, the results and FILE.job are removed.

A .csv file has a header line, and cells as tables show them, with every digit: the label of a choice, the
name of a lookup. --columns gives the columns names of your own, --split makes files of so many rows, each
with the header, and --spreadsheet is for Excel. A .jsonl file has each row as JSON on a line of its own,
with everything. Only the owner may read the files. Without --order-by the order of the rows is not the
same in every export.

Examples:
  ` + export + ` --out demo-` + c.table.Name + `.csv
  ` + export + ` --out audience.csv --columns 'Company Name=name,ID=id' --split 300000
  ` + export + ` --out demo.jsonl --where '` + x.choice + `' \
    --fields ` + strings.Join(c.table.DefaultFields, ",") + ` --zstd

` + c.fieldsHelp() + `

` + c.whereHelp()
}

// Run writes the file, from where an earlier run ended.
func (c *rowsExport) Run(ctx context.Context, std *stdio) error {
	in, err := c.request()
	if err != nil {
		return err
	}
	file, err := openExport(c.Out, in)
	if err != nil {
		return err
	}
	defer file.close()
	c.spare = askedForWaits
	err = c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		err := c.export(ctx, ask, std, file)
		switch ended, failed := errors.AsType[*messages.JobError](err); {
		case err == nil:
			return nil
		case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
			if file.state.JobID != "" {
				fmt.Fprintf(std.err, "%s so far in %s. The job goes on: the same command again goes on with the file, "+
					"and 'crmbridge jobs cancel %s %s' ends it.\n", counted(int(file.state.Rows), c.table.One, c.table.Name),
					file.files(), c.Connection, file.state.JobID)
			}
			return ctx.Err()
		case failed && file.state.Page == 0:
			file.forget() // there is nothing to go on with
			return c.Where.explain(ended)
		case isCode(err, messages.ConnectionNotFound) && file.state.Page == 0:
			file.forget()
			return err
		case failed, isCode(err, messages.NotFound), isCode(err, messages.ConnectionNotFound):
			return fmt.Errorf("%w; left as it is: %s, with %d %s, which are not all; move it away and remove %s to begin again",
				c.Where.explain(err), file.files(), file.state.Rows, c.table.Name, sideFile(c.Out))
		}
		return c.Where.explain(err)
	})
	return c.placed(err)
}

func isCode(err error, code messages.Code) bool {
	fault, ok := errors.AsType[*messages.Error](err)
	return ok && fault.Code == code
}

// request is what the job is asked for, and what a file must have been begun with to go on
// with it.
func (c *rowsExport) request() (exportRequest, error) {
	if !messages.ValidConnection(c.Connection) {
		return exportRequest{}, messages.Invalid("connection",
			"is not a connection id: 1 to 64 letters, digits, _ and -")
	}
	if c.Consumer != "" && !messages.ValidConnection(c.Consumer) {
		return exportRequest{}, fmt.Errorf("%w: --consumer must be 1 to 64 letters, digits, _ and -", bridge.ErrUsage)
	}
	if err := c.checkFile(); err != nil {
		return exportRequest{}, err
	}
	where, err := c.Where.tree()
	if err != nil {
		return exportRequest{}, err
	}
	in := exportRequest{Table: c.table.Name, Search: messages.SearchRequest{Target: c.target(), Where: where,
		Fields: c.Fields, OrderBy: c.OrderBy, Limit: messages.Count(c.Limit), IncludeTotal: c.Total},
		Shape: exportShape{c.Columns, int64(c.Split), c.Spreadsheet}}
	if c.Zstd {
		in.Options.Encoding = messages.EncodingZstd
	}
	if c.Sequential {
		parallel := false
		in.Options.Parallel = &parallel
	}
	return in, nil
}

// checkFile finds flags that the file cannot have, and the fields of its columns.
func (c *rowsExport) checkFile() error {
	ending := endingOf(c.Out)
	switch {
	case ending != csvEnding && ending != jsonlEnding:
		return fmt.Errorf("%w: --out: %s must end in %s or %s", bridge.ErrUsage, c.Out, csvEnding, jsonlEnding)
	case ending != csvEnding && c.Spreadsheet:
		return fmt.Errorf("%w: --spreadsheet is for a file that ends in %s", bridge.ErrUsage, csvEnding)
	case len(c.Columns) == 0:
		return nil
	case ending != csvEnding:
		return fmt.Errorf("%w: --columns is for a file that ends in %s; --fields says what is in another", bridge.ErrUsage,
			csvEnding)
	case len(c.Fields) > 0:
		return fmt.Errorf("%w: --columns says which fields there are, --fields too; give one", bridge.ErrUsage)
	}
	c.Fields = c.Columns.fields()
	return c.Columns.check(c.table)
}

// export publishes the job where that has not been done, and writes its results to the file.
func (c *rowsExport) export(ctx context.Context, ask *asker, std *stdio, file *exportFile) error {
	if file.state.JobID == "" {
		if err := c.Columns.look(ctx, ask, c.table, c.target()); err != nil {
			return err
		}
	}
	if err := c.publish(ctx, ask, file); err != nil {
		return err
	}
	progress := c.follow(ctx, ask, std, file)
	defer progress.end()
	if !file.state.Whole {
		if err := c.write(ctx, ask, file, progress); err != nil {
			return err
		}
	}
	progress.end()
	remove := func(ctx context.Context, id string) (bool, error) {
		return ask.client.Jobs().Delete(ctx, c.Connection, id)
	}
	if _, err := once(ctx, ask, remove, file.state.JobID); err != nil && !isCode(err, messages.NotFound) {
		fmt.Fprintf(std.err, "The file is whole, and the results could not be removed (%s): "+
			"'crmbridge jobs delete %s %s' does it, or they are gone after 48 h.\n", term.Safe(err.Error()),
			c.Connection,
			file.state.JobID)
	}
	if err := file.finish(); err != nil {
		return err
	}
	answer := struct {
		Connection string   `json:"connection"`
		Job        string   `json:"job_id"`
		File       string   `json:"file,omitzero"`
		Files      []string `json:"files,omitempty"` // the parts, in the file's place
		Rows       int64    `json:"rows"`
		Pages      int      `json:"pages"`
	}{c.Connection, file.state.JobID, c.Out, file.parts(), file.state.Rows, file.state.Page}
	if answer.Files != nil {
		answer.File = ""
	}
	return c.print(std, answer, func() error {
		return term.Prose(std.err, 2, fmt.Sprintf("%s in %s",
			counted(int(file.state.Rows), c.table.One, c.table.Name), file.files()))
	})
}

// publish publishes the job once. Its id is in the side file before, so that a run after a
// crash publishes the same one.
func (c *rowsExport) publish(ctx context.Context, ask *asker, file *exportFile) error {
	if file.state.Published {
		return nil
	}
	if file.state.JobID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make the job's id: %w", err)
		}
		file.state.JobID = id.String()
		if err := file.save(); err != nil {
			return err
		}
	}
	how := messages.JobPublication{JobOptions: file.state.Request.Options, ID: file.state.JobID}
	publish := func(ctx context.Context, in messages.SearchRequest) (*messages.PublishedJob, error) {
		return ask.client.Table(c.table).SearchJob(ctx, in, how)
	}
	if _, err := once(ctx, ask, publish, file.state.Request.Search); err != nil {
		return err
	}
	file.state.Published = true
	return file.save()
}

// write appends page after page.
func (c *rowsExport) write(ctx context.Context, ask *asker, file *exportFile, progress *exportProgress) error {
	format := newRowFormat(c.Out, c.table, c.Fields, file.state.Request.Shape)
	options := messages.ResultsOptions{From: file.state.Page + 1, Stream: c.Consumer != "", Consumer: c.Consumer}
	for result, err := range ask.client.Jobs().Results(ctx, c.Connection, file.state.JobID, options) {
		if err != nil {
			return err
		}
		page, err := format.page(result)
		if err != nil {
			return err
		}
		if err := file.append(page, result); err != nil {
			return err
		}
		progress.wrote(result, file)
	}
	if !file.state.Whole {
		return messages.Errorf(messages.Internal, "the results ended before their last page")
	}
	return nil
}
