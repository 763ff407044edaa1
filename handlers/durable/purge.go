package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// Deletions are where a [Purger] learns of deleted connections; *tokens.Store is one.
type Deletions interface {
	// PurgeDeleted has purge remove what the connections left that were deleted a while ago.
	PurgeDeleted(ctx context.Context, purge func(ctx context.Context, connection string) error) (int, error)
	// Incarnation is that of a connection now, "" where there is none.
	Incarnation(ctx context.Context, connection string) (string, error)
}

// A Purger removes jobs, results, records and dead letters of connections that are deleted:
// at once, and again a while later, since a worker that stood still may have stored a first
// page, a record or a dead letter on an empty subject. Every process has one, with a
// durable lane or without.
type Purger struct {
	js        jetstream.JetStream
	deletions Deletions
	log       *slog.Logger
	stop      context.CancelFunc
	done      chan struct{}
	said      string       // what was logged last
	silent    atomic.Int64 // when JetStream did not answer, in Unix milliseconds; 0 where it did
}

const (
	purgeLook = 5 * time.Second // between two looks for others' deletions, and as much again by chance
	purgeWait = 3 * time.Second // for one connection, while somebody waits
	// purgeSilent is how long nobody has to wait for a JetStream that did not answer, which is
	// also what a user of NATS meets who has not got the rights that a purge takes.
	purgeSilent = 30 * time.Second
)

// errSilent: JetStream did not answer a moment ago.
var errSilent = errors.New("JetStream does not answer; may this NATS user look at and purge the streams of jobs?")

// StartPurger looks for deleted connections until Shutdown.
func StartPurger(ctx context.Context, nc *nats.Conn, deletions Deletions, log *slog.Logger) (*Purger, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(apiWait))
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Purger{js: js, deletions: deletions, log: log, stop: stop, done: make(chan struct{})}
	go p.run(life)
	return p, nil
}

// Shutdown stops the looking.
func (p *Purger) Shutdown() {
	p.stop()
	<-p.done
}

func (p *Purger) run(ctx context.Context) {
	defer close(p.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(purgeLook + rand.N(purgeLook)):
		}
		_, err := p.deletions.PurgeDeleted(ctx, p.purgeForeign)
		p.report(ctx, err)
	}
}

// report logs a fault once, and once that it is over. That there is no JetStream is no
// fault: there is nothing that could be removed.
func (p *Purger) report(ctx context.Context, err error) {
	text := ""
	if err != nil && !streams.Absent(err) {
		text = err.Error()
	}
	switch {
	case ctx.Err() != nil || text == p.said:
		return
	case text == "":
		p.log.Info("what deleted connections left is removed again")
	default:
		p.log.Warn("what deleted connections left could not be removed; it is tried again", "error", err)
	}
	p.said = text
}

// Deleted removes what there is of a connection that was deleted right now. Where that fails
// it is logged, and done later.
func (p *Purger) Deleted(ctx context.Context, connection string) {
	ctx, cancel := context.WithTimeout(ctx, purgeWait)
	defer cancel()
	err := p.unlessSilent(ctx, func() error { return p.purgeForeign(ctx, connection) })
	if err != nil && !streams.Absent(err) {
		p.log.WarnContext(ctx, "jobs and results of a deleted connection could not be removed at once; it is tried again",
			"connection", connection, "error", err)
	}
}

// Clear removes everything of a connection that is about to be made. Where there is no
// JetStream there is nothing.
func (p *Purger) Clear(ctx context.Context, connection string) error {
	ctx, cancel := context.WithTimeout(ctx, purgeWait)
	defer cancel()
	err := p.unlessSilent(ctx, func() error {
		return p.purge(ctx, connection, func(context.Context, string) (string, error) { return "", nil })
	})
	if streams.Absent(err) {
		return nil
	}
	return err
}

// unlessSilent does something that somebody waits for, unless JetStream did not answer the last
// one who waited.
func (p *Purger) unlessSilent(ctx context.Context, purge func() error) error {
	if at := p.silent.Load(); at != 0 && time.Since(time.UnixMilli(at)) < purgeSilent {
		return errSilent
	}
	err := purge()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p.silent.Store(time.Now().UnixMilli())
		return fmt.Errorf("%w: %w", errSilent, err)
	}
	p.silent.Store(0)
	return err
}

// purgeForeign removes what does not belong to the present incarnation of a connection.
func (p *Purger) purgeForeign(ctx context.Context, connection string) error {
	return p.purge(ctx, connection, p.deletions.Incarnation)
}

// ofConnection are the lane's streams and what a connection has in them. Jobs come first, so
// that nobody takes up what is being removed.
func ofConnection(connection string) []struct{ stream, filter string } {
	return []struct{ stream, filter string }{
		{messages.JobsStream, "crm.*.*.job." + connection + ".*"},
		{messages.StateStream, messages.StateSubject(connection, "*")},
		{messages.ResultsStream, messages.ResultSubject(connection, "*")},
		{messages.DeadStream, messages.DeadSubject(connection, "*")},
	}
}

// purge removes what the streams hold now. The incarnation is asked for after that was looked
// at: where there is none then, nothing up to there can be of a later one.
func (p *Purger) purge(ctx context.Context, connection string,
	incarnation func(context.Context, string) (string, error)) error {
	all := ofConnection(connection)
	found := make([]jetstream.Stream, len(all))
	for i, of := range all {
		var err error
		found[i], err = p.js.Stream(ctx, of.stream)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("look at stream %s: %w", of.stream, err)
		}
	}
	present, err := incarnation(ctx, connection)
	if err != nil {
		return err
	}
	for i, of := range all {
		switch {
		case found[i] == nil:
		case present == "":
			err = purgeUpTo(ctx, found[i], of.filter, found[i].CachedInfo().State.LastSeq)
		case of.stream != messages.JobsStream: // a job has no incarnation before it is run
			err = p.spare(ctx, found[i], of.filter, present)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// spare removes what carries another incarnation than the present one.
func (p *Purger) spare(ctx context.Context, stream jetstream.Stream, filter, present string) error {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", stream.CachedInfo().Config.Name, err)
	}
	for subject := range info.State.Subjects {
		last, err := lastOf(ctx, p.js, info.Config.Name, subject)
		if err != nil {
			return err
		}
		if last == nil {
			continue
		}
		if of := last.Header.Get(messages.HeaderIncarnation); of == "" || of == present {
			continue
		}
		if err := purgeUpTo(ctx, stream, subject, last.Sequence); err != nil {
			return err
		}
	}
	return nil
}

// purgeUpTo removes messages of a subject up to a sequence.
func purgeUpTo(ctx context.Context, stream jetstream.Stream, filter string, last uint64) error {
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(filter), jetstream.WithPurgeSequence(last+1)); err != nil {
		return fmt.Errorf("purge %s in stream %s: %w", filter, stream.CachedInfo().Config.Name, err)
	}
	return nil
}
