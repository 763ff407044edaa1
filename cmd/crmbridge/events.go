package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type eventsCommands struct {
	Watch eventsWatch `cmd:"" help:"Print what happens to connections, as it happens."`
}

// Help shows examples.
func (c *eventsCommands) Help() string {
	return `Examples:
  crmbridge events watch
  crmbridge events watch --all --json --max 1
`
}

type eventsWatch struct {
	bridge.ClientNATS `group:"NATS:"`
	shown
	Connections []string `name:"connection" predictor:"connection" placeholder:"ID" help:"Only events of these connections; by default of all."`
	Kinds       []string `name:"kind" predictor:"kind" placeholder:"KIND" help:"Only these events: connected, reauthorization_required, deleted. By default all."`
	Since       span     `xor:"from" placeholder:"TIME" help:"Begin with what happened so long ago, for example 1h or 2d; by default with what happens from now on."`
	All         bool     `xor:"from" help:"Begin with the oldest event that is kept."`
	State       string   `placeholder:"FILE" help:"Keep the place in a file, and go on from there where it has one, whatever --since and --all say."`
	Max         count    `placeholder:"N" help:"End after so many events."`
	Timeout     patience `placeholder:"DURATION" help:"End after so long, for example 5m. With --max that is an error where fewer came."`
	JSON        bool     `name:"json" help:"Print each event as one line of JSON, as it is on the wire."`
}

// Help shows examples.
func (c *eventsWatch) Help() string {
	return `Events are kept for 7 days in the JetStream stream CRM_EVENTS. With --state none is lost while this command, its
reader or NATS is away for less than that, and after a kill at most the last ones come once more (with the same
event_id). Where events that are watched may be missing, since the stream lost messages or was made anew, that is said
on stderr. The NATS user "watcher" of deploy/nats.conf has the rights that this takes, and no others.

Examples:
  crmbridge events watch --all --max 1
  crmbridge events watch --since 1h --timeout 10s
  crmbridge events watch --kind reauthorization_required --state events.place --json |
    jq --unbuffered -r .connection
`
}

// A span is a time that has passed: a duration of Go, or whole days.
type span time.Duration

// UnmarshalText reads 90m, 1h or 7d.
func (s *span) UnmarshalText(text []byte) error {
	const day, most = 24 * time.Hour, 10_000
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.Atoi(days)
		if err == nil && n > 0 && n <= most {
			*s = span(time.Duration(n) * day)
			return nil
		}
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 || d > most*day {
		return fmt.Errorf("%q is no time that has passed, such as 90m, 1h or 7d", text)
	}
	*s = span(d)
	return nil
}

// Validate refuses what no event can be.
func (c *eventsWatch) Validate() error {
	for _, connection := range c.Connections {
		if !messages.ValidConnection(connection) {
			return fmt.Errorf("--connection: %q is not a connection id: 1 to 64 letters, digits, _ and -", connection)
		}
	}
	for _, kind := range c.Kinds {
		if !slices.Contains(messages.EventKinds(), kind) {
			if near := messages.Nearest(kind, messages.EventKinds(), 1); len(near) > 0 {
				return fmt.Errorf("--kind: there is no event %q; did you mean %s?", kind, near[0])
			}
			return fmt.Errorf("--kind: there is no event %q; there are %s", kind, strings.Join(messages.EventKinds(), ", "))
		}
	}
	return nil
}

// Ends of a watch that are no faults.
var (
	errEnough   = errors.New("as many events as were asked for have come")
	errTimeUp   = errors.New("the time is over")
	errNoReader = errors.New("nobody reads any more")
)

// Run prints events until it is told to end: by a signal, by --max or --timeout, or because nobody
// reads what it prints.
func (c *eventsWatch) Run(ctx context.Context, std *stdio) (err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// A write that nobody reads is an error then, and does not end the process in the middle.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	place, err := openPlace(c.State, eventFilter{Connections: c.Connections, Kinds: c.Kinds})
	if err != nil {
		return err
	}
	defer place.close()
	w := &eventWatcher{place: place, open: eventsPull, since: time.Duration(c.Since), all: c.All, most: int(c.Max),
		show: c.printer(std), say: func(format string, args ...any) {
			_ = term.Prose(std.err, 2, fmt.Sprintf(format, args...))
		},
		again: make(chan struct{}, 1)}
	var cannotAsk func()
	w.blind, cannotAsk = context.WithCancel(context.Background())
	defer cannotAsk()
	nc, err := c.Connect("crmbridge events watch", w.options(end, cannotAsk)...)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer whenUnread(std.out, func() { end(errNoReader) })()
	if c.Timeout > 0 {
		timer := time.AfterFunc(time.Duration(c.Timeout), func() { end(errTimeUp) })
		defer timer.Stop()
	}
	err = w.run(ctx, nc)
	if fault := place.save(); fault != nil && err == nil {
		err = fault
	}
	return c.ended(ctx, err, w.shown)
}

// ended says whether the end of a watch is a fault.
func (c *eventsWatch) ended(ctx context.Context, err error, shown int) error {
	cause := context.Cause(ctx)
	refused, isRefused := errors.AsType[*messages.Error](cause)
	switch {
	case isRefused:
		return refused
	case cause == nil:
		return err
	case errors.Is(cause, errTimeUp) && shown < int(c.Max):
		return messages.Errorf(messages.DeadlineExceeded, "%d of %d events came within %s", shown, c.Max,
			time.Duration(c.Timeout))
	case err == nil, errors.Is(err, context.Canceled), ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil
	}
	return err
}

// options let the watch outlive NATS's absences, and end where it may not do something.
func (w *eventWatcher) options(end context.CancelCauseFunc, cannotAsk func()) []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.PingInterval(eventsPing), nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			switch {
			case !errors.Is(err, nats.ErrPermissionViolation), strings.Contains(err.Error(), ".CONSUMER.DELETE."):
			case strings.Contains(err.Error(), ".CONSUMER.INFO."):
				cannotAsk()
			default:
				end(eventsNotPermitted(err))
			}
		}),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err != nil && !nc.IsClosed() {
				w.say("NATS is away (%v); nothing is missed", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			w.say("NATS is back")
			select {
			case w.again <- struct{}{}:
			default: // the consumer is to be made again already
			}
		}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if err := nc.LastError(); err != nil {
				end(messages.Errorf(messages.Unavailable, "NATS takes this user no longer: %v", err))
			}
		}),
	}
}

// eventsNotPermitted names the right that is missing, and who has it.
func eventsNotPermitted(err error) error {
	if strings.Contains(err.Error(), "Subscription") {
		return notPermitted(err)
	}
	return messages.Errorf(messages.Unavailable, "%v; watching takes a user that may read the stream %s, such as "+
		"\"watcher\" of deploy/nats.conf: ask the operator of NATS", err, messages.EventsStream)
}
