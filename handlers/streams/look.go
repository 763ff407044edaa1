package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Capturing is [ErrCaptured] with the name of a stream that captures requests, nil where
// there is none, or why that is not known.
func Capturing(ctx context.Context, nc *nats.Conn) error { return capturing(ctx, nc) }

// A State is how the streams of the durable lane stand.
type State struct {
	// Absent are the streams that are not there, and Lacking the subjects of jobs that CRM_JOBS
	// does not take. Lane makes and adds them.
	Absent, Lacking []string
	// Unfit says what keeps the lane from working before somebody mends it: how a stream differs
	// from what is needed, or which ones are in the way of one that is absent.
	Unfit []string
	// Full says what takes nothing more, or soon will, and what makes room.
	Full []string
	// Made is when the streams that are there were made.
	Made map[string]time.Time
}

// Look looks at the streams without changing anything: five questions, side by side. Its error
// is ErrStreams where there is no JetStream that is recent enough, or says what did not answer;
// the State has what did.
func Look(ctx context.Context, js jetstream.JetStream, bounds Bounds) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, streamsWait)
	defer cancel()
	all := wanted(bounds)
	looks := make([]look, len(all))
	var asking sync.WaitGroup
	for i, want := range all {
		asking.Go(func() { looks[i] = lookAt(ctx, js, want) })
	}
	account, err := account(ctx, js)
	asking.Wait()
	if err != nil {
		return State{}, err
	}
	state := State{Made: map[string]time.Time{}}
	ages := map[string]time.Duration{}
	for i, look := range looks {
		want := all[i]
		switch {
		case look.err != nil:
			err = cmp.Or(err, look.err)
			continue
		case look.info == nil:
			state.Absent = append(state.Absent, want.Name)
			if look.others != "" {
				state.Unfit = append(state.Unfit, fmt.Sprintf("stream %s cannot be made, since %s", want.Name, look.others))
			}
			continue
		}
		have := look.info.Config
		if want.Name == messages.JobsStream {
			state.Lacking = missing(want.Subjects, have.Subjects)
			want.Subjects = nil
		}
		state.Unfit = append(state.Unfit, differences(want, have)...)
		state.Full = append(state.Full, full(look.info)...)
		state.Made[want.Name], ages[want.Name] = look.info.Created, have.MaxAge
		if len(state.Full) == 0 {
			state.Full = append(state.Full, usedUp(account, have)...)
		}
	}
	if late := longEnough(ages, cmp.Or(bounds.JobLifetime, DefaultJobLifetime)); late != nil {
		state.Unfit = append(state.Unfit, late.Error())
	}
	return state, err
}

// A look is what there is of one stream.
type look struct {
	info   *jetstream.StreamInfo // nil where it is not there
	others string                // those in its way then
	err    error
}

func lookAt(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) look {
	stream, err := js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return look{others: inTheWay(ctx, js, want)}
	case err != nil:
		return look{err: fmt.Errorf("look at stream %s: %w", want.Name, err)}
	}
	info := stream.CachedInfo()
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return look{err: fmt.Errorf("stream %s has no leader: too few of its servers are there", want.Name)}
	}
	return look{info: info}
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

const (
	leastRoom = 1 << 20 // of a stream or an account that is not full: a page with its headers
	smallRoom = 50      // or so much of a small one's bound
)

// spent reports whether a bound leaves no room to speak of.
func spent(used uint64, bound int64) bool {
	return bound > 0 && (used >= uint64(bound) || uint64(bound)-used < uint64(min(leastRoom, bound/smallRoom)))
}

// full says of a stream that refuses what is beyond its bounds that it has reached one.
func full(info *jetstream.StreamInfo) []string {
	have, state := info.Config, info.State
	if have.Discard != jetstream.DiscardNew {
		return nil
	}
	const by = "nats stream edit %s --max-%s"
	var bound, edit string
	switch {
	case spent(state.Bytes, have.MaxBytes):
		bound = fmt.Sprintf("%d of max_bytes %d", state.Bytes, have.MaxBytes)
		edit = fmt.Sprintf(by, have.Name, "bytes")
	case have.MaxMsgs > 0 && state.Msgs >= uint64(have.MaxMsgs):
		bound = fmt.Sprintf("%d of max_msgs %d", state.Msgs, have.MaxMsgs)
		edit = fmt.Sprintf(by, have.Name, "msgs")
	default:
		return nil
	}
	switch have.Name {
	case messages.JobsStream:
		return []string{fmt.Sprintf("stream %s is full (%s), and new jobs are refused until others have ended: %s",
			have.Name, bound, edit)}
	case messages.ResultsStream:
		return []string{fmt.Sprintf("stream %s is full (%s), and jobs wait: jobs.delete what has been read, or %s",
			have.Name, bound, edit)}
	}
	return []string{fmt.Sprintf("stream %s is full (%s), and jobs cannot go on: %s, or --discard=old", have.Name, bound,
		edit)}
}

// usedUp says that the account has no more storage for a stream.
func usedUp(account *jetstream.AccountInfo, have jetstream.StreamConfig) []string {
	tier := account.Tier
	if own, ok := account.Tiers[fmt.Sprintf("R%d", have.Replicas)]; ok {
		tier = own
	}
	used, bound, kind := tier.Store, tier.Limits.MaxStore, "disk"
	if have.Storage == jetstream.MemoryStorage {
		used, bound, kind = tier.Memory, tier.Limits.MaxMemory, "memory"
	}
	if !spent(used, bound) {
		return nil
	}
	return []string{fmt.Sprintf("the streams of this account fill its %s storage (%d of %d), and %s takes nothing more: "+
		"nats account info; raise the account's limit", kind, used, bound, have.Name)}
}

// Words says in one sentence what is wrong with the streams and what mends it; "" for nothing.
// What Lane makes or adds is not wrong by itself.
func (s State) Words() string {
	parts := s.Full
	if len(s.Unfit) > 0 {
		parts = append([]string{strings.Join(s.Unfit, "; ") + ": nats stream edit STREAM, or nats stream rm STREAM where " +
			"what it holds is not needed: it is made anew"}, parts...)
	}
	return strings.Join(parts, "; ")
}
