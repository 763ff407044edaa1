package durable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// apiWait is how long one answer of JetStream is waited for. After the leader of a stream was
// killed none comes for about 8 s, so that whoever needs one asks again.
const apiWait = 2 * time.Second

// Errors of the streams' writers, found with errors.Is.
var (
	// errConflict: another message is the last on the subject than the writer believed.
	errConflict = errors.New("somebody else wrote first")
	// errUnknown: the message may have been stored or not.
	errUnknown = errors.New("it is not known whether the message was stored")
)

// Error codes of JetStream that the lane tells apart.
const (
	codeWrongLastSequence   = 10071 // the guard does not fit
	codeWrongLastUnknown    = 10164 // another publish on the subject is in process; also hits a lone writer
	codeInProcess           = 10158 // a message of the same id is in process
	codeBatchIncomplete     = 10176 // the batch is not complete, or was given up: nothing of it is stored
	codeTooManyBatches      = 10210
	codeBatchTooLarge       = 10199
	codeStreamFull          = 10077
	codeHeadersTooLarge     = 10097
	codeMessageTooLarge     = 10054 // for the stream's max_msg_size
	codeInsufficientStorage = 10047
	codeNoResources         = 10023
	codeAccountFull         = 10002
)

// A ledger reads and writes the records of jobs in CRM_STATE.
type ledger struct {
	js      jetstream.JetStream
	refused *refusals // learns what writes came to; may be nil
}

// read is the job's record and its sequence, from the stream's leader; the sequence is 0 where
// there is none. A record of a newer form is returned as far as it can be read.
func (l ledger) read(ctx context.Context, connection, id string) (messages.JobRecord, uint64, error) {
	var record messages.JobRecord
	msg, err := lastOf(ctx, l.js, messages.StateStream, messages.StateSubject(connection, id))
	if err != nil || msg == nil {
		return record, 0, err
	}
	if err := json.Unmarshal(msg.Data, &record); err != nil {
		return record, msg.Sequence, fmt.Errorf("the record of job %s of %s: %w: %w", id, connection, errNotReadable, err)
	}
	return record, msg.Sequence, nil
}

// write replaces the record at the given sequence, 0 for none, and returns the new one's. Its
// errors are errConflict, errUnknown, or what JetStream said.
func (l ledger) write(ctx context.Context, record messages.JobRecord, at uint64) (uint64, error) {
	record.Form = messages.JobForm
	record.Beat++
	body, err := json.Marshal(bounded(record))
	if err != nil {
		return 0, fmt.Errorf("encode a job's record: %w", err)
	}
	msg := nats.NewMsg(messages.StateSubject(record.Connection, record.ID))
	msg.Data = body
	if record.Incarnation != "" {
		msg.Header.Set(messages.HeaderIncarnation, record.Incarnation)
	}
	sequence, err := publishGuarded(ctx, l.js, msg, at)
	l.refused.wrote(messages.StateStream, err)
	return sequence, err
}

// errorText is how much of an error's message a record keeps, and errorWord of what is one
// word there, in bytes.
const (
	errorText = 1 << 10
	errorWord = 64
)

// bounded shortens what may be long in a record, so that it keeps to MaxJobRecord.
func bounded(record messages.JobRecord) messages.JobRecord {
	if record.Error == nil {
		return record
	}
	short := *record.Error
	short.Details = nil
	short.Message = route.HeaderText(short.Message, errorText)
	if len(short.AdminConsentURL) > errorText {
		short.AdminConsentURL = ""
	}
	if said := short.Dynamics; said != nil {
		short.Dynamics = &messages.DynamicsError{Status: said.Status, Code: route.HeaderText(said.Code, errorWord),
			RequestID: route.HeaderText(said.RequestID, errorWord)}
	}
	record.Error = &short
	return record
}

// What STREAM.MSG.GET and STREAM.MSG.DELETE are asked with.
type (
	lastAsk struct {
		Subject string `json:"last_by_subj"`
	}
	atAsk struct {
		Sequence uint64 `json:"seq"`
	}
	deleteAsk struct {
		Sequence uint64 `json:"seq"`
		NoErase  bool   `json:"no_erase"`
	}
)

// lastOf is the last message of a subject, from the stream's leader; nil where there is none.
func lastOf(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	return storedMessage(ctx, js, stream, lastAsk{subject})
}

// messageAt is the message of a sequence, from the stream's leader; nil where it is gone.
func messageAt(ctx context.Context, js jetstream.JetStream, stream string, at uint64) (*jetstream.RawStreamMsg, error) {
	return storedMessage(ctx, js, stream, atAsk{at})
}

// storedMessage asks STREAM.MSG.GET, which the leader answers.
func storedMessage(ctx context.Context, js jetstream.JetStream, stream string,
	which any) (*jetstream.RawStreamMsg, error) {
	reply, err := askStream(ctx, js, "STREAM.MSG.GET", stream, which)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("read from stream %s: the answer is not JetStream's: %w", stream, err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case answer.Error != nil:
		return nil, fmt.Errorf("read from stream %s: %w", stream, answer.Error)
	case answer.Message == nil:
		return nil, fmt.Errorf("read from stream %s: the answer has no message", stream)
	}
	m := answer.Message
	out := &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Sequence, Data: m.Data, Time: m.Time}
	if len(m.Header) > 0 {
		if out.Header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return nil, fmt.Errorf("read from stream %s: headers: %w", stream, err)
		}
	}
	return out, nil
}

// deleteMessage removes the message of a sequence. One that is gone is no error.
func deleteMessage(ctx context.Context, js jetstream.JetStream, stream string, at uint64) error {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	ask, err := json.Marshal(deleteAsk{at, true})
	if err != nil {
		return fmt.Errorf("encode a request to JetStream: %w", err)
	}
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.DELETE."+stream, ask)
	if err != nil {
		return fmt.Errorf("delete from stream %s: %w", stream, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("delete from stream %s: the answer is not JetStream's: %w", stream, err)
	}
	if answer.Error == nil || gone(answer.Error) {
		return nil
	}
	return fmt.Errorf("delete from stream %s: %w", stream, answer.Error)
}

// expectedLastSubjectSequence is the guard of every publish of the lane.
const expectedLastSubjectSequence = "Nats-Expected-Last-Subject-Sequence"

// publishGuarded stores a message if the last one of its subject has the given sequence, 0
// for none. Its errors are errConflict, errUnknown, or what JetStream said.
func publishGuarded(ctx context.Context, js jetstream.JetStream, msg *nats.Msg, last uint64) (uint64, error) {
	msg.Header.Set(expectedLastSubjectSequence, strconv.FormatUint(last, 10))
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	reply, err := js.Conn().RequestMsgWithContext(ctx, msg)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errUnknown, err)
	}
	return acknowledged(reply.Data)
}

// acknowledged reads JetStream's answer to a publish.
func acknowledged(answer []byte) (uint64, error) {
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(answer, &ack); err != nil {
		return 0, fmt.Errorf("%w: the answer is not JetStream's", errUnknown)
	}
	switch {
	case ack.Error == nil && ack.Sequence > 0:
		return ack.Sequence, nil
	case ack.Error == nil:
		return 0, fmt.Errorf("%w: the acknowledgement has no sequence", errUnknown)
	}
	return 0, refused(ack.Error)
}

// refused is the error of a publish that JetStream refused: errConflict, errUnknown, or what
// it said.
func refused(answer *jetstream.APIError) error {
	switch answer.ErrorCode {
	case codeWrongLastSequence, codeWrongLastUnknown:
		return fmt.Errorf("%w: %w", errConflict, answer)
	case codeInProcess, codeBatchIncomplete:
		return fmt.Errorf("%w: %w", errUnknown, answer)
	}
	return answer
}
