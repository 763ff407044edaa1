package durable

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

const (
	standingEvery = 15 * time.Second // without being asked, and a little less or more
	standingFresh = time.Second      // however many ask, JetStream is asked no more often; tests shorten it
	standingAgain = time.Minute      // between two lines about what is wrong
	anewShown     = 10 * time.Minute // that a stream was made anew
	// refusedShown is how long a write that was refused for want of room is reported: a job that
	// waits for room writes again before that is over.
	refusedShown = time.Minute
)

// A standing is how the streams stand: as a look said last, and what writes met with since.
type standing struct {
	ask     chan struct{} // has the streams looked at before it is time; a capacity of one
	refused refusals
	fresh   time.Duration // standingFresh
	every   time.Duration // standingEvery; tests that count messages have it longer

	mu      sync.Mutex
	looked  time.Time
	wrong   string               // in a sentence; "" where jobs can be run
	made    map[string]time.Time // the streams that were there
	anew    map[string]time.Time // when it was found that one had been made anew
	pending chan struct{}        // closed by the end of the next look; nil where nobody waits for it
	warned  time.Time            // zero while the log knows of nothing wrong
}

// Streams is why jobs cannot be run by the streams as they are, or what has become of them; ""
// for nothing. It waits for a look that is not older than a second until ctx ends, and goes by
// the last one otherwise. A missing stream is made anew, with the next look at the latest.
func (l *Lane) Streams(ctx context.Context) string {
	if pending := l.standing.due(); pending != nil {
		select {
		case <-pending:
		case <-ctx.Done():
		case <-l.following.Done():
		}
	}
	if wrong := l.standing.trouble(); wrong != "" {
		return wrong
	}
	return l.standing.news()
}

// StreamsStand reports whether jobs can be run by the streams as they were last. Where that is
// not new they are looked at, and nobody waits for it.
func (l *Lane) StreamsStand() bool {
	l.standing.due()
	return l.standing.trouble() == ""
}

// watch looks at the streams until ctx ends.
func (l *Lane) watch(ctx context.Context) {
	tick := time.NewTicker(l.standing.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-l.standing.ask:
		}
		if !l.nc.IsConnected() {
			l.standing.away()
			continue
		}
		state, err := streams.Look(ctx, l.js, l.bounds())
		if ctx.Err() != nil {
			return
		}
		missing := err == nil && len(state.Absent)+len(state.Lacking) > 0
		l.standing.take(l.wordsOf(state, err), state, l)
		if missing {
			l.state.prepareAgain()
		}
	}
}

// bounds are what the streams are made with.
func (l *Lane) bounds() streams.Bounds {
	return streams.Bounds{Tables: l.options.Tables, Replicas: l.options.Replicas,
		ResultsMaxBytes: l.options.ResultsMaxBytes, JobLifetime: l.options.JobLifetime}
}

// wordsOf says what is wrong with the streams.
func (l *Lane) wordsOf(state streams.State, err error) string {
	var parts []string
	switch {
	case errors.Is(err, streams.ErrStreams):
		return err.Error()
	case err != nil:
		parts = append(parts, "JetStream does not answer: nats account info, nats stream report ("+err.Error()+")")
	}
	if lacks := l.missing(); lacks != "" && len(state.Absent) > 0 {
		parts = append(parts, lacks) // why they cannot be made
	}
	if words := state.Words(); words != "" {
		parts = append(parts, words)
	}
	for _, name := range state.Absent {
		parts = append(parts, "stream "+name+" is missing: it is made anew, without what it held")
	}
	if len(state.Lacking) > 0 {
		parts = append(parts, "stream "+messages.JobsStream+" lacks the subjects "+strings.Join(state.Lacking, ", ")+
			": they are added")
	}
	return strings.Join(parts, "; ")
}

// due has the streams looked at where the last look is old, and is closed then by the end of it;
// nil where it is not old.
func (s *standing) due() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) < s.fresh {
		return nil
	}
	if s.pending == nil {
		s.pending = make(chan struct{})
		s.hurry()
	}
	return s.pending
}

func (s *standing) hurry() {
	select {
	case s.ask <- struct{}{}:
	default:
	}
}

// prepared takes in why the streams could not be prepared, and has them looked at.
func (s *standing) prepared(lacks string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lacks != "" {
		s.wrong, s.warned = lacks, time.Now() // it is logged by whoever prepared them
	}
	s.looked = time.Time{}
	s.hurry()
}

// away notes that there is nobody to ask, which the log says anyway.
func (s *standing) away() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = "not connected to NATS"
	s.done()
}

// done ends a look.
func (s *standing) done() {
	s.looked = time.Now()
	if s.pending != nil {
		close(s.pending)
		s.pending = nil
	}
}

// take takes in what a look has found, and logs what has changed.
func (s *standing) take(wrong string, state streams.State, l *Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(state.Made)) {
		made := state.Made[name]
		if was, known := s.made[name]; known && !was.Equal(made) {
			s.anew[name] = now
			l.log.Warn("a stream was deleted and made anew: what it held is gone", "stream", name)
		}
		s.made[name] = made
	}
	switch {
	case wrong != "" && now.Sub(s.warned) >= standingAgain:
		s.warned = now
		l.log.Warn("the streams of jobs are not as they must be; requests are answered", "error", wrong)
	case wrong == "" && !s.warned.IsZero():
		s.warned = time.Time{}
		l.log.Info("the streams of jobs are as they must be again")
	}
	s.wrong = wrong
	s.done()
}

func (s *standing) trouble() string {
	s.mu.Lock()
	wrong := s.wrong
	s.mu.Unlock()
	if wrong != "" {
		return wrong
	}
	return s.refused.words()
}

// news names the streams that were made anew lately.
func (s *standing) news() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.anew)) {
		if at := s.anew[name]; time.Since(at) < anewShown {
			parts = append(parts, fmt.Sprintf("stream %s was deleted and made anew before %s: what it held is gone", name,
				at.UTC().Format(time.RFC3339)))
		}
	}
	return strings.Join(parts, "; ")
}

// refusals are the streams that refused a write for want of room, and have taken none since.
// Those of the server's own storage are not to be had otherwise.
type refusals struct {
	mu sync.Mutex
	of map[string]refusedWrite // by stream
}

type refusedWrite struct {
	at   time.Time
	said string
}

// wrote notes what a write to a stream came to.
func (r *refusals) wrote(stream string, err error) {
	said, isFull := full(err)
	if err != nil && !isFull || r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.of, stream)
		return
	}
	if r.of == nil {
		r.of = map[string]refusedWrite{}
	}
	r.of[stream] = refusedWrite{time.Now(), fmt.Sprintf("%s, %d", said.Description, said.ErrorCode)}
}

func (r *refusals) words() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.of)) {
		if was := r.of[name]; time.Since(was.at) < refusedShown {
			parts = append(parts, fmt.Sprintf("stream %s takes nothing more (%s): jobs wait; make room with jobs.delete, "+
				"or raise the bound of the stream, the account's limit, or the server's jetstream.max_file_store", name,
				was.said))
		}
	}
	return strings.Join(parts, "; ")
}
