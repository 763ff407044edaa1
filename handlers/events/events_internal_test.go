package events

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
			if n := strings.Count(out.String(), "connection="+connection+"\n"); n != want || strings.Count(out.String(), "level=WARN") != 6 {
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
