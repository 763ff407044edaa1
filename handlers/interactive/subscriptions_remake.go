package interactive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

func (s *subscriptions) remake(ctx context.Context, batch []*subscribed) error {
	for _, x := range batch {
		sub, err := x.make()
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", x.subject, err)
		}
		s.mu.Lock()
		x.made = append(x.made, sub)
		s.mu.Unlock()
	}
	if err := s.confirmed(ctx); err != nil {
		return err
	}
	// Errors stand here before the confirmation, and reach the handler a moment later.
	last := s.nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) && !errors.Is(last, nats.ErrMaxSubscriptionsExceeded) {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settleWait):
		return nil
	}
}

// confirmed waits until the server has worked through what it was sent.
func (s *subscriptions) confirmed(ctx context.Context) error {
	for warned := false; ; warned = true {
		attempt, cancel := context.WithTimeout(ctx, confirmWait)
		err := s.nc.FlushWithContext(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if s.nc.IsClosed() || ctx.Err() != nil {
			return fmt.Errorf("the NATS server did not confirm the subscriptions: %w", err)
		}
		// The connection broke, and the client sends all subscriptions with the next.
		if !warned {
			s.log.Warn("the NATS server has not confirmed the subscriptions yet", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(againFirst):
		}
	}
}

// judge ends an attempt. Where it broke off nothing is known, so all of it is due.
// Where the limit was raised in the middle of an attempt, the last ones were not those
// that had no room. So once there is room, all are made again: when none of them is
// refused, all hold.
func (s *subscriptions) judge(batch []*subscribed, err error) {
	wasFull := slices.ContainsFunc(batch, func(x *subscribed) bool { return errors.Is(x.refused, errFull) })
	s.doubt = wasFull && s.full == 0 && len(batch) < len(s.all)
	s.busy = false
	room := s.full
	for i := len(batch) - 1; i >= 0; i-- {
		x := batch[i]
		x.trying = false
		switch {
		case err != nil:
			x.verdict = err
		case x.verdict == nil && room > 0:
			x.verdict = errFull
			room--
		}
		x.refused = x.verdict
	}
}

// retire lets the present subscription end, if there is one: what the client has
// received by it is still handled.
func (x *subscribed) retire() {
	if len(x.made) == 0 {
		return
	}
	present := x.made[len(x.made)-1]
	x.lost += droppedBy(present)
	if present.Drain() != nil {
		_ = present.Unsubscribe() // or the client would send it again after a reconnect
	}
	x.made = slices.DeleteFunc(x.made, func(sub *nats.Subscription) bool { return !sub.IsValid() })
}
