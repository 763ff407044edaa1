package interactive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A NATS server reports a subscription that it refuses, or removes when its configuration
// is reloaded, by an asynchronous error; the subscription object in the client looks as
// before. So refusals are kept here, readiness fails by them, and the subscription is
// made again until the server takes it: the server does not do that when the permission
// is back, and the client does it only after a reconnect.
//
// A refused permission names the subject. A reached max_subscriptions names nothing;
// but the server works through what it is sent in order, so of several subscriptions
// that are made one after the other, it had no room for the last ones.

const (
	// confirmWait bounds one wait for the server to confirm what it was sent.
	confirmWait = 10 * time.Second
	// settleWait is how long the client may take to call the error handler for errors
	// that it read before the confirmation. One that comes later counts all the same.
	settleWait = 100 * time.Millisecond

	inboxWait  = 2 * time.Second
	againFirst = 500 * time.Millisecond
	againMost  = 10 * time.Second
)

// A subscribed is a subscription that the server has to have.
type subscribed struct {
	subject  string
	required bool // requests come by it; the others only describe this process
	make     func() (*nats.Subscription, error)

	// Guarded by subscriptions.mu:
	made    []*nats.Subscription // the last one is the present one, the others are draining
	lost    int                  // messages that former ones dropped
	refused error
	trying  bool
	verdict error // of the attempt under way
}

// subscriptions keeps a Consumer's subscriptions alive.
type subscriptions struct {
	nc       *nats.Conn
	log      *slog.Logger
	previous nats.ErrHandler // gets every error that is not about one of these
	wake     chan struct{}   // of capacity 1: something was refused

	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	all    []*subscribed
	full   int    // how often max_subscriptions was reported during the attempt under way
	doubt  bool   // it was reported outside of an attempt, so any of them may be missing
	busy   bool   // an attempt is under way
	inbox  bool   // the client's own inbox may have been refused too
	logged string // what was logged last
}

// errFull says that the server has no room for a subscription.
var errFull = errors.New("max_subscriptions is reached")

func newSubscriptions(nc *nats.Conn, log *slog.Logger) *subscriptions {
	return &subscriptions{nc: nc, log: log, wake: make(chan struct{}, 1)}
}

func (s *subscriptions) add(x *subscribed) { s.all = append(s.all, x) }

// start makes all of them and waits for the server's answer, as long as ctx and the
// connection last: a connection that breaks meanwhile is made again by the client.
// What is refused is no error; refusal reports it. After start comes end.
func (s *subscriptions) start(ctx context.Context) error {
	s.previous = s.nc.ErrorHandler()
	s.nc.SetErrorHandler(s.onError)
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = stop, make(chan struct{})
	connected := s.nc.StatusChanged(nats.CONNECTED)
	if err := s.attempt(ctx, s.all); err != nil {
		s.nc.RemoveStatusListener(connected)
		close(s.done)
		return err
	}
	go s.keep(life, connected)
	return nil
}

// end stops making them again; it leaves what is there.
func (s *subscriptions) end() {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
}

// drain ends intake: what has been received is still handled.
func (s *subscriptions) drain() {
	for _, sub := range s.present() {
		_ = sub.Drain() // fails only where the connection is gone, and then nothing comes in
	}
}

// present are the subscription objects that may still call back.
func (s *subscriptions) present() []*nats.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*nats.Subscription
	for _, x := range s.all {
		all = append(all, x.made...)
	}
	return all
}

// dropped counts the messages that the NATS client threw away because they came
// faster than they were taken, since the start.
func (s *subscriptions) dropped() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, x := range s.all {
		total += x.lost
		if len(x.made) > 0 {
			total += droppedBy(x.made[len(x.made)-1])
		}
	}
	return int64(total)
}

func droppedBy(sub *nats.Subscription) int {
	n, err := sub.Dropped()
	if err != nil {
		return 0 // it is closed
	}
	return n
}

// keep makes refused ones again until ctx ends: soon, and then less and less often;
// at once after a reconnect, which may have changed everything.
func (s *subscriptions) keep(ctx context.Context, connected chan nats.Status) {
	defer close(s.done)
	defer func() { s.nc.RemoveStatusListener(connected) }()
	timer := time.NewTimer(againFirst)
	defer timer.Stop()
	wait := againFirst
	for pending := s.due() != nil; ; {
		reconnected := false
		select {
		case <-ctx.Done():
			return
		case _, reconnected = <-connected:
			if !reconnected {
				return // the connection is closed for good
			}
		case <-s.wake:
			if pending { // the timer runs already
				continue
			}
			timer.Reset(settleWait) // what is refused with it comes within that time
			pending = true
			continue
		case <-timer.C:
		}
		if reconnected {
			wait = againFirst
		}
		s.logNews(ctx)
		if due := s.due(); due != nil && s.nc.IsConnected() {
			if err := s.attempt(ctx, due); err != nil && ctx.Err() == nil {
				s.log.Warn("subscriptions could not be made again", "error", err)
			}
		}
		pending = s.due() != nil
		if pending {
			timer.Reset(wait/2 + rand.N(wait))
			wait = min(wait*2, againMost)
		} else {
			wait = againFirst
			s.provideInbox(ctx)
		}
	}
}

// provideInbox makes sure of the inbox that the client has for answers of JetStream
// where it may have been refused with the others. Nobody can make it again but the
// client with a new connection.
func (s *subscriptions) provideInbox(ctx context.Context) {
	s.mu.Lock()
	doubtful := s.inbox
	s.inbox = false
	s.mu.Unlock()
	if !doubtful || !s.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, inboxWait)
	defer cancel()
	// Nobody listens there; that the server says so proves that its answers arrive.
	_, err := s.nc.RequestWithContext(ctx, s.nc.NewInbox(), nil)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("the connection to NATS is made again, because the inbox for answers was refused " +
			"by max_subscriptions")
		_ = s.nc.ForceReconnect() // fails only where it is closed
	}
}

// due are those to make again, in order; nil for none.
func (s *subscriptions) due() []*subscribed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubt {
		return s.all
	}
	return s.refusedOnes()
}

func (s *subscriptions) refusedOnes() []*subscribed {
	var some []*subscribed
	for _, x := range s.all {
		if x.refused != nil {
			some = append(some, x)
		}
	}
	return some
}

// attempt makes a batch anew and learns which of it holds. The old ones end first,
// all of them, so that room which they took is free.
func (s *subscriptions) attempt(ctx context.Context, batch []*subscribed) error {
	s.mu.Lock()
	s.full, s.busy = 0, true
	for _, x := range batch {
		x.trying, x.verdict = true, nil
		x.retire()
	}
	s.mu.Unlock()
	err := s.remake(ctx, batch)
	s.mu.Lock()
	s.judge(batch, err)
	s.mu.Unlock()
	s.logNews(ctx)
	return err
}

// logNews logs what has changed since it was called last.
func (s *subscriptions) logNews(ctx context.Context) {
	s.mu.Lock()
	text, level := s.news()
	s.mu.Unlock()
	if text != "" {
		s.log.Log(ctx, level, text)
	}
}

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
