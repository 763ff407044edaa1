package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type connectCommand struct {
	bridge.ClientNATS `group:"NATS:"`
	Connection        string   `arg:"" predictor:"connection" help:"Id for the connection: letters, digits, _ and -."`
	EnvironmentURL    string   `arg:"" help:"Origin of the environment, for example https://contoso.crm4.dynamics.com."`
	Tenant            string   `help:"Directory id or verified domain; by default the environment's own."`
	LoginHint         string   `help:"User name to fill in at Microsoft's sign-in page."`
	Prompt            string   `predictor:"prompt" help:"login, consent, select_account or none."`
	Grant             string   `enum:"authorization_code,client_credentials" default:"authorization_code" help:"${enum}; client_credentials is an application user, where nobody signs in, and only for what the operator has listed in APP_CONNECTIONS_FILE. Default ${default}."`
	AllowUserChange   bool     `help:"Let another user than before take over the connection."`
	DailyCalls        count    `placeholder:"N" help:"Calls of Dataverse that the customer allows the connection's user a day (UTC). Without it a connection that is made again keeps what it has."`
	NoBrowser         bool     `help:"Only print the URL."`
	NoWait            bool     `help:"Do not wait until the person is done."`
	Timeout           patience `placeholder:"DURATION" help:"How long to wait for the person, for example 5m; by default for as long as the page is open. The page stays open."`
	JSON              bool     `name:"json" help:"Print the answer as JSON and do not wait."`
}

// Validate refuses what no request can say.
func (c *connectCommand) Validate() error {
	if c.DailyCalls > messages.MaxDailyCalls {
		return fmt.Errorf("--daily-calls: must be from 1 to %d", messages.MaxDailyCalls)
	}
	return nil
}

// Help shows examples.
func (c *connectCommand) Help() string {
	return `Whoever signs in decides what crmbridge reads: choose a user with the rights that campaigns need, and no more.

Examples:
  crmbridge connect second http://127.0.0.1:8090
  crmbridge connect second http://127.0.0.1:8090 --no-browser --timeout 5m
  crmbridge connect robot http://127.0.0.1:8090 --grant client_credentials

Their URL is that of crmbridge-dev's environment; a real one is such as https://contoso.crm4.dynamics.com.
`
}

// Run prints the page's URL, opens it where it can, and waits for the person.
func (c *connectCommand) Run(ctx context.Context, std *stdio) error {
	nc, err := c.Connect("crmbridge command")
	if err != nil {
		return err
	}
	defer nc.Close()
	ask := messages.NewClient(nc)
	wait := waiting{ask: ask, connection: c.Connection, std: std}
	person := c.Grant == messages.GrantAuthorizationCode
	if person && !c.NoWait && !c.JSON {
		if err := wait.watch(ctx); err != nil {
			return err
		}
		defer wait.events.Close()
	}
	begun, err := ask.Authorize(ctx, messages.AuthorizeRequest{
		Target: messages.Target{Connection: c.Connection}, EnvironmentURL: c.EnvironmentURL, Tenant: c.Tenant,
		Grant: c.Grant, LoginHint: c.LoginHint, Prompt: c.Prompt, AllowUserChange: c.AllowUserChange,
		DailyCalls: messages.Count(c.DailyCalls),
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return term.JSON(std.out, begun)
	}
	if made := begun.Connection.Made; made != nil {
		fmt.Fprintln(std.out, "Connected.")
		return printConnection(std, made)
	}
	if err := term.Prose(std.out, 0, fmt.Sprintf("Sign in and consent at this page, open until %s:\n\n  %s\n\n",
		term.When(&begun.ExpiresAt), begun.ConnectURL)); err != nil {
		return err
	}
	if !c.NoBrowser {
		openPage(begun.ConnectURL, func() {
			fmt.Fprintln(std.err, "No browser could be opened here; open the page in one.")
		})
	}
	if c.NoWait {
		return nil
	}
	until := begun.ExpiresAt
	if c.Timeout > 0 {
		until = earlier(until, time.Now().Add(time.Duration(c.Timeout)))
	}
	wait.url, wait.closes = begun.ConnectURL, begun.ExpiresAt
	return wait.run(ctx, until)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// waiting waits for the person. It hears of the result by an event, and asks now
// and then in case there are none: no JetStream, or no permission to subscribe.
type waiting struct {
	ask        *messages.Client
	connection string
	std        *stdio
	events     *messages.EventWatch
	// before is the connection as it was; nil where there was none, or none to be seen.
	before *messages.Connection
	url    string    // of the page; "" where the service does not know of sign-ins
	closes time.Time // when the page does
}

// askAgain is how often the connection is asked for while nothing is heard.
const askAgain = 2 * time.Second

// watch begins to listen before the page is made, so that nothing is missed.
func (w *waiting) watch(ctx context.Context) (err error) {
	if w.events, err = w.ask.WatchConnection(w.connection); err != nil {
		return err
	}
	if before, err := w.ask.Connection(ctx, w.connection); err == nil {
		w.before = before
	}
	return nil
}

// run ends with the connection that the person made, or with why there is none.
func (w *waiting) run(ctx context.Context, until time.Time) error {
	_ = term.Prose(w.std.err, 2, "Waiting for the person … (an interrupt ends the waiting, not the page)")
	if w.wasActive() {
		_ = term.Prose(w.std.err, 2, w.connection+" is connected already and stays so until the page is done.")
	}
	over := messages.Errorf(messages.DeadlineExceeded, "nobody connected in time; start again")
	if w.wasActive() {
		over = messages.Errorf(messages.DeadlineExceeded,
			"nobody signed in again in time; %s is as it was before", w.connection)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, until.Add(askAgain), over)
	defer cancel()
	for {
		done, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case done != nil:
			fmt.Fprintln(w.std.out, "Connected.")
			return printConnection(w.std, done)
		}
	}
}

// look waits for an event, at most until it is time to ask.
func (w *waiting) look(ctx context.Context) (*messages.Connection, error) {
	short, cancel := context.WithTimeout(ctx, askAgain)
	defer cancel()
	event, err := w.events.Next(short)
	switch {
	case err != nil:
		<-short.Done() // also where the subscription is refused, which is told at once
	case event.Kind == messages.EventConnected:
		return w.ask.Connection(ctx, w.connection)
	}
	// Any other event may be an old one that comes late: only the connection tells.
	now, err := w.now(ctx)
	fault, answered := errors.AsType[*messages.Error](err)
	switch {
	case errors.Is(err, errSignIn):
		return nil, err
	case answered && fault.Code == messages.ConnectionNotFound:
		return nil, messages.Errorf(messages.ConnectionNotFound,
			"%s was deleted meanwhile or nobody signed in, so that the page leads nowhere; start again", w.connection)
	case err != nil: // an outage: the page may work by the time the person gets there
		return nil, nil
	case now.Status == messages.StatusActive && w.differs(now):
		return now, nil
	}
	return nil, nil
}

func (w *waiting) wasActive() bool {
	return w.before != nil && w.before.Status == messages.StatusActive
}

// errSignIn is in an error with which the person came back.
var errSignIn = errors.New("the sign-in failed")

// now is the connection, or why the person's sign-in ended without it. A service from before it was
// kept tells of the connection alone.
func (w *waiting) now(ctx context.Context) (*messages.Connection, error) {
	if w.url == "" {
		return w.ask.Connection(ctx, w.connection)
	}
	reply, err := w.ask.SignIn(ctx, w.connection, w.url)
	if fault, ok := errors.AsType[*messages.Error](err); ok && fault.Code == messages.InvalidRequest {
		w.url = ""
		return w.ask.Connection(ctx, w.connection)
	}
	switch {
	case err != nil:
		return nil, err
	case reply.SignIn == nil:
	case reply.SignIn.Phase == messages.SignInConnected && reply.Connection.Status != messages.StatusActive:
		return nil, messages.Errorf(messages.ReauthorizationRequired,
			"the page connected %s, but a person must connect again already: %s", w.connection,
			cmp.Or(reply.Connection.LastError, reply.Connection.Status)).Because(errSignIn)
	case reply.SignIn.Phase == messages.SignInConnected:
		w.before = nil // whoever it was before: this is the connection that the page made
	case reply.SignIn.Phase == messages.SignInExpired && time.Until(w.closes) > askAgain:
		return nil, messages.Errorf(messages.ConnectionNotFound,
			"%s was deleted or replaced meanwhile, or the page's time is over and this machine's clock is behind: the "+
				"page leads nowhere; start again",
			w.connection).Because(errSignIn)
	case reply.SignIn.Phase == messages.SignInFailed && reply.SignIn.Error != nil:
		return nil, w.failed(reply.SignIn.Error)
	}
	return &reply.Connection, nil
}

// failed says what became of the person's sign-in, and what can be done.
func (w *waiting) failed(why *messages.Error) error {
	said := *why
	if w.wasActive() {
		said.Message += fmt.Sprintf("; %s is as it was before", w.connection)
	}
	if time.Until(w.closes) > 0 {
		said.Message += fmt.Sprintf(". The page may be opened again until %s", term.When(&w.closes))
	}
	return said.Because(errSignIn)
}

// differs tells by the connection itself that there is a new grant. Where it was
// active and the same user signs in again for the same tables, only the event tells.
func (w *waiting) differs(now *messages.Connection) bool {
	return !w.wasActive() || now.UserID != w.before.UserID || !now.CreatedAt.Equal(w.before.CreatedAt) ||
		!slices.Equal(now.Tables, w.before.Tables)
}
