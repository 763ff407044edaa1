package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
)

// looks notes what was looked at: "r" for recent changes, "a" for all, in capitals where that
// failed, "?" where a process asked for its turn.
type looks struct {
	notes strings.Builder
	turn  bool          // the next question for a turn is granted
	fails bool          // the next look fails
	takes time.Duration // what the next look takes
}

func (l *looks) look(note string) (int, error) {
	time.Sleep(l.takes)
	l.takes = 0
	if l.fails {
		l.fails = false
		l.notes.WriteString(strings.ToUpper(note))
		return 0, errors.New("JetStream is away")
	}
	l.notes.WriteString(note)
	return 0, nil
}

func (l *looks) Changed() <-chan struct{} { return nil }
func (l *looks) OnDropped(func(string))   {}
func (l *looks) PublishChanges(context.Context, func(context.Context, tokens.Change) error) (int, error) {
	return l.look("a")
}
func (l *looks) PublishRecentChanges(context.Context, func(context.Context, tokens.Change) error) (int, error) {
	return l.look("r")
}
func (l *looks) MayPublishAll(context.Context) bool {
	l.notes.WriteString("?")
	mine := l.turn
	l.turn = false
	return mine
}

// All that waits is looked at first, after a failure until a look succeeds, after a pause or a
// long look in which changes grew old, and when it is this process's turn, which it asks for every
// 30 to 60 s, also where it got none.
func TestWhenAllChangesAreLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*looks, *Publisher)
		want string
	}{
		"nothing":                {func(*looks, *Publisher) {}, "rr"},
		"a look that fails":      {func(l *looks, _ *Publisher) { l.fails = true }, "Ra"},
		"a process that stopped": {func(*looks, *Publisher) { time.Sleep(11 * time.Second) }, "ar"},
		"a look that takes long": {func(l *looks, _ *Publisher) { l.takes = 11 * time.Second }, "ra"},
		"no turn":                {func(_ *looks, p *Publisher) { p.allAt = time.Now().Add(-1) }, "?rr"},
		"a turn":                 {func(l *looks, p *Publisher) { l.turn = true; p.allAt = time.Now().Add(-1) }, "?ar"},
		"a turn after a failure": {func(l *looks, p *Publisher) { l.turn, p.all = true, true; p.allAt = time.Now().Add(-1) }, "?ar"},
		"a turn that comes meanwhile": {func(l *looks, p *Publisher) {
			l.turn, l.takes = true, 5*time.Second
			p.allAt = time.Now().Add(2 * time.Second)
		}, "r?a"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &looks{}
			p := &Publisher{changes: l, log: slog.New(slog.DiscardHandler), ready: true, all: true}
			time.Sleep(p.round(t.Context()))
			if got := l.notes.String(); got != "?a" || time.Until(p.allAt) < eventsAll-2*eventsLook {
				t.Errorf("%s: first %s, again in %s", name, got, time.Until(p.allAt))
			}
			l.notes.Reset()
			c.do(l, p)
			time.Sleep(p.round(t.Context()))
			p.round(t.Context())
			if got := l.notes.String(); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		})
	}
}

// A connection that loses event after event makes one line an hour, and however
// many there are, what is remembered of them is bounded.
func TestLostEventsAreLoggedOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		lost := droppedLog{log: slog.New(slog.NewTextHandler(&out, nil))}
		for range 121 { // two hours and a minute
			lost.report("acme")
			lost.report("globex")
			time.Sleep(time.Minute)
		}
		for connection, want := range map[string]int{"acme": 3, "globex": 3} {
			if n := strings.Count(out.String(), "connection="+connection+"\n"); n != want ||
				strings.Count(out.String(), "level=WARN") != 6 {
				t.Errorf("%d lines about %s, want %d:\n%s", n, connection, want, out.String())
			}
		}
		for n := range 3 * maxDropped {
			lost.report(fmt.Sprint(n))
		}
		if len(lost.logged) > maxDropped {
			t.Errorf("%d connections are remembered", len(lost.logged))
		}
	})
}
