package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// ErrCaptured says that a JetStream stream would answer requests in crmbridge's
// place.
var ErrCaptured = errors.New("requests are captured")

const (
	streamsWait  = 3 * time.Second // for one answer
	streamsFirst = 2 * time.Second // before JetStream is asked again
	streamsMost  = time.Minute
)

// checkStreams refuses to start beside a stream that captures requests: it would
// answer every requester with its own acknowledgement. Where JetStream cannot say
// (it has no leader during an upgrade, or is slow), requests work all the same: that
// is logged, and it is asked again until it has said. A stream that is found then
// makes the process not ready until the stream is gone; ending would take away the
// process without mending anything, since the stream answers first either way.
func (c *Consumer) checkStreams(ctx context.Context) error {
	err := capturing(ctx, c.nc)
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
	c.log.Warn(text, "error", err)
	c.background.Go(func() { c.watchStreams(c.alive) })
	return nil
}

// watchStreams asks until JetStream has said that no stream captures requests.
func (c *Consumer) watchStreams(ctx context.Context) {
	for wait := streamsFirst; ; wait = min(wait*2, streamsMost) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
		err := capturing(ctx, c.nc)
		was := c.captured.Load()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			c.captured.Store(nil)
			c.log.Info("no stream captures requests")
			return
		case errors.Is(err, ErrCaptured):
			if c.captured.Store(&err); was == nil || (*was).Error() != err.Error() {
				c.log.Error("not ready", "error", err)
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
	for _, subject := range messages.RequestSubjects() {
		if err := capturingSubject(ctx, js, subject); err != nil {
			return err
		}
	}
	return nil
}

func capturingSubject(ctx context.Context, js jetstream.JetStream, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, streamsWait)
	defer cancel() // ends the lister too, where a name is left unread
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
	for name := range names.Name() {
		return fmt.Errorf("%w: stream %s captures request subjects (%s): requesters would get its acknowledgement for an answer; "+
			"take them out of its subjects", ErrCaptured, name, subject)
	}
	if err := names.Err(); err != nil && !withoutJetStream(err) {
		return fmt.Errorf("ask JetStream which streams capture %s: %w", subject, err)
	}
	return nil
}

// withoutJetStream reports whether the server or the account has no JetStream:
// then there is nothing to find out.
func withoutJetStream(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders)
}
