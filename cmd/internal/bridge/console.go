package bridge

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/console"
	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers"
	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Console is where the console is, "" for none, and what protects it: nil on this machine alone.
type Console struct {
	Addr     string
	Password *console.Password
}

// console reads CONSOLE_ADDR. An address that others reach needs a password.
func (r *reader) console(s Settings) (c Console) {
	if c.Addr = s.ConsoleAddr; c.Addr == "" {
		return c
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case err != nil:
		r.fault("CONSOLE_ADDR", "must be an address such as 127.0.0.1:8082")
	case s.ConsolePasswordFile != "":
		c.Password, err = console.ReadPassword(s.ConsolePasswordFile)
		r.check("CONSOLE_PASSWORD_FILE", err)
	case !loopback(host):
		r.fault("CONSOLE_ADDR", "%s is not a loopback address, and whoever reaches it would see every connection; "+
			"right would be 127.0.0.1:%s, or CONSOLE_PASSWORD_FILE as well", cmp.Or(host, "one without a host"), port)
	}
	for _, other := range []struct{ name, addr string }{{"HTTP_ADDR", s.HTTPAddr}, {"ADMIN_ADDR", s.AdminAddr},
		{"PPROF_ADDR", s.PprofAddr}} {
		if sharesPort(c.Addr, other.addr) || sharesPort(other.addr, c.Addr) {
			r.fault("CONSOLE_ADDR", "has the port of %s; give each a port of its own, such as 127.0.0.1:8082", other.name)
		}
	}
	return c
}

// serveConsole serves the console at CONSOLE_ADDR, if there is one. It is there before NATS and
// Redis are, and says what is missing.
func (b *Bridge) serveConsole() error {
	at := b.config.Console
	if at.Addr == "" {
		return nil
	}
	host, _, _ := net.SplitHostPort(at.Addr)
	c := console.New(console.Config{
		Asker: status.Asker{Processes: b.thisProcess, Connection: b.oneConnection,
			Connections: func(ctx context.Context,
				in messages.ConnectionsListRequest) (*messages.ConnectionsListReply, error) {
				return ask[messages.ConnectionsListReply](ctx, b, messages.ConnectionsList, "", in)
			},
			Limits: func(ctx context.Context, connection string) (*messages.LimitsReply, error) {
				return ask[messages.LimitsReply](ctx, b, messages.ConnectionsLimits, connection, messages.ConnectionRequest{})
			},
			Jobs: func(ctx context.Context, in messages.JobsListRequest) (*messages.JobsListReply, error) {
				return ask[messages.JobsListReply](ctx, b, messages.JobsList, "", in)
			}},
		Cursor: handlers.ListCursor, Events: func(ctx context.Context, connection string) ([]events.Latest, error) {
			return b.events.Latest(ctx, connection)
		},
		Checks: b.found, Metrics: b.registry, Failures: b.failures, Tables: messages.TableNames(b.config.Tables),
		Host: host, Password: at.Password, Log: b.log,
	})
	b.onStop(func(context.Context) error { c.Close(); return nil })
	if err := b.serve("CONSOLE_ADDR", at.Addr, c.Server()); err != nil {
		return err
	}
	b.log.Info("the console is served", "address", "http://"+at.Addr+"/")
	return nil
}

// askedBytes bounds an answer to the console, and is what of the memory it holds meanwhile.
const askedBytes = 4 << 20

// ask has an operation answer the console as it answers requesters: in this process, with its
// memory counted, and without a place among theirs. Its errors are those that they see.
func ask[Out, In any](ctx context.Context, b *Bridge, op messages.Operation, scope string, in In) (*Out, error) {
	routes := b.routes.Load()
	if routes == nil {
		return nil, messages.Errorf(messages.Unavailable, "this process is starting: NATS or Redis is not there yet")
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	account, err := b.memory.Open(askedBytes)
	if err != nil {
		return nil, route.Classify(ctx, false, err)
	}
	defer account.Close()
	out := new(Out)
	call := route.Call{Operation: op, RequestID: "console", Scope: scope, Deadline: time.Now().Add(time.Minute),
		Budget: askedBytes}
	for part, err := range (*routes)[op].Serve(budget.With(ctx, account), call, body).Parts {
		if err != nil {
			return nil, route.Classify(ctx, b.stopping.Load(), err)
		}
		if err := json.Unmarshal(part.Body, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// oneConnection is a connection as the list of connections has it: one that cannot be read too.
func (b *Bridge) oneConnection(ctx context.Context, id string) (*messages.Connection, error) {
	if !messages.ValidConnection(id) {
		return nil, messages.Errorf(messages.ConnectionNotFound, "there is no connection of this id")
	}
	list, err := ask[messages.ConnectionsListReply](ctx, b, messages.ConnectionsList, id, messages.ConnectionsListRequest{})
	if err == nil && len(list.Connections) == 0 {
		err = messages.Errorf(messages.ConnectionNotFound, "there is no connection of this id")
	}
	if err != nil {
		return nil, err
	}
	return &list.Connections[0], nil
}

// thisProcess is this process alone: to ask the others is not a right of crmbridge's NATS user.
func (b *Bridge) thisProcess(context.Context) ([]Process, error) {
	if consumer := b.consumer.Load(); consumer != nil {
		return []Process{processIn(consumer.Stats())}, nil
	}
	return nil, messages.Errorf(messages.Unavailable, "this process is starting: NATS or Redis is not there yet")
}

// found is what the checks of /readyz find.
func (b *Bridge) found(ctx context.Context) (all []console.Check) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for _, check := range b.checks() {
		note, err := check.look(ctx)
		one := console.Check{Name: check.name, Text: note}
		if err != nil {
			one = console.Check{Name: check.name, Text: err.Error(), Failed: true}
		}
		all = append(all, one)
	}
	return all
}
