package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/messages"
)

// known is what is known of CRM_RESULTS, and whether it is the caller's to look again; the
// others go on with what is known meanwhile.
func (s *shares) known() (known room, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known = s.room
	if due = known.at.IsZero() || time.Since(known.at) >= s.age; due && !known.at.IsZero() {
		s.room.at = time.Now()
	}
	return known, due
}

// look is how full CRM_RESULTS is.
func (s *shares) look(ctx context.Context) (room, error) {
	known, due := s.known()
	if !due {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	stream, err := s.lane.js.Stream(ctx, messages.ResultsStream)
	if err != nil {
		return known, fmt.Errorf("look how full %s is: %w", messages.ResultsStream, err)
	}
	info := stream.CachedInfo()
	known = room{bound: info.Config.MaxBytes, used: int64(min(info.State.Bytes, 1<<62)), at: time.Now()}
	if known.bound <= 0 { // its operator took the bound away
		known.bound = s.lane.options.ResultsMaxBytes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = known
	return known, nil
}

// knownOf is known of what a connection holds.
func (s *shares) knownOf(connection string) (known holding, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.held[connection]
	if due = !ok || time.Since(known.at) >= known.keep; due && ok {
		again := known
		again.at = time.Now()
		s.held[connection] = again
	}
	return known, due
}

// of is what the jobs of a connection hold: those that have results, by their records.
func (s *shares) of(ctx context.Context, connection string) ([]holder, error) {
	known, due := s.knownOf(connection)
	if !due {
		return known.jobs, nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*apiWait)
	defer cancel()
	results, err := s.lane.js.Stream(ctx, messages.ResultsStream)
	if err != nil {
		return nil, fmt.Errorf("look what a connection holds: %w", err)
	}
	info, err := results.Info(ctx, jetstream.WithSubjectFilter(messages.ResultSubject(connection, "*")))
	if err != nil {
		return nil, fmt.Errorf("look what a connection holds: %w", err)
	}
	jobs, err := s.records(ctx, connection, info.State.Subjects)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) >= sharesKept {
		clear(s.held)
	}
	keep := s.age
	if keep > 0 {
		keep += shareCost * time.Since(began)
	}
	s.held[connection] = holding{jobs: jobs, at: time.Now(), keep: keep}
	return jobs, nil
}

// records reads the records of jobs that have results. Of very many jobs some stand for the
// rest: what they hold together is the last one's then, which has no id.
func (s *shares) records(ctx context.Context, connection string, subjects map[string]uint64) ([]holder, error) {
	records, err := s.lane.js.Stream(ctx, messages.StateStream)
	if err != nil {
		return nil, fmt.Errorf("look what a connection holds: %w", err)
	}
	prefix := len(messages.ResultSubject(connection, ""))
	read, rest := chosen(subjects)
	jobs := make([]holder, len(read))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(shareReads)
	for i, subject := range read {
		id, at := subject[prefix:], &jobs[i]
		group.Go(func() error {
			msg, err := records.GetLastMsgForSubject(ctx, messages.StateSubject(connection, id))
			var record messages.JobRecord
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound):
				return nil
			case err != nil:
				return fmt.Errorf("look what a connection holds: %w", err)
			case json.Unmarshal(msg.Data, &record) == nil:
				*at = holder{id: id, bytes: sane(record).Bytes, queued: record.QueuedAt,
					running: record.Owner != "", ended: record.State.Ended()}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || rest == 0 {
		return jobs, err
	}
	var sum int64
	by := jobs[len(jobs)-shareRecords/2:]
	for _, job := range by {
		sum += min(job.bytes, mostCounted/shareRecords)
	}
	return append(jobs, holder{bytes: int64(float64(sum) / float64(len(by)) * float64(rest))}), nil
}

// chosen are the subjects whose records are read, and how many others there are. With others,
// the second half of them is chosen by chance.
func chosen(subjects map[string]uint64) (read []string, others int) {
	read = slices.Collect(maps.Keys(subjects))
	if len(read) <= shareRecords {
		return read, 0
	}
	slices.SortFunc(read, func(a, b string) int { return cmp.Compare(subjects[b], subjects[a]) })
	rest := read[shareRecords/2:]
	for i := range shareRecords / 2 {
		j := i + rand.N(len(rest)-i)
		rest[i], rest[j] = rest[j], rest[i]
	}
	return read[:shareRecords], len(read) - shareRecords
}
