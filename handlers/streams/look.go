package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// ErrUnfit is the error where a stream that is there keeps the durable lane from working.
var ErrUnfit = errors.New("a stream is in the way")

// Capturing is [ErrCaptured] with the name of a stream that captures requests, nil where
// there is none, or why that is not known.
func Capturing(ctx context.Context, nc *nats.Conn) error { return capturing(ctx, nc) }

// Look is [Lane] without changing anything: it says whether the streams that are there can
// be used (else ErrUnfit), whether others are in the way of those that are missing, and which
// ones these are. ErrStreams is that there is no JetStream that is recent enough. Subjects
// that CRM_JOBS lacks are not reported: Lane adds them.
func Look(ctx context.Context, js jetstream.JetStream, bounds Bounds) (absent []string, err error) {
	if err := recent(ctx, js); err != nil {
		return nil, err
	}
	var wrong []string
	for _, want := range wanted(bounds) {
		stream, err := js.Stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			absent = append(absent, want.Name)
			if others := inTheWay(ctx, js, want); others != "" {
				wrong = append(wrong, fmt.Sprintf("stream %s cannot be made, since %s", want.Name, others))
			}
			continue
		case err != nil:
			return nil, fmt.Errorf("look at stream %s: %w", want.Name, err)
		}
		have := stream.CachedInfo().Config
		if want.Name == messages.JobsStream {
			want.Subjects = nil
		}
		wrong = append(wrong, differences(want, have)...)
	}
	if len(wrong) > 0 {
		return absent, fmt.Errorf("%w: %s", ErrUnfit, strings.Join(wrong, "; "))
	}
	return absent, nil
}

// inTheWay says which streams have subjects of one that is not there; "" for none.
func inTheWay(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) string {
	listing, cancel := context.WithTimeout(ctx, streamsWait)
	defer cancel() // ends the listers too, where a name is left unread
	for _, subject := range want.Subjects {
		for range js.StreamNames(listing, jetstream.WithStreamListSubject(subject)).Name() {
			return taken(ctx, js, want)
		}
	}
	return ""
}
