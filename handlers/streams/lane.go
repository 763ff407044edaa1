package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Bounds are what the streams of the durable lane are made with. Zero values mean the
// default.
type Bounds struct {
	// Tables are served beside messages.Tables.
	Tables []messages.Table
	// Replicas are those of streams that are made; default 1.
	Replicas int
	// ResultsMaxBytes bounds CRM_RESULTS where it is made; default 4 GiB.
	ResultsMaxBytes int64
	// JobLifetime is how long after its publication a job may run; default 24 h.
	JobLifetime time.Duration
}

// What the streams keep where they are made here.
const (
	DefaultResultsMaxBytes = 4 << 30
	DefaultJobLifetime     = 24 * time.Hour

	jobsKept    = 8 * 24 * time.Hour
	resultsKept = 48 * time.Hour
	stateKept   = 7 * 24 * time.Hour
	deadKept    = 30 * 24 * time.Hour

	// Whoever may publish jobs must not be able to fill the account's storage with them, or with
	// their records: then no record can be written, and no job of anybody is claimed or ended.
	// Jobs beyond the bound are refused, of records and dead letters the oldest go: those of jobs
	// that run are rewritten all the time.
	// A server without room to reserve that much makes these two without a bound.
	jobsMaxBytes  = 512 << 20
	stateMaxBytes = 2 << 30
	deadMaxBytes  = 1 << 30

	jobsDuplicate = 2 * time.Minute
	// leastDuplicate is the shortest window that a server takes. Results have no ids: in a
	// cluster a duplicate is answered before the guard is looked at.
	leastDuplicate = 100 * time.Millisecond

	// resultsRead is how long the last page of a job may be read at least, and jobsLonger
	// how long a job's message must outlive the job.
	resultsRead = 24 * time.Hour
	jobsLonger  = 24 * time.Hour
)

// ErrLifetime is the error where the streams keep their messages for less time than
// JOB_LIFETIME needs.
var ErrLifetime = errors.New("JOB_LIFETIME is too long")

// ErrStreams is the error where the streams cannot be used before somebody mends what it
// names: there is no JetStream, it is too old, it has no room, or a stream differs in what
// the lane relies on.
var ErrStreams = errors.New("no durable lane")

// Lane makes the streams of the durable lane where they are missing, and looks whether
// those that are there can be used. Subjects of tables that CRM_JOBS lacks are added, and
// nothing else of a present stream is changed. The error says in one sentence what is
// missing: it is ErrStreams or ErrLifetime where waiting does not help.
func Lane(ctx context.Context, js jetstream.JetStream, bounds Bounds) error {
	if err := recent(ctx, js); err != nil {
		return err
	}
	var wrong []string
	ages := map[string]time.Duration{}
	for _, want := range wanted(bounds) {
		have, err := present(ctx, js, want)
		if err != nil {
			return err
		}
		wrong = append(wrong, differences(want, have)...)
		ages[want.Name] = have.MaxAge
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s; crmbridge does not change a stream that is there", ErrStreams,
			strings.Join(wrong, "; "))
	}
	return longEnough(ages, cmp.Or(bounds.JobLifetime, DefaultJobLifetime))
}

// wanted are the streams as they are made. Those that must have their room come first.
func wanted(bounds Bounds) []jetstream.StreamConfig {
	streams := []jetstream.StreamConfig{
		{Name: messages.ResultsStream, Description: "results of crmbridge's jobs",
			Subjects: []string{messages.ResultSubjects}, MaxMsgsPerSubject: -1, Discard: jetstream.DiscardNew,
			MaxAge: resultsKept, MaxBytes: cmp.Or(bounds.ResultsMaxBytes, DefaultResultsMaxBytes),
			Duplicates: leastDuplicate, AllowAtomicPublish: true},
		{Name: messages.DeadStream, Description: "requests of crmbridge's jobs that failed for good",
			Subjects: []string{messages.DeadSubjects}, MaxMsgsPerSubject: 1, MaxAge: deadKept,
			MaxBytes: deadMaxBytes, Duplicates: leastDuplicate},
		{Name: messages.JobsStream, Description: "jobs of crmbridge that have not ended",
			Subjects: messages.JobSubjects(bounds.Tables), MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
			DiscardNewPerSubject: true, MaxAge: jobsKept, MaxBytes: jobsMaxBytes, Duplicates: jobsDuplicate},
		{Name: messages.StateStream, Description: "records of crmbridge's jobs",
			Subjects: []string{messages.StateSubjects}, MaxMsgsPerSubject: 1, MaxAge: stateKept,
			MaxBytes: stateMaxBytes, Duplicates: leastDuplicate},
	}
	for i := range streams {
		streams[i].Storage, streams[i].AllowDirect = jetstream.FileStorage, true
		streams[i].Replicas = cmp.Or(bounds.Replicas, 1)
	}
	return streams
}

// present is the configuration of a stream that is there, or is made.
func present(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, want)
		if mayBeUnbounded(want) && lacksRoom(err) {
			unbounded := want
			unbounded.MaxBytes = -1
			if other, again := js.CreateStream(ctx, unbounded); again == nil {
				stream, err = other, nil
			}
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was first
			stream, err = js.Stream(ctx, want.Name)
		}
		if err != nil {
			return want, noRoom(ctx, js, want, err)
		}
	}
	if err != nil {
		return want, fmt.Errorf("look at stream %s: %w", want.Name, err)
	}
	have := stream.CachedInfo().Config
	if want.Name != messages.JobsStream || len(missing(want.Subjects, have.Subjects)) == 0 {
		return have, nil
	}
	have.Subjects, err = addSubjects(ctx, js, want.Name, want.Subjects)
	return have, err
}

// mayBeUnbounded reports whether a stream works without a bound in bytes too.
func mayBeUnbounded(want jetstream.StreamConfig) bool {
	return want.Name == messages.JobsStream || want.Name == messages.StateStream
}

// longEnough compares the time that a job has with that for which the streams keep it.
func longEnough(ages map[string]time.Duration, lifetime time.Duration) error {
	for _, stream := range []struct {
		name string
		less time.Duration
		why  string
	}{
		{messages.ResultsStream, resultsRead, "so that its results can still be read for that long when it ends"},
		{messages.JobsStream, jobsLonger, "so that the stream does not drop it before it is ended"},
	} {
		age := ages[stream.name]
		if age != 0 && lifetime > age-stream.less {
			return fmt.Errorf("%w: it is %s and may be at most %s, the max_age of stream %s (%s) less %s, %s",
				ErrLifetime, spell(lifetime), spell(max(age-stream.less, 0)), stream.name, spell(age), spell(stream.less),
				stream.why)
		}
	}
	return nil
}

// differences are those in what the lane relies on. Replicas, ages, bounds of the storage
// and everything else is an operator's.
func differences(want, have jetstream.StreamConfig) []string {
	var found []string
	differ := func(field string, is, must any) {
		if is != must {
			found = append(found, fmt.Sprintf("stream %s has %s %v and needs %v", want.Name, field, is, must))
		}
	}
	differ("retention", have.Retention, want.Retention)
	differ("max_msgs_per_subject", perSubject(have), perSubject(want))
	if want.Discard == jetstream.DiscardNew {
		differ("discard", have.Discard, want.Discard)
	}
	differ("discard_new_per_subject", have.DiscardNewPerSubject, want.DiscardNewPerSubject)
	differ("allow_direct", have.AllowDirect, true)
	if want.AllowAtomicPublish {
		differ("allow_atomic", have.AllowAtomicPublish, true)
	}
	// These would refuse what the lane does, or change what it stores.
	differ("sealed", have.Sealed, false)
	differ("no_ack", have.NoAck, false)
	differ("deny_delete", have.DenyDelete, false)
	differ("deny_purge", have.DenyPurge, false)
	if have.Mirror != nil || len(have.Sources) > 0 {
		found = append(found, fmt.Sprintf("stream %s is filled from other streams (mirror, sources)", want.Name))
	}
	if have.SubjectTransform != nil {
		found = append(found, fmt.Sprintf("stream %s has a subject_transform", want.Name))
	}
	for _, subject := range missing(want.Subjects, have.Subjects) {
		found = append(found, fmt.Sprintf("stream %s lacks the subject %s in subjects", want.Name, subject))
	}
	return found
}

// perSubject is max_msgs_per_subject; a server answers -1 or 0 where there is no bound.
func perSubject(config jetstream.StreamConfig) int64 { return max(config.MaxMsgsPerSubject, 0) }

// missing are the subjects that no subject of a stream covers.
func missing(want, have []string) (lacking []string) {
	for _, subject := range want {
		if !slices.ContainsFunc(have, func(pattern string) bool { return covers(pattern, subject) }) {
			lacking = append(lacking, subject)
		}
	}
	return lacking
}

// covers reports whether every subject that fits subject fits pattern.
func covers(pattern, subject string) bool {
	patterns, tokens := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, p := range patterns {
		switch {
		case p == ">":
			return i < len(tokens)
		case i >= len(tokens), tokens[i] == ">", p != "*" && p != tokens[i]:
			return false
		}
	}
	return len(patterns) == len(tokens)
}

// spell writes a time without the zeros at its end: 24h, not 24h0m0s.
func spell(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}
