package bridge

import (
	"cmp"
	"context"
	"net"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/console"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

const leastPassword = 16 // characters: nobody guesses them over HTTP

// consoleAddr reads CONSOLE_ADDR and the password, which an address that others reach needs.
func (r *reader) consoleAddr(s Settings) (addr string, password tokens.Secret) {
	if s.ConsoleAddr == "" {
		return "", ""
	}
	host, port, err := net.SplitHostPort(r.addr("CONSOLE_ADDR", s.ConsoleAddr))
	text := s.secret(r, "CONSOLE_PASSWORD", "", s.ConsolePasswordFile)
	switch {
	case err != nil || text == unreadable:
	case text == "" && !loopback(host):
		r.fault("CONSOLE_ADDR", "%s is not a loopback address, and whoever reaches it would see every connection; "+
			"right would be 127.0.0.1:%s, or CONSOLE_PASSWORD_FILE as well", cmp.Or(host, "one without a host"), port)
	case text != "" && utf8.RuneCountInString(text) < leastPassword:
		r.fault("CONSOLE_PASSWORD_FILE", "has less than %d characters; 'openssl rand -base64 24' makes a password",
			leastPassword)
	}
	return s.ConsoleAddr, tokens.Secret(text)
}

// serveConsole serves the console, if there is one, before NATS and Redis are there: it says so.
func (b *Bridge) serveConsole() error {
	addr := b.config.ConsoleAddr
	if addr == "" {
		return nil
	}
	host, _, _ := net.SplitHostPort(addr)
	c := console.New(console.Config{
		Ask: b.ask, Latest: b.latestJobs, Checks: b.found, Metrics: b.registry,
		Events: func(ctx context.Context, connection string) ([]events.Latest, error) {
			return b.events.Latest(ctx, connection)
		},
		Tables: messages.TableNames(b.config.Tables), Host: host, Password: b.config.ConsolePassword, Log: b.log,
	})
	b.onStop(func(context.Context) error { c.Close(); return nil })
	b.log.Info("the console is served", "address", "http://"+addr+"/")
	return b.listen("CONSOLE_ADDR", addr, c.Handler())
}

// askedBytes bounds an answer to the console, and is what of the memory it holds meanwhile.
const askedBytes = 4 << 20

var errStarting = messages.Errorf(messages.Unavailable, "this process is starting: NATS or Redis is not there yet")

// ask has an operation answer the console as it answers requesters: in this process, with its memory
// counted, and without a place among theirs. Its errors are those that they see.
func (b *Bridge) ask(ctx context.Context, op messages.Operation, request, out any) error {
	routes := b.routes.Load()
	if routes == nil {
		return errStarting
	}
	body, err := json.Marshal(request)
	if err != nil { // a path is no UTF-8
		return messages.Errorf(messages.InvalidRequest, "%v", err)
	}
	account, err := b.memory.Open(askedBytes)
	if err != nil {
		return route.Classify(ctx, false, err)
	}
	defer account.Close()
	call := route.Call{Operation: op, RequestID: "console", Deadline: time.Now().Add(time.Minute), Budget: askedBytes}
	for part, err := range (*routes)[op].Serve(budget.With(ctx, account), call, body).Parts {
		if err == nil {
			err = json.Unmarshal(part.Body, out)
		}
		if err != nil {
			return route.Classify(ctx, b.stopping.Load(), err)
		}
	}
	return nil
}

// latestJobs looks at 200 of a connection's jobs, with the memory counted too.
func (b *Bridge) latestJobs(ctx context.Context, connection string) ([]messages.Job, error) {
	lane := b.lane.Load()
	if lane == nil {
		return nil, errStarting
	}
	account, err := b.memory.Open(askedBytes)
	if err != nil {
		return nil, err
	}
	defer account.Close()
	return lane.Latest(budget.With(ctx, account), connection, 200)
}

// found is what the checks of /readyz have to say. One that hangs leaves the others their time.
func (b *Bridge) found(ctx context.Context) (all []string) {
	for _, check := range b.checks() {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		if note, err := check.look(asking); err != nil {
			all = append(all, check.name+": "+err.Error())
		} else if note != "" {
			all = append(all, check.name+", which passes: "+note)
		}
		cancel()
	}
	return all
}
