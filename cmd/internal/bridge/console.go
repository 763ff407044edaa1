package bridge

import (
	"cmp"
	"context"
	"net"
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

// consoleAddr reads CONSOLE_ADDR and the password, nil on this machine alone: an address that
// others reach needs one.
func (r *reader) consoleAddr(s Settings) (addr string, password *console.Password) {
	if s.ConsoleAddr == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(r.addr("CONSOLE_ADDR", s.ConsoleAddr))
	switch {
	case err != nil:
	case s.ConsolePasswordFile != "":
		password, err = console.ReadPassword(s.ConsolePasswordFile)
		r.check("CONSOLE_PASSWORD_FILE", err)
	case !loopback(host):
		r.fault("CONSOLE_ADDR", "%s is not a loopback address, and whoever reaches it would see every connection; "+
			"right would be 127.0.0.1:%s, or CONSOLE_PASSWORD_FILE as well", cmp.Or(host, "one without a host"), port)
	}
	for _, other := range []struct{ name, addr string }{{"HTTP_ADDR", s.HTTPAddr}, {"ADMIN_ADDR", s.AdminAddr},
		{"PPROF_ADDR", s.PprofAddr}} {
		if sharesPort(s.ConsoleAddr, other.addr) || sharesPort(other.addr, s.ConsoleAddr) {
			r.fault("CONSOLE_ADDR", "has the port of %s; give each a port of its own, such as 127.0.0.1:8082", other.name)
		}
	}
	return s.ConsoleAddr, password
}

// serveConsole serves the console at CONSOLE_ADDR, if there is one, before NATS and Redis are
// there: it says what is missing.
func (b *Bridge) serveConsole() error {
	addr := b.config.ConsoleAddr
	if addr == "" {
		return nil
	}
	host, _, _ := net.SplitHostPort(addr)
	c := console.New(console.Config{
		Asker: status.Asker{
			Processes: b.thisProcess, Connection: b.listed,
			Connections: asks[messages.ConnectionsListRequest, messages.ConnectionsListReply](b, messages.ConnectionsList),
			Limits: func(ctx context.Context, connection string) (*messages.LimitsReply, error) {
				return asks[messages.ConnectionRequest, messages.LimitsReply](b, messages.ConnectionsLimits)(ctx,
					messages.ConnectionRequest{Target: messages.Target{Connection: connection}})
			},
			Jobs: asks[messages.JobsListRequest, messages.JobsListReply](b, messages.JobsList),
		},
		Events: func(ctx context.Context, connection string) ([]events.Latest, error) {
			return b.events.Latest(ctx, connection)
		},
		Cursor: handlers.ListCursor, Checks: b.found, Metrics: b.registry, Failures: b.failures,
		Tables: messages.TableNames(b.config.Tables), Host: host, Password: b.config.ConsolePassword, Log: b.log,
	})
	b.onStop(func(context.Context) error { c.Close(); return nil })
	b.log.Info("the console is served", "address", "http://"+addr+"/")
	return b.listen("CONSOLE_ADDR", addr, c.Handler())
}

// askedBytes bounds an answer to the console, and is what of the memory it holds meanwhile.
const askedBytes = 4 << 20

var errStarting = messages.Errorf(messages.Unavailable, "this process is starting: NATS or Redis is not there yet")

// asks has an operation answer the console as it answers requesters: in this process, with its
// memory counted, and without a place among theirs. Its errors are those that they see.
func asks[In, Out any](b *Bridge, op messages.Operation) func(context.Context, In) (*Out, error) {
	return func(ctx context.Context, in In) (*Out, error) {
		routes := b.routes.Load()
		if routes == nil {
			return nil, errStarting
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
		call := route.Call{Operation: op, RequestID: "console", Deadline: time.Now().Add(time.Minute), Budget: askedBytes}
		for part, err := range (*routes)[op].Serve(budget.With(ctx, account), call, body).Parts {
			if err == nil {
				err = json.Unmarshal(part.Body, out)
			}
			if err != nil {
				return nil, route.Classify(ctx, b.stopping.Load(), err)
			}
		}
		return out, nil
	}
}

// listed is a connection as the list of connections has it: one that cannot be read too.
func (b *Bridge) listed(ctx context.Context, id string) (*messages.Connection, error) {
	list, err := asks[messages.ConnectionsListRequest, messages.ConnectionsListReply](b, messages.ConnectionsList)(ctx,
		messages.ConnectionsListRequest{Target: messages.Target{Connection: id}})
	if err == nil && len(list.Connections) == 0 {
		err = messages.Errorf(messages.ConnectionNotFound, "there is no connection of this id")
	}
	if err != nil {
		return nil, err
	}
	return &list.Connections[0], nil
}

// thisProcess is this process alone: to ask the others is no right of crmbridge's NATS user.
func (b *Bridge) thisProcess(context.Context) ([]Process, error) {
	if consumer := b.consumer.Load(); consumer != nil {
		return []Process{processIn(consumer.Stats())}, nil
	}
	return nil, errStarting
}

// found is what the checks of /readyz find.
func (b *Bridge) found(ctx context.Context) (all []console.Check) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for _, check := range b.checks() {
		text, err := check.look(ctx)
		if err != nil {
			text = err.Error()
		}
		all = append(all, console.Check{Name: check.name, Text: text, Failed: err != nil})
	}
	return all
}
