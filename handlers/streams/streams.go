// Package streams makes crmbridge's JetStream streams, looks whether those of the durable
// lane can be used, and sees to it that no stream captures requests.
package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// ErrCaptured is the error where a JetStream stream would answer requests in place of
// crmbridge.
var ErrCaptured = errors.New("requests are captured")

const (
	streamsWait  = 3 * time.Second // for one answer
	streamsFirst = 2 * time.Second // before JetStream is asked again
	streamsMost  = time.Minute
)

// A Watch looks for streams that capture requests until it knows that there is none.
type Watch struct {
	// First is about how long after Start JetStream is asked again, and then after twice
	// as long each time; 0 means two seconds. It is not changed after Start.
	First time.Duration

	nc       *nats.Conn
	log      *slog.Logger
	captured atomic.Pointer[error]
	stop     context.CancelFunc
	watching sync.WaitGroup
}

// NewWatch watches the streams of a connection's account.
func NewWatch(nc *nats.Conn, log *slog.Logger) *Watch {
	return &Watch{nc: nc, log: log, stop: func() {}}
}

// Start fails where a stream captures requests: it would answer every requester with its
// own acknowledgement. Where JetStream does not answer (it has no leader during an upgrade,
// or is slow), requests work all the same: that is logged, and JetStream is asked again
// until it has answered, or until Stop. A stream that is found then makes Captured fail
// until the stream is gone; ending the process would mend nothing, since the stream
// answers first either way.
func (w *Watch) Start(ctx context.Context) error {
	err := capturing(ctx, w.nc)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrCaptured):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	text := "it could not be checked whether a stream captures requests; it is tried again"
	if errors.Is(err, context.DeadlineExceeded) {
		// A user without the right to ask gets no answer at all.
		text += ". May this NATS user publish to $JS.API.>?"
	}
	w.log.Warn(text, "error", err)
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop = stop
	w.watching.Go(func() { w.run(life) })
	return nil
}

// Stop ends the asking.
func (w *Watch) Stop() {
	w.stop()
	w.watching.Wait()
}

// Captured is [ErrCaptured] while a stream that captures requests is known; one that is
// known at the start is an error of Start.
func (w *Watch) Captured() error {
	if err := w.captured.Load(); err != nil {
		return *err
	}
	return nil
}

// run asks until JetStream has answered that no stream captures requests.
func (w *Watch) run(ctx context.Context) {
	for wait := cmp.Or(w.First, streamsFirst); ; wait = min(wait*2, streamsMost) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
		err := capturing(ctx, w.nc)
		was := w.captured.Load()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			w.captured.Store(nil)
			w.log.Info("no stream captures requests")
			return
		case errors.Is(err, ErrCaptured):
			if w.captured.Store(&err); was == nil || (*was).Error() != err.Error() {
				w.log.Error("not ready", "error", err)
			}
		}
	}
}

// capturing is ErrCaptured with the name of a stream that captures requests, nil
// where there is none, or why that is not known.
func capturing(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	// All at once: requests are not answered before, and they are two for each entity.
	subjects := messages.RequestSubjects(nil)
	found := make([]error, len(subjects))
	var asking sync.WaitGroup
	for i, subject := range subjects {
		asking.Go(func() { found[i] = capturingSubject(ctx, js, subject) })
	}
	asking.Wait()
	var unknown error
	for _, err := range found {
		if errors.Is(err, ErrCaptured) {
			return err
		}
		unknown = cmp.Or(unknown, err)
	}
	return unknown
}

func capturingSubject(ctx context.Context, js jetstream.JetStream, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, streamsWait)
	defer cancel() // ends the lister too, where a name is left unread
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
	for name := range names.Name() {
		return fmt.Errorf("%w: stream %s captures request subjects (%s): requesters would get its "+
			"acknowledgement for an answer; "+
			"take them out of its subjects", ErrCaptured, name, subject)
	}
	if err := names.Err(); err != nil && !Absent(err) {
		return fmt.Errorf("ask JetStream which streams capture %s: %w", subject, err)
	}
	return nil
}

// Absent reports whether the server or the account has no JetStream:
// then there is nothing to find out.
func Absent(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders)
}
