package durable

import (
	"errors"
	"time"

	"github.com/crmbridge/crmbridge/handlers/streams"
)

// notStarted is why there is no durable lane before Start.
const notStarted = "it has not been started"

// prepared notes whether there are streams. Streams that were there once are still there where
// NATS just does not answer.
func (s *follower) prepared(err error, l *Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.missing
	switch {
	case err == nil:
		s.missing = ""
	case lasts(err):
		s.missing = err.Error()
	case was == notStarted:
		s.missing = "JetStream does not answer; may this NATS user publish to $JS.API.>? (" + err.Error() + ")"
	}
	switch {
	case s.missing == was:
	case s.missing == "":
		l.log.Info("the durable lane runs", "process", l.name)
	case was == "" || was == notStarted:
		l.log.Warn("there is no durable lane: jobs are not run until this is mended; requests are answered",
			"error", s.missing)
	}
}

// lasts reports whether an error stays until somebody has mended what it names.
func lasts(err error) bool {
	return errors.Is(err, streams.ErrStreams) || errors.Is(err, streams.ErrLifetime)
}

// failed notes that jobs are not heard of.
func (s *follower) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck = err.Error(); s.since.IsZero() {
		s.since = time.Now()
	}
}

// well notes that all jobs are heard of.
func (s *follower) well() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck, s.since = "", time.Time{}
}

func (s *follower) lacks() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missing
}

func (s *follower) trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.missing != "":
		return s.missing
	case s.stuck != "" && time.Since(s.since) > troubleAfter:
		return "jobs are not heard of: " + s.stuck
	}
	return ""
}
