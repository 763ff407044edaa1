package messagestest

import (
	"context"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Answer answers jobs.get, jobs.results, jobs.list, jobs.cancel and jobs.delete from now on.
func (l *Lane) Answer() {
	l.t.Helper()
	nc := l.Connect() // it ends before that of the streams, which the answers read
	for op, with := range map[messages.Operation]func(messages.JobRequest, *nats.Msg) (*nats.Msg, *messages.Error){
		messages.JobsGet: l.get, messages.JobsResults: l.results, messages.JobsDelete: l.delete,
		messages.JobsCancel: l.cancel, messages.JobsList: l.list,
	} {
		if _, err := nc.QueueSubscribe(op.ScopedSubject("*"), messages.QueueGroup, func(msg *nats.Msg) {
			l.mu.Lock()
			refuse := l.refuse
			l.mu.Unlock()
			var in messages.JobRequest
			var reply *nats.Msg
			var fault *messages.Error
			if err := json.Unmarshal(msg.Data, &in); err != nil {
				fault = messages.Invalid("", "%v", err)
			}
			if refuse != nil && fault == nil {
				fault = refuse(op, msg)
			}
			if fault == nil {
				reply, fault = with(in, msg)
			}
			if fault != nil {
				reply = bodied(messages.ErrorReply{Error: fault})
				reply.Header.Set(messages.HeaderErrorCode, string(fault.Code))
			}
			reply.Header.Set(messages.HeaderRequestID, msg.Header.Get(messages.HeaderRequestID))
			reply.Subject = msg.Reply
			if err := nc.PublishMsg(reply); err != nil {
				l.t.Error(err)
			}
		}); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		l.t.Fatal(err)
	}
}

// Refuse has requests answered with what refuse returns, unless that is nil.
func (l *Lane) Refuse(refuse func(op messages.Operation, msg *nats.Msg) *messages.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = refuse
}

// job is what is known of a job.
func (l *Lane) job(connection, id string) (messages.JobRecord, *messages.Error) {
	var record messages.JobRecord
	if msg := l.last(messages.StateStream, messages.StateSubject(connection, id)); msg != nil {
		if err := json.Unmarshal(msg.Data, &record); err != nil {
			return record, messages.Errorf(messages.Internal, "%v", err)
		}
	} else if msg := l.last(messages.JobsStream, messages.Operation("*.*").JobSubject(connection, id)); msg != nil {
		op, _, _, _ := messages.ParseJobSubject(msg.Subject)
		record.Job = messages.Job{ID: id, Connection: connection, Operation: op, State: messages.JobQueued,
			Digest: messages.JobDigest(msg.Subject, msg.Data)}
	} else {
		return record, messages.Errorf(messages.NotFound, "there is no job %s", id)
	}
	if msg := l.last(messages.ResultsStream, messages.ResultSubject(connection, id)); msg != nil {
		record.Pages, _ = strconv.Atoi(msg.Header.Get(messages.HeaderPage))
	}
	return record, nil
}

func (l *Lane) get(in messages.JobRequest, _ *nats.Msg) (*nats.Msg, *messages.Error) {
	record, fault := l.job(in.Connection, in.JobID)
	return bodied(messages.JobReply{Job: record.Job}), fault
}

func (l *Lane) cancel(in messages.JobRequest, _ *nats.Msg) (*nats.Msg, *messages.Error) {
	record, fault := l.job(in.Connection, in.JobID)
	if fault == nil && !record.State.Ended() {
		record.State = messages.JobCancelled
		l.Record(record)
	}
	return bodied(messages.JobReply{Job: record.Job}), fault
}

func (l *Lane) list(in messages.JobRequest, _ *nats.Msg) (*nats.Msg, *messages.Error) {
	stream, err := l.JS.Stream(context.Background(), messages.StateStream)
	if err != nil {
		return nil, messages.Errorf(messages.Unavailable, "%v", err)
	}
	info, err := stream.Info(context.Background(),
		jetstream.WithSubjectFilter(messages.StateSubject(in.Connection, "*")))
	if err != nil {
		return nil, messages.Errorf(messages.Unavailable, "%v", err)
	}
	var reply messages.JobsListReply
	for subject := range info.State.Subjects {
		record, fault := l.job(in.Connection, subject[strings.LastIndexByte(subject, '.')+1:])
		if fault != nil {
			return nil, fault
		}
		reply.Jobs = append(reply.Jobs, record.Job)
	}
	return bodied(reply), nil
}

func (l *Lane) delete(in messages.JobRequest, _ *nats.Msg) (*nats.Msg, *messages.Error) {
	_, fault := l.job(in.Connection, in.JobID)
	l.purge(messages.ResultsStream, messages.ResultSubject(in.Connection, in.JobID))
	l.purge(messages.StateStream, messages.StateSubject(in.Connection, in.JobID))
	return bodied(messages.DeletedReply{Deleted: fault == nil}), nil
}

func (l *Lane) results(in messages.JobRequest, msg *nats.Msg) (*nats.Msg, *messages.Error) {
	var which messages.JobResultsRequest
	if err := json.Unmarshal(msg.Data, &which); err != nil {
		return nil, messages.Invalid("", "%v", err)
	}
	stream, err := l.JS.Stream(context.Background(), messages.ResultsStream)
	if err != nil {
		return nil, messages.Errorf(messages.Unavailable, "%v", err)
	}
	record, _ := l.job(in.Connection, in.JobID)
	subject := messages.ResultSubject(in.Connection, in.JobID)
	for at := uint64(1); ; {
		stored, err := stream.GetMsg(context.Background(), at, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return nil, messages.Errorf(messages.NotFound, "there is no page %d", which.Page)
		}
		its := stored.Header.Get(messages.HeaderIncarnation)
		if stored.Header.Get(messages.HeaderPage) == strconv.Itoa(int(which.Page)) && its == record.Incarnation {
			reply := nats.NewMsg("")
			reply.Data, reply.Header = stored.Data, stored.Header
			reply.Header.Del(messages.HeaderCheckpoint)
			return reply, nil
		}
		at = stored.Sequence + 1
	}
}
