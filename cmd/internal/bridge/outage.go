package bridge

import (
	"log/slog"
	"sync"
	"time"
)

// lostAgain is how often the log hears of a loss that lasts.
const lostAgain = time.Minute

// An outage tells the log of a connection that is lost: at once, and once a minute while it
// lasts, however often it is tried meanwhile; and once that it is back.
type outage struct {
	log  *slog.Logger
	what string // "NATS"

	mu    sync.Mutex
	since time.Time // zero while there is none
	again *time.Timer
	cause error // the last one
}

// lost says that the connection is gone, unless that is known.
func (o *outage) lost(cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cause = cause
	if !o.since.IsZero() {
		return
	}
	o.since = time.Now()
	o.log.Warn("disconnected from "+o.what, "error", cause)
	o.again = time.AfterFunc(lostAgain, o.remind)
}

func (o *outage) remind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	o.log.Warn("still disconnected from "+o.what, "for", time.Since(o.since).Round(time.Second), "error", o.cause)
	o.again.Reset(lostAgain)
}

// over says that the connection is back.
func (o *outage) over(attrs ...any) {
	if was, ok := o.end(); ok {
		attrs = append(attrs, "after", was.Round(time.Millisecond))
	}
	o.log.Info("connected to "+o.what+" again", attrs...)
}

// end ends what is told of an outage, and reports how long it was, if there was one.
func (o *outage) end() (lasted time.Duration, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return 0, false
	}
	lasted = time.Since(o.since)
	o.since = time.Time{}
	o.again.Stop()
	return lasted, true
}
