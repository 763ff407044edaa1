package durable

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

const (
	// listReads are how many records of a list are read at a time.
	listReads = 16
	// listHead is what a reply takes beside its jobs, in bytes.
	listHead = 512
)

// List is one page of jobs in the order of their ids. Without a connection these are the jobs
// that wait and run, as far as this process knows them.
func (l *Lane) List(ctx context.Context, in messages.JobsListRequest, budget int) (messages.JobsListReply, error) {
	none := messages.JobsListReply{Jobs: []messages.Job{}}
	if in.Connection == "" {
		if err := l.available(); err != nil {
			return none, err
		}
		after, err := listAfter(in.Cursor, true)
		if err != nil {
			return none, err
		}
		jobs := l.known(after, int(in.PageSize)+1)
		more := len(jobs) > int(in.PageSize)
		return listReply(jobs[:min(len(jobs), int(in.PageSize))], more, budget, func(j messages.Job) string {
			return j.Connection + "." + j.ID
		})
	}
	incarnation, err := l.present(ctx, in.Connection)
	if err != nil {
		return none, err
	}
	after, err := listAfter(in.Cursor, false)
	if err != nil {
		return none, err
	}
	ids, err := l.ids(ctx, in.Connection, ids{after: after.id, most: int(in.PageSize) + 1})
	if err != nil {
		return none, asked(ctx, err)
	}
	more := len(ids) > int(in.PageSize)
	ids = ids[:min(len(ids), int(in.PageSize))]
	jobs, err := l.describe(ctx, in.Connection, ids, incarnation)
	if err != nil {
		return none, asked(ctx, err)
	}
	reply, err := listReply(jobs, more, budget, func(j messages.Job) string { return j.ID })
	if more && len(reply.Jobs) == len(jobs) {
		reply.NextCursor = listCursor(ids[len(ids)-1].id) // which may be another incarnation's, or gone
	}
	return reply, err
}

// Latest are at most n jobs of a connection, those whose ids come last, in their order: ids that were
// made for their publishers follow time.
func (l *Lane) Latest(ctx context.Context, connection string, n int) ([]messages.Job, error) {
	incarnation, err := l.present(ctx, connection)
	if err != nil {
		return nil, err
	}
	ids, err := l.ids(ctx, connection, ids{last: true, most: n})
	if err != nil {
		return nil, asked(ctx, err)
	}
	jobs, err := l.describe(ctx, connection, ids, incarnation)
	return jobs, asked(ctx, err)
}

// listReply is as many of the jobs as fit, and where it goes on if there are more.
func listReply(jobs []messages.Job, more bool, budget int, place func(messages.Job) string) (messages.JobsListReply,
	error) {
	reply := messages.JobsListReply{Jobs: []messages.Job{}}
	left := budget - listHead
	for _, job := range jobs {
		text, err := json.Marshal(job)
		if err != nil {
			return reply, fmt.Errorf("encode a job: %w", err)
		}
		if left -= len(text) + 1; left < 0 && len(reply.Jobs) > 0 {
			more = true
			break
		}
		reply.Jobs = append(reply.Jobs, job)
	}
	if more && len(reply.Jobs) > 0 {
		reply.NextCursor = listCursor(place(reply.Jobs[len(reply.Jobs)-1]))
	}
	return reply, nil
}

// listCursor is the last job that was listed. There is nothing in it to protect.
func listCursor(place string) string { return base64.RawURLEncoding.EncodeToString([]byte(place)) }

// listAfter reads a cursor: of a connection's jobs, or of all.
func listAfter(cursor string, all bool) (jobKey, error) {
	if cursor == "" {
		return jobKey{}, nil
	}
	place, err := base64.RawURLEncoding.DecodeString(cursor)
	after := jobKey{id: string(place)}
	if all {
		after.connection, after.id, _ = strings.Cut(string(place), ".")
	}
	if err != nil || !messages.ValidJobID(after.id) || all && !messages.ValidConnection(after.connection) {
		return after, messages.Invalid("cursor",
			"is not a next_cursor of jobs.list for the same connection, or for none")
	}
	return after, nil
}

// A listed job is an id, and the subject of its message where it has one.
type listed struct{ id, message string }

// ids are those of a connection's jobs that are wanted, in their order: of those that have a
// record, and of those that wait for their first claim.
func (l *Lane) ids(ctx context.Context, connection string, wanted ids) ([]listed, error) {
	for _, of := range ofConnection(connection)[:2] { // jobs and records
		err := subjectsOf(ctx, l.js, of.stream, of.filter, func(subject string, _ uint64) {
			one := listed{id: subject[strings.LastIndexByte(subject, '.')+1:]}
			if of.stream == messages.JobsStream {
				one.message = subject
			}
			wanted.add(one)
		})
		if err != nil {
			return nil, err
		}
		wanted.cut()
	}
	return wanted.found, nil
}

// ids keep the first of many after one, or the last.
type ids struct {
	after string
	last  bool
	most  int
	found []listed
}

func (i *ids) add(one listed) {
	if one.id <= i.after {
		return
	}
	if i.found = append(i.found, one); len(i.found) >= 4*i.most+1000 {
		i.cut()
	}
}

// cut sorts what was found and keeps those that are wanted, each once, with its message if any.
func (i *ids) cut() {
	slices.SortFunc(i.found, func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(b.message, a.message))
	})
	i.found = slices.CompactFunc(i.found, func(a, b listed) bool { return a.id == b.id })
	if beyond := max(0, len(i.found)-i.most); i.last {
		i.found = i.found[beyond:]
	} else {
		i.found = i.found[:len(i.found)-beyond]
	}
}

// subjectsOf calls see with every subject of a stream that a filter matches, and how many
// messages it has. A server lists up to 100,000 at a time.
func subjectsOf(ctx context.Context, js jetstream.JetStream, stream, filter string,
	see func(subject string, messages uint64)) error {
	for offset := 0; ; {
		ask, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset})
		if err != nil {
			return fmt.Errorf("encode a request to JetStream: %w", err)
		}
		var answer struct {
			Error *jetstream.APIError `json:"error"`
			Total int                 `json:"total"`
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		if err := streamInfo(ctx, js, stream, ask, &answer); err != nil {
			return err
		}
		if answer.Error != nil {
			return fmt.Errorf("look at stream %s: %w", stream, answer.Error)
		}
		for subject, n := range answer.State.Subjects {
			see(subject, n)
		}
		if offset += len(answer.State.Subjects); len(answer.State.Subjects) == 0 || offset >= answer.Total {
			return nil
		}
	}
}

func streamInfo(ctx context.Context, js jetstream.JetStream, stream string, ask []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*apiWait)
	defer cancel()
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.INFO."+stream, ask)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", stream, err)
	}
	if err := route.Reserve(ctx, len(reply.Data)); err != nil {
		return err
	}
	if err := json.Unmarshal(reply.Data, into); err != nil {
		return fmt.Errorf("look at stream %s: the answer is not JetStream's: %w", stream, err)
	}
	return nil
}

// describe reads the records of jobs, and of those without one their messages. One that is gone
// meanwhile, or of another incarnation, is left out.
func (l *Lane) describe(ctx context.Context, connection string, all []listed, incarnation string) ([]messages.Job,
	error) {
	found := make([]*messages.Job, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(listReads)
	for i, one := range all {
		group.Go(dynamics.Guard(func() (err error) {
			found[i], err = l.describeOne(ctx, jobKey{connection, one.id}, one.message, incarnation)
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	jobs := make([]messages.Job, 0, len(found))
	for _, job := range found {
		if job != nil {
			jobs = append(jobs, *job)
		}
	}
	return jobs, nil
}

// describeOne is one job of a list, nil where there is none.
func (l *Lane) describeOne(ctx context.Context, key jobKey, message, incarnation string) (*messages.Job, error) {
	v := view{key: key}
	msg, err := direct(ctx, l.js, messages.StateStream,
		directAsk{LastBySubject: messages.StateSubject(key.connection, key.id)})
	if err != nil {
		return nil, err
	}
	if msg != nil && json.Unmarshal(msg.Data, &v.record) == nil && ofIncarnation(v.record.Incarnation, incarnation) {
		v.at = msg.Sequence
	} else {
		v.record = messages.JobRecord{}
	}
	if !v.described() && message != "" {
		v.message, err = direct(ctx, l.js, messages.JobsStream, directAsk{LastBySubject: message})
	}
	if err != nil || !v.there() {
		return nil, err
	}
	job := v.job()
	return &job, nil
}
