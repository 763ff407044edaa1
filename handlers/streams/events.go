package streams

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

const (
	eventsKept      = 7 * 24 * time.Hour
	eventsDuplicate = 24 * time.Hour // how late a repeated publish may come and still be known
)

// Events makes the stream CRM_EVENTS, or lets a present one keep events long enough. What an
// operator has set beyond that (replicas, storage, a longer time) stays.
func Events(ctx context.Context, js jetstream.JetStream) error {
	stream, err := js.Stream(ctx, messages.EventsStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: messages.EventsStream, Description: "changes of crmbridge's connections",
			Subjects: []string{messages.EventSubjects},
			Storage:  jetstream.FileStorage, MaxAge: eventsKept, Duplicates: eventsDuplicate, AllowDirect: true,
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil // another process was first
		}
		return err
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	want := have
	if !slices.Contains(have.Subjects, messages.EventSubjects) {
		// Subjects of one stream may not overlap: narrower ones go.
		others := slices.DeleteFunc(slices.Clone(have.Subjects), func(subject string) bool {
			return strings.HasPrefix(subject, strings.TrimSuffix(messages.EventSubjects, ">"))
		})
		want.Subjects = append(others, messages.EventSubjects)
	}
	if have.MaxAge != 0 {
		want.MaxAge = max(have.MaxAge, eventsKept)
	}
	want.Duplicates = max(have.Duplicates, eventsDuplicate)
	if slices.Equal(want.Subjects, have.Subjects) && want.MaxAge == have.MaxAge && want.Duplicates == have.Duplicates {
		return nil
	}
	_, err = js.UpdateStream(ctx, want)
	return err
}

// Why words why there is no stream.
func Why(err error) string {
	switch {
	case Absent(err):
		return "this NATS account has none (or this user may not use it)"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "it does not answer"
	}
	return err.Error()
}
