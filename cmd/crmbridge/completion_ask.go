package main

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/messages"
)

// connections are the ids of connections.
func (c *completing) connections() []string {
	return c.ask(func(ctx context.Context, client *messages.Client, found func(string)) {
		page, err := client.Connections(ctx, messages.ConnectionsListRequest{PageSize: messages.MaxConnectionsPageSize})
		if err != nil {
			return
		}
		for _, connection := range page.Connections {
			found(connection.ID)
		}
	})
}

// jobs are the ids of the connection's jobs.
func (c *completing) jobs() []string {
	connection := c.connection()
	return c.ask(func(ctx context.Context, client *messages.Client, found func(string)) {
		page, err := client.Jobs().List(ctx, messages.JobsListRequest{
			Target: messages.Target{Connection: connection}, PageSize: messages.MaxJobsPageSize})
		if err != nil {
			return
		}
		for _, job := range page.Jobs {
			found(job.ID)
		}
	})
}

// mostFieldPages bounds how often an environment is asked for more fields.
const mostFieldPages = 20

// fields are the names of the table's fields: those that are there in every environment, and with
// the environment's own where it answers. Searchable are those that filters and orders take.
func (c *completing) fields(searchable bool) []string {
	table, ok := c.table()
	if !ok {
		return nil
	}
	names := table.FieldNames()
	in := messages.FieldsRequest{Target: messages.Target{Connection: c.connection()}}
	if in.Connection == "" {
		return names
	}
	return append(names, c.ask(func(ctx context.Context, client *messages.Client, found func(string)) {
		for range mostFieldPages {
			page, err := client.Table(table).Fields(ctx, in)
			if err != nil {
				return
			}
			for _, field := range page.Fields {
				if field.Readable && (field.Searchable || !searchable) {
					found(field.Name)
				}
			}
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				return
			}
		}
	})...)
}

// ask asks over NATS for as long as there is time, and returns what was found by then.
func (c *completing) ask(question func(ctx context.Context, client *messages.Client, found func(string))) []string {
	settings, ok := c.nats()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	names := make(chan string)
	// Where a name server or a handshake takes longer, the process ends with it.
	go func() {
		defer close(names)
		deadline, _ := ctx.Deadline()
		nc, err := settings.Connect("crmbridge completion", nats.Timeout(time.Until(deadline)), nats.NoReconnect(),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { cancel() })) // nothing is permitted
		if err != nil {
			return
		}
		defer nc.Close()
		question(ctx, messages.NewClient(nc), func(name string) {
			select {
			case names <- name:
			case <-ctx.Done():
			}
		})
	}()
	var all []string
	for {
		select {
		case name, more := <-names:
			if !more {
				return all
			}
			all = append(all, name)
		case <-ctx.Done():
			return all
		}
	}
}

// nats are the NATS settings of the line and the environment, as the command would have them.
func (c *completing) nats() (settings bridge.ClientNATS, ok bool) {
	parser, err := kong.New(&settings, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}), kong.NoDefaultHelp())
	if err != nil {
		return settings, false
	}
	var args []string
	for _, flag := range parser.Model.Flags {
		value, given := c.flags[flag.Name]
		for _, variable := range flag.Envs {
			if assigned, there := c.assigned[variable]; there && !given {
				value, given = assigned, true
			}
		}
		if given && !strings.Contains(value, "$") { // nothing is expanded here
			args = append(args, "--"+flag.Name+"="+value)
		}
	}
	_, err = parser.Parse(args)
	return settings, err == nil
}
