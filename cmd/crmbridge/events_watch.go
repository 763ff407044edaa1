package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

const (
	eventsBatch  = 64               // messages that one pull may bring, and so wait here
	eventsPull   = 30 * time.Second // how long a pull is open
	eventsBeat   = 2 * time.Second  // how often the server says that it is
	eventsWait   = 5 * time.Second  // for one answer of JetStream
	eventsIdle   = 2 * time.Minute  // after which the server removes a consumer that nobody pulls from
	eventsAsk    = time.Second      // for where the consumer is, which is not asked where it matters
	eventsSeldom = time.Hour        // how often that is asked where no file keeps the place
	eventsPing   = 10 * time.Second
	eventsPause  = 250 * time.Millisecond // before the consumer is made again, and twice as long each time
	eventsLonger = 5 * time.Second        // at the most
)

// An eventWatcher shows the events that come after a place in the stream. It reads by a consumer
// that keeps no place of its own (nothing is acknowledged), which is made for the place that has
// been reached, and made again whenever anything is odd.
//
//	run → round → prepare (what became of the stream) → consume (make) → pull → take → show, move on
type eventWatcher struct {
	js    jetstream.JetStream
	place *eventPlace
	show  eventPrinter
	say   func(format string, args ...any)
	again chan struct{} // NATS was away: what the open pull was sent is lost
	// blind ends where this user may not ask where its consumer is.
	blind context.Context

	open  time.Duration // how long a pull is open
	since time.Duration // 0 where it does not say where to begin
	all   bool
	most  int // events to show, 0 for any number
	shown int

	begun    time.Time // when the watch began, from which since counts
	created  time.Time // when the stream was made
	before   uint64    // the sequence before its oldest message
	verify   bool      // the first message has to be the one at the place
	consumer uint64    // the consumer's sequence of the last message that was dealt with
	trouble  string    // what was said last of the stream
	asked    time.Time // when it was asked last where the consumer is, or the watch began
}

// errOdd has the consumer made again.
var errOdd = errors.New("the consumer does not bring what follows")

func (w *eventWatcher) run(ctx context.Context, nc *nats.Conn) (err error) {
	if w.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(eventsWait)); err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	w.begun = time.Now()
	w.asked = w.begun
	if w.blind == nil {
		w.blind = context.Background()
	}
	pause := eventsPause
	for first := true; ; first = false {
		if !nc.IsConnected() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-w.again:
			case <-time.After(eventsLonger):
			}
			continue
		}
		since := time.Now()
		err := w.round(ctx, first)
		if time.Since(since) > eventsLonger { // it was as it should be for a while
			pause = eventsPause
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errEnough), errors.Is(err, syscall.EPIPE):
			return nil
		case err == nil:
			pause = eventsPause
			continue
		case !errors.Is(err, errOdd):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.again:
		case <-time.After(pause):
			pause = min(2*pause, eventsLonger)
		}
	}
}

// round makes a consumer and shows what it brings, until something is odd: nil where it brought
// something before that.
func (w *eventWatcher) round(ctx context.Context, first bool) error {
	from, err := w.prepare(ctx)
	if err == nil {
		var consumer jetstream.Consumer
		if consumer, err = w.consume(ctx, from); err == nil {
			w.trouble = ""
			defer w.remove(consumer)
			err = w.pulls(ctx, consumer)
			if fault := w.pass(consumer); fault != nil {
				return fault
			}
			return err
		}
	}
	var fault *eventFault
	switch {
	case !errors.As(err, &fault), first:
		return err
	case w.trouble != fault.Error():
		w.trouble = fault.Error()
		w.say("%s; waiting", w.trouble)
	}
	return errOdd
}

// An eventFault is why there are no events to be had: a fault at the beginning, and something to
// wait for later.
type eventFault struct{ error }

func (f *eventFault) Unwrap() error { return f.error }

func (w *eventWatcher) failed(err error) error {
	code, why := messages.Unavailable, streams.Why(err)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		code, why = messages.NotSupported, "there is no stream "+messages.EventsStream+
			", which crmbridge serve makes where NATS has JetStream"
	case streams.Absent(err):
		code, why = messages.NotSupported, "events are kept by JetStream: "+why
	default:
		why = "the stream " + messages.EventsStream + " cannot be read: " + why
	}
	return &eventFault{messages.Errorf(code, "%s", why).Because(err)}
}

// prepare looks at what became of the stream, says what is missing, and returns what the consumer
// begins with.
func (w *eventWatcher) prepare(ctx context.Context) (from jetstream.ConsumerConfig, err error) {
	stream, err := w.js.Stream(ctx, messages.EventsStream)
	if err != nil {
		return from, w.failed(err)
	}
	info := stream.CachedInfo()
	state, at := info.State, &w.place.state
	w.verify, w.created, w.before = false, info.Created, max(state.FirstSeq, 1)-1
	switch {
	case w.place.known():
	case w.since > 0:
		start := w.begun.Add(-w.since)
		from.DeliverPolicy, from.OptStartTime = jetstream.DeliverByStartTimePolicy, &start
		if state.FirstSeq > 1 && state.Msgs > 0 && state.FirstTime.After(start) {
			w.say("what happened before %s is not kept any more", state.FirstTime.Local().Format(time.DateTime))
		}
		return from, nil
	case w.all:
		err = w.place.begin(info.Created, w.before)
	default:
		err = w.place.begin(info.Created, state.LastSeq)
	}
	if err != nil {
		return from, err
	}
	switch {
	case !at.Created.Equal(info.Created) || state.LastSeq < at.seen():
		w.anew(info.Created)
	case w.before > at.seen():
		lost := fmt.Sprintf("%d messages of %s, %d to %d, are", w.before-at.seen(), messages.EventsStream,
			at.seen()+1, w.before)
		if w.before == at.seen()+1 {
			lost = fmt.Sprintf("message %d of %s is", w.before, messages.EventsStream)
		}
		w.say("%s not kept any more: events may be missing before the next one", lost)
		if err := w.place.begin(info.Created, w.before); err != nil { // it is said once
			return from, err
		}
	}
	from.DeliverPolicy, from.OptStartSeq = jetstream.DeliverByStartSequencePolicy, at.Sequence+1
	if at.EventID != "" { // it has to be there as it was
		from.OptStartSeq, w.verify = at.Sequence, true
	}
	return from, nil
}

// anew goes back to the oldest message of a stream that is not the one that the place is in.
func (w *eventWatcher) anew(created time.Time) {
	w.say("the stream %s was made anew or put back to an earlier state: events may be missing before the next one, "+
		"and some may come again", messages.EventsStream)
	at := &w.place.state
	at.Created, at.Sequence, at.EventID, at.Passed = created, w.before, "", 0
}

// consume makes a consumer of its own.
func (w *eventWatcher) consume(ctx context.Context, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	config.Name = "crmbridge-watch-" + nuid.Next()
	config.Description = "crmbridge events watch"
	config.FilterSubject = w.place.state.Filter.subject()
	config.AckPolicy = jetstream.AckNonePolicy
	config.InactiveThreshold, config.MemoryStorage, config.Replicas = eventsIdle, true, 1
	consumer, err := w.js.CreateConsumer(ctx, messages.EventsStream, config)
	if err != nil {
		return nil, w.failed(err)
	}
	w.consumer = 0
	if !w.place.known() { // what --since says is a place from now on
		return consumer, w.place.begin(w.created, consumer.CachedInfo().Delivered.Stream)
	}
	return consumer, nil
}

// remove removes a consumer that nobody needs any more; otherwise the server does so after a while.
func (w *eventWatcher) remove(consumer jetstream.Consumer) {
	if !w.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.js.DeleteConsumer(ctx, messages.EventsStream, consumer.CachedInfo().Name)
}

// pass notes that what the stream holds now is dealt with, where the consumer has nothing more and
// all that it sent was dealt with: what others' messages were may go without being missed. It needs a
// right that watching does not take; without it only what is shown moves the place. Where no file
// keeps the place it counts for this watch alone: it is asked seldom then, which is often enough before
// anything has aged, and costs short watches nothing.
func (w *eventWatcher) pass(consumer jetstream.Consumer) error {
	if !w.js.Conn().IsConnected() || w.blind.Err() != nil {
		return nil
	}
	if w.place.name == "" && time.Since(w.asked) < eventsSeldom {
		return nil
	}
	w.asked = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), eventsAsk)
	defer cancel()
	defer context.AfterFunc(w.blind, cancel)()
	stream, err := w.js.Stream(ctx, messages.EventsStream)
	if err != nil || !stream.CachedInfo().Created.Equal(w.created) {
		return nil
	}
	// The end of the stream is from before what the consumer says of it.
	now, err := consumer.Info(ctx)
	if err != nil || now.NumPending > 0 || now.Delivered.Consumer != w.consumer {
		return nil
	}
	return w.place.pass(stream.CachedInfo().State.LastSeq)
}

// pulls shows what the consumer brings.
func (w *eventWatcher) pulls(ctx context.Context, consumer jetstream.Consumer) error {
	came := false
	for {
		err := w.pull(ctx, consumer, &came)
		switch {
		case err == nil:
			if err := w.pass(consumer); err != nil {
				return err
			}
		case errors.Is(err, errOdd) && came:
			return nil
		default:
			return err
		}
	}
}

func (w *eventWatcher) pull(ctx context.Context, consumer jetstream.Consumer, came *bool) error {
	open, cancel := context.WithTimeout(ctx, w.open)
	defer cancel()
	batch, err := consumer.Fetch(eventsBatch, jetstream.FetchContext(open),
		jetstream.FetchHeartbeat(min(eventsBeat, w.open/4)))
	if err != nil {
		return errOdd
	}
	for {
		select {
		case <-w.again:
			return errOdd
		case msg, more := <-batch.Messages():
			if !more {
				if batch.Error() != nil {
					return errOdd
				}
				return nil
			}
			if err := w.take(ctx, msg, len(batch.Messages()) > 0); err != nil {
				return err
			}
			*came = true
		}
	}
}

// take shows one message, and moves the place behind it. more says that others wait.
func (w *eventWatcher) take(ctx context.Context, msg jetstream.Msg, more bool) error {
	meta, err := msg.Metadata()
	if err != nil || meta.Sequence.Consumer != w.consumer+1 {
		return errOdd // one was lost on the way
	}
	id, sequence := msg.Headers().Get(nats.MsgIdHdr), meta.Sequence.Stream
	if w.verify {
		w.verify = false
		if at := w.place.state; sequence == at.Sequence {
			if id == at.EventID {
				w.consumer = meta.Sequence.Consumer
				return nil
			}
			w.anew(at.Created)
			return errOdd
		}
	}
	event, ok := readEvent(msg.Subject(), msg.Data())
	switch {
	case !ok:
		w.say("message %d of %s on %s is no event, and is passed over", sequence, messages.EventsStream,
			strings.ToValidUTF8(msg.Subject(), "?"))
	case w.place.state.Filter.shows(event.Kind, event.Connection):
		if err := w.show(ctx, event, msg.Data()); err != nil {
			return err
		}
		w.shown++
	}
	if err := w.place.move(sequence, id, more); err != nil {
		return err
	}
	w.consumer = meta.Sequence.Consumer // not before: what was not shown is not passed over
	if w.most > 0 && w.shown >= w.most {
		return errEnough
	}
	return nil
}
