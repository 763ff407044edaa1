package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type schemaCommand struct {
	Operation string `arg:"" optional:"" predictor:"operation" help:"Operation, for example accounts.search; by default all are listed."`
	AsyncAPI  bool   `name:"asyncapi" help:"Print an AsyncAPI 3.0.0 document: of the operation, or of all."`
	JSON      bool   `help:"Print the list as JSON."`
}

// Help shows examples.
func (c *schemaCommand) Help() string {
	return `The bodies of an operation as JSON Schema (draft 2020-12): request, reply, and job where it may be one.
Nothing is asked over NATS: this is what this version of crmbridge speaks, with all of its tables.

Examples:
  crmbridge schema
  crmbridge schema accounts.search
  crmbridge schema --asyncapi > asyncapi.json
`
}

// Run prints the contract, or a part of it.
func (c *schemaCommand) Run(std *stdio) error {
	tables := messages.Tables()
	op := messages.Operation(c.Operation)
	if all := messages.Operations(tables); c.Operation != "" && !slices.Contains(all, op) {
		return noOperation(c.Operation, all)
	}
	switch {
	case c.AsyncAPI && c.Operation != "":
		return printDocument(std.out, tables, op)
	case c.AsyncAPI:
		return printDocument(std.out, tables)
	case c.Operation != "":
		return printSchemas(std.out, tables, op)
	}
	return c.list(std, tables)
}

// noOperation is the error for an operation that there is not.
func noOperation(name string, all []messages.Operation) error {
	names := make([]string, 0, len(all))
	for _, op := range all {
		names = append(names, string(op))
	}
	if near := messages.Nearest(name, names, 1); len(near) > 0 { // others of its table are always near
		return fmt.Errorf("%w: there is no operation %q; did you mean %s?", bridge.ErrUsage, name,
			near[0])
	}
	return fmt.Errorf("%w: there is no operation %q; crmbridge schema lists them", bridge.ErrUsage, name)
}

func printDocument(to io.Writer, tables []messages.Table, of ...messages.Operation) error {
	document, err := messages.AsyncAPI(tables, bridge.Version(), of...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "%s\n", document)
	return err
}

// printSchemas prints the schemas of an operation's bodies.
func printSchemas(to io.Writer, tables []messages.Table, op messages.Operation) error {
	schemas, err := op.Schemas(tables)
	if err != nil {
		return err
	}
	bodies := struct {
		Request json.RawMessage `json:"request"`
		Reply   json.RawMessage `json:"reply"`
		Job     json.RawMessage `json:"job,omitempty"`
	}{Request: json.RawMessage(schemas.Request), Reply: json.RawMessage(schemas.Reply)}
	if op.MayBeJob(tables) {
		job, err := op.JobSchema(tables)
		if err != nil {
			return err
		}
		bodies.Job = json.RawMessage(job)
	}
	return term.JSON(to, bodies)
}

// An operationEntry is a line of the list.
type operationEntry struct {
	Operation messages.Operation `json:"operation"`
	Subject   string             `json:"subject"`
	Job       string             `json:"job_subject,omitempty"`
	Summary   string             `json:"summary"`
}

func (c *schemaCommand) list(std *stdio, tables []messages.Table) error {
	var entries []operationEntry
	var rows [][]string
	for _, op := range messages.Operations(tables) {
		entry := operationEntry{Operation: op, Subject: op.Subject(), Summary: op.Summary(tables)}
		job := ""
		if op.MayBeJob(tables) {
			entry.Job, job = op.JobSubject("CONNECTION", "JOB"), "yes"
		}
		entries = append(entries, entry)
		rows = append(rows, []string{string(op), job, entry.Summary})
	}
	if c.JSON {
		return term.JSON(std.out, map[string]any{"operations": entries})
	}
	return term.Table(std.out, []string{"operation", "as a job", "what it does"}, rows)
}
