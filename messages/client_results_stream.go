package messages

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The bounds of a consumer's pulls.
const (
	pullBatch    = 16 // messages that one pull may bring, and so wait here
	pullExpires  = 5 * time.Second
	pullBeat     = time.Second // how often the server says that the pull is open
	pullSilence  = 3 * time.Second
	consumerWait = 2 * time.Second // for one answer of JetStream
	consumerIdle = time.Minute     // after which the server removes a consumer that nobody pulls from
	// mostRemade is how often a consumer is made again without a page in between.
	mostRemade = 5
)

// streamedResults reads the stream of results by a pull consumer. The consumer keeps no place
// of its own (nothing is acknowledged): it is made for the place that the reader has reached,
// and made again whenever anything is odd.
type streamedResults struct {
	r    *resultsReader
	name string

	js    jetstream.JetStream
	inbox *nats.Subscription // of the open pull, nil where there is none
	open  int                // messages that the open pull may still bring
	made  bool               // there is a consumer, as far as is known
	left  bool               // one was made, and may be there still
	asked bool               // it has been pulled from
	waits bool               // the open pull waits for messages

	last   uint64 // the sequence of the last message of the job that was seen, 0 for none
	at     int    // and its number
	remade int    // since the last page
}

func (s *streamedResults) message(ctx context.Context, page int) (*nats.Msg, error) {
	for {
		msg, err := s.pull(ctx)
		if err != nil || msg == nil {
			return nil, err
		}
		if msg.Subject != ResultSubject(s.r.connection, s.r.id) {
			if err := s.again("messages of another job come"); err != nil { // somebody else has made it anew
				return nil, err
			}
			continue
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, fmt.Errorf("read from stream %s: %w", ResultsStream, err)
		}
		if meta.Sequence.Stream <= s.last { // so would those that another reader made the consumer for
			if err := s.again("messages come that were read before"); err != nil {
				return nil, err
			}
			continue
		}
		number, err := strconv.Atoi(msg.Header.Get(HeaderPage))
		if err != nil || number < 1 {
			return nil, Errorf(Internal, "a result of job %s has no number", s.r.id)
		}
		if err := s.r.ours(ctx, msg); errors.Is(err, errForeign) {
			s.last = meta.Sequence.Stream
			continue
		} else if err != nil {
			s.drop()
			return nil, err
		}
		expected := s.at + 1
		if s.at == 0 {
			expected = min(page, number) // pages before the first one that is wanted are passed over
		}
		switch {
		case number == expected:
		case number < expected:
			return nil, Errorf(Internal, "page %d of job %s came a second time: results were lost and stored again; "+
				"read the job again from its first page", number, s.r.id)
		default:
			if err := s.gap(ctx, expected, number); err != nil {
				return nil, err
			}
			continue
		}
		s.last, s.at, s.remade = meta.Sequence.Stream, number, 0
		if number == page {
			return msg, nil
		}
	}
}

// gap finds out why pages are missing before one: another reader of the same consumer has got
// them, and then the consumer is made again; they were too old; or they were lost.
func (s *streamedResults) gap(ctx context.Context, expected, number int) error {
	s.drop()
	s.made = false
	missing, err := s.r.jobs.page(ctx, s.r.connection, s.r.id, expected)
	if err != nil {
		return err
	}
	if missing != nil {
		return s.again(fmt.Sprintf("page %d did not come", expected))
	}
	if s.at > 0 {
		before, err := s.r.jobs.page(ctx, s.r.connection, s.r.id, s.at)
		if err != nil {
			return err
		}
		if before != nil { // older ones are there: this one did not age
			return Errorf(Internal, "page %d of job %s is missing between %d and %d: results were lost",
				expected, s.r.id,
				s.at, number)
		}
	}
	return errAgedOut(s.r.id, expected, fmt.Sprintf(" (the first that is there is %d)", number))
}

// again has the consumer made again, unless that has been done too often.
func (s *streamedResults) again(why string) error {
	s.drop()
	s.made = false
	if s.remade++; s.remade > mostRemade {
		s.remade = 0
		return Errorf(Unavailable, "the consumer %s of stream %s does not bring the results of job %s (%s): does another "+
			"reader use it? Give each a name of its own", s.name, ResultsStream, s.r.id, why)
	}
	return nil
}

// pull is the consumer's next message, nil where none came for a while.
func (s *streamedResults) pull(ctx context.Context) (*nats.Msg, error) {
	for {
		if !s.made {
			if err := s.make(ctx); err != nil {
				return nil, err
			}
		}
		if s.open <= 0 {
			if err := s.ask(); err != nil {
				return nil, err
			}
		}
		waiting, cancel := context.WithTimeout(ctx, pullSilence)
		msg, err := s.inbox.NextMsgWithContext(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil: // not even a heartbeat
			if err := s.again("it is silent"); err != nil {
				return nil, err
			}
			continue
		}
		switch status := msg.Header.Get("Status"); {
		case status == "" || len(msg.Data) > 0:
			s.open--
			return msg, nil
		case status == "100": // a heartbeat
		case status == "408", status == "404": // the pull has run out
			s.drop()
			s.r.waited = s.waits
			return nil, nil
		default: // 409: the consumer is gone, or its leader; 503: nobody listens
			if err := s.again(msg.Header.Get("Description")); err != nil {
				return nil, err
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(waitFirst << s.remade):
			}
		}
	}
}

// A pullRequest is the body of a pull; times are in nanoseconds.
type pullRequest struct {
	Batch     int   `json:"batch"`
	NoWait    bool  `json:"no_wait,omitzero"`
	Expires   int64 `json:"expires,omitzero"`
	Heartbeat int64 `json:"idle_heartbeat,omitzero"`
}

// ask opens a pull. Each has an inbox of its own: a message has the stream's subject, so that
// nothing else would say which pull it answers.
func (s *streamedResults) ask() error {
	s.drop()
	nc := s.r.jobs.client.nc
	how := pullRequest{Batch: pullBatch, Expires: pullExpires.Nanoseconds(), Heartbeat: pullBeat.Nanoseconds()}
	if !s.asked || s.r.missing > 0 { // what is there says at once how far the job is
		how = pullRequest{Batch: pullBatch, NoWait: true}
	}
	request, err := json.Marshal(how)
	if err != nil {
		return fmt.Errorf("encode a pull: %w", err)
	}
	if s.inbox, err = nc.SubscribeSync(nc.NewInbox()); err != nil {
		return transportError(context.Background(), ResultsStream, err)
	}
	if err := s.inbox.SetPendingLimits(-1, -1); err != nil { // the batch is the bound
		return transportError(context.Background(), ResultsStream, err)
	}
	subject := "$JS.API.CONSUMER.MSG.NEXT." + ResultsStream + "." + s.name
	if err := nc.PublishRequest(subject, s.inbox.Subject, request); err != nil {
		return transportError(context.Background(), subject, err)
	}
	s.open, s.waits, s.asked = pullBatch, !how.NoWait, true
	return nil
}

// drop ends the open pull.
func (s *streamedResults) drop() {
	if s.inbox != nil {
		_ = s.inbox.Unsubscribe() // fails only where the connection is closed
	}
	s.inbox, s.open = nil, 0
}

// make makes the consumer for what comes after the last message seen. One of the same name,
// left by a reader that ended or made for another place, is removed before.
func (s *streamedResults) make(ctx context.Context) error {
	if s.js == nil {
		js, err := jetstream.New(s.r.jobs.client.nc)
		if err != nil {
			return fmt.Errorf("JetStream: %w", err)
		}
		s.js = js
	}
	ctx, cancel := context.WithTimeout(ctx, consumerWait)
	defer cancel()
	if err := s.js.DeleteConsumer(ctx, ResultsStream, s.name); err != nil &&
		!errors.Is(err, jetstream.ErrConsumerNotFound) {
		return s.failed(ctx, "remove", err)
	}
	config := jetstream.ConsumerConfig{
		Name: s.name, Description: "reader of the results of one connection",
		FilterSubject: ResultSubject(s.r.connection, s.r.id), AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy, InactiveThreshold: consumerIdle, MemoryStorage: true, Replicas: 1,
	}
	if s.last > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.last+1
	}
	if _, err := s.js.CreateConsumer(ctx, ResultsStream, config); err != nil {
		return s.failed(ctx, "make", err)
	}
	s.made, s.left, s.asked = true, true, false
	return nil
}

func (s *streamedResults) failed(ctx context.Context, what string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if said := s.r.jobs.client.nc.LastError(); errors.Is(said, nats.ErrPermissionViolation) &&
		strings.Contains(said.Error(), `"$JS.API.CONSUMER.`) {
		return finalError{Errorf(Unavailable, "%v: reading the stream takes a consumer; without the right to make one "+
			"read by jobs.results", said).Because(said)}
	}
	return Errorf(Unavailable, "%s the consumer %s of stream %s: %v", what, s.name, ResultsStream, err).Because(err)
}

// close ends the pull, and removes the consumer that nobody needs any more.
func (s *streamedResults) close() {
	s.drop()
	if !s.left {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishMost)
	defer cancel()
	_ = s.js.DeleteConsumer(ctx, ResultsStream, s.name) // the server removes it after consumerIdle
}
