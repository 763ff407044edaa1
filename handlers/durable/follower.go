package durable

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// A follower is how far this process has read CRM_JOBS, and what keeps it from reading.
type follower struct {
	seen  uint64 // sequence of the last message that was taken in
	whole bool   // everything was read from the start, without an interruption
	made  time.Time
	heard *nats.Subscription // to the records

	differs int // in how many looks on end the stream's count was another than ours
	sign    int

	mu      sync.Mutex
	missing string    // why there is no durable lane
	stuck   string    // why jobs are not heard of
	since   time.Time // since when they are not
	again   context.CancelCauseFunc
}

// Times of the follower.
const (
	pullMost     = 2_000            // messages asked for at once; small pulls were seen to stall
	defaultPull  = 10 * time.Second // for new messages, before they are asked for again
	pullBeats    = 5                // in one pull; a server that says nothing for two of them is gone
	followerIdle = time.Minute      // then the server forgets a consumer that nobody pulls from
	retryFirst   = 200 * time.Millisecond
	retryMost    = 3 * time.Second  // while NATS does not answer
	retryMissing = 30 * time.Second // where somebody has to mend something first
	troubleAfter = 15 * time.Second // jobs that are not heard of for so long are trouble
)

// defaultRecount is how often the stream's count of messages is compared with what is known;
// recountTimes differences on end, which is two minutes, have the stream read from its start.
const (
	defaultRecount = time.Minute
	recountTimes   = 3
)

// prepare makes the streams, and listens to the records.
func (l *Lane) prepare(ctx context.Context) error {
	err := streams.Lane(ctx, l.js, l.bounds())
	if err == nil && l.state.heard == nil {
		// Before jobs are read: what happens to one after it was read is heard.
		l.state.heard, err = l.nc.Subscribe(messages.StateSubjects,
			func(msg *nats.Msg) { l.hear(msg.Subject, msg.Data) })
	}
	l.state.prepared(err, l)
	l.standing.prepared(l.missing())
	return err
}

// follow reads CRM_JOBS until ctx ends. Whatever goes wrong, it is tried again from the last
// message that was taken in: a consumer that is gone, a server that restarts, streams that
// are deleted, a JetStream that comes later. failed is what became of the first try.
func (l *Lane) follow(ctx context.Context, failed error) {
	defer func() {
		if l.state.heard != nil {
			_ = l.state.heard.Unsubscribe()
		}
	}()
	for wait := retryFirst; ; {
		began := time.Now()
		if failed == nil {
			reading, end := l.state.reading(ctx)
			if failed = l.followOnce(reading); reading.Err() != nil {
				failed = context.Cause(reading)
			}
			end(nil)
		}
		if ctx.Err() != nil {
			return
		}
		l.state.failed(failed)
		if time.Since(began) > troubleAfter {
			wait = retryFirst
		}
		pauseFor(ctx, wait/2+rand.N(wait))
		most := retryMost
		if failed = l.prepare(ctx); lasts(failed) {
			most = retryMissing
		}
		wait = min(2*wait, most)
	}
}

// errLacking ends a reading, so that the streams are prepared anew.
var errLacking = errors.New("a stream is missing")

// reading is the context of reading once; prepareAgain ends it.
func (s *follower) reading(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, s.again = context.WithCancelCause(ctx)
	return ctx, s.again
}

// prepareAgain has the streams prepared that are missing. Where that has failed before it is
// tried again anyway.
func (s *follower) prepareAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again != nil {
		s.again(errLacking)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// followOnce reads by one consumer until something is wrong with it.
func (l *Lane) followOnce(ctx context.Context) error {
	info, err := l.streamInfo(ctx)
	if err != nil {
		return err
	}
	if s := &l.state; info.State.LastSeq < s.seen || !info.Created.Equal(s.made) || !s.whole {
		s.made, s.whole, s.seen = info.Created, false, 0
		l.board.again()
	}
	l.countDead(ctx)
	c, err := l.consumer(ctx, l.state.seen+1, "")
	if err != nil {
		return err
	}
	defer l.forgetConsumer(c)
	left := c.CachedInfo().NumPending
	upTo := max(info.State.LastSeq, l.state.seen)
	looked := time.Now()
	for expected := uint64(1); ; {
		if left == 0 {
			l.caughtUp(upTo)
		}
		if time.Since(looked) >= l.recountEvery {
			looked = time.Now()
			l.countDead(ctx)
			if err := l.recount(ctx); err != nil {
				return err
			}
		}
		if err := l.pull(ctx, c, func(msg jetstream.Msg) error {
			err := l.received(ctx, msg, &expected)
			if err == nil && left > 0 {
				if left--; left == 0 {
					l.caughtUp(upTo)
				}
			}
			return err
		}); err != nil {
			return err
		}
	}
}

// pull asks for messages once, and waits for them for a while.
func (l *Lane) pull(ctx context.Context, c jetstream.Consumer, receive func(jetstream.Msg) error) error {
	pull, cancel := context.WithTimeout(ctx, l.pullWait)
	defer cancel()
	batch, err := c.Fetch(pullMost, jetstream.FetchContext(pull), jetstream.FetchHeartbeat(l.pullWait/pullBeats))
	if err != nil {
		return fmt.Errorf("ask for jobs: %w", err)
	}
	for msg := range batch.Messages() {
		if err := receive(msg); err != nil {
			return err
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("wait for jobs: %w", err)
	}
	return ctx.Err()
}

// streamInfo is CRM_JOBS as it is now.
func (l *Lane) streamInfo(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	stream, err := l.js.Stream(ctx, messages.JobsStream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", messages.JobsStream, err)
	}
	return stream.CachedInfo(), nil
}

// consumer makes a consumer of CRM_JOBS that keeps nothing and is forgotten by itself: headers
// only, from a sequence on, of one connection or all.
func (l *Lane) consumer(ctx context.Context, from uint64, connection string) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	config := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true,
		Replicas: 1, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		InactiveThreshold: followerIdle}
	if connection != "" {
		config.FilterSubject = "crm.*.*.job." + connection + ".*"
	}
	c, err := l.js.CreateConsumer(ctx, messages.JobsStream, config)
	if err != nil {
		return nil, fmt.Errorf("make a consumer of stream %s: %w", messages.JobsStream, err)
	}
	return c, nil
}

// forgetConsumer deletes a consumer; where that fails the server forgets it in time.
func (l *Lane) forgetConsumer(c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), apiWait)
	defer cancel()
	_ = l.js.DeleteConsumer(ctx, messages.JobsStream, c.CachedInfo().Name)
}

// errGap is an error of a consumer that has left out a message.
var errGap = errors.New("messages of the follower were lost")

// received takes in one message of the follower. A gap in the consumer's own numbers means
// that a message was lost on its way.
func (l *Lane) received(ctx context.Context, msg jetstream.Msg, expected *uint64) error {
	about, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("a message of the follower: %w", err)
	}
	if about.Sequence.Consumer != *expected {
		return errGap
	}
	*expected++
	if err := l.takeIn(ctx, msg, about); err != nil {
		return err
	}
	l.state.seen = about.Sequence.Stream
	return nil
}

// takeIn gives a job to its queue, and waits where memory is full.
func (l *Lane) takeIn(ctx context.Context, msg jetstream.Msg, about *jetstream.MsgMetadata) error {
	f, ok := l.followed(msg, about)
	if !ok {
		l.board.alien(about.Sequence.Stream, msg.Subject())
		l.seldom.warn("stream "+messages.JobsStream+" has a message that is no job: it is left alone",
			"subject", messages.Printable(msg.Subject()), "sequence", about.Sequence.Stream)
		return nil
	}
	for {
		full := l.board.follow(f, l.now())
		if full == nil {
			l.hearEarly(jobKey{f.connection, f.id})
			l.wake()
			return nil
		}
		l.wake()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-full:
		}
	}
}

// followed reads what there is of a job; ok is false for what is none. One whose id is none is
// followed as far as that can be kept, and ended: whoever published it is to see why.
func (l *Lane) followed(msg jetstream.Msg, about *jetstream.MsgMetadata) (f followed, ok bool) {
	op, connection, id, ok := messages.ParseJobSubject(msg.Subject())
	if !ok || !messages.ValidConnection(connection) || len(id) > longestID {
		return f, false
	}
	expires := about.Timestamp.Add(l.options.JobLifetime)
	if deadline, err := time.Parse(time.RFC3339, msg.Headers().Get(messages.HeaderDeadline)); err == nil &&
		deadline.Before(expires) {
		expires = deadline
	}
	return followed{seq: about.Sequence.Stream, op: op, connection: connection, id: id, at: about.Timestamp,
		expires: l.instantOf(expires)}, true
}

// longestID bounds what is kept of an id that is none, in bytes.
const longestID = 255

// caughtUp ends the first reading of what the stream had.
func (l *Lane) caughtUp(upTo uint64) {
	if !l.state.whole {
		l.state.whole = true
		l.board.swept(upTo, l.now())
	}
	l.state.well()
}

// recount compares the stream's count of messages with what is known. A difference that
// lasts means that something was missed: the stream is read from its start.
func (l *Lane) recount(ctx context.Context) error {
	before := l.board.count()
	info, err := l.streamInfo(ctx)
	if err != nil {
		return err
	}
	after, has := l.board.count(), int(info.State.Msgs)
	sign := 0
	switch {
	case has > max(before, after):
		sign = 1
	case has < min(before, after):
		sign = -1
	}
	s := &l.state
	if sign == 0 || sign != s.sign {
		s.differs = 0
	}
	if s.sign = sign; sign != 0 {
		s.differs++
	}
	if s.differs >= recountTimes {
		s.differs, s.whole = 0, false
		return fmt.Errorf("stream %s has %d messages where %d are known: it is read again", messages.JobsStream, has,
			after)
	}
	return nil
}
