package messages_test

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// connectedToLane starts a NATS server in this process with the streams of jobs, where every
// job brings these pages. In a program of yours this is nats.Connect.
func connectedToLane(pages ...string) (nc *nats.Conn, stop func()) {
	folder, err := os.MkdirTemp("", "crmbridge-example")
	check(err)
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: folder})
	check(err)
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		panic("the NATS server does not start")
	}
	lane, err := nats.Connect(s.ClientURL())
	check(err)
	js, err := jetstream.New(lane)
	check(err)
	ctx := context.Background()
	for name, subjects := range map[string][]string{messages.JobsStream: messages.JobSubjects(nil),
		messages.ResultsStream: {messages.ResultSubjects}} {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: subjects, AllowDirect: true})
		check(err)
	}
	answer := func(op messages.Operation, with func(in messages.JobResultsRequest) *nats.Msg) {
		_, err := lane.QueueSubscribe(op.ScopedSubject("acme"), messages.QueueGroup, func(msg *nats.Msg) {
			var in messages.JobResultsRequest
			check(json.Unmarshal(msg.Data, &in))
			reply := with(in)
			reply.Subject = msg.Reply
			check(lane.PublishMsg(reply))
		})
		check(err)
	}
	answer(messages.JobsGet, func(in messages.JobResultsRequest) *nats.Msg {
		if in.JobID == "export-1" {
			return result(`{"request_id":"r","error":{"code":"not_found","message":"there is no such job"}}`, 0, false)
		}
		return result(`{"request_id":"r","job":{"id":"export-2","operation":"accounts.search","state":"done","incarnation":"i","pages":2}}`, 0, false)
	})
	answer(messages.JobsResults, func(in messages.JobResultsRequest) *nats.Msg {
		return result(pages[in.Page-1], int(in.Page), int(in.Page) == len(pages))
	})
	answer(messages.JobsDelete, func(messages.JobResultsRequest) *nats.Msg {
		return result(`{"request_id":"r","deleted":true}`, 0, false)
	})
	check(lane.Flush())
	nc, err = nats.Connect(s.ClientURL())
	check(err)
	return nc, func() {
		nc.Close()
		lane.Close()
		s.Shutdown()
		s.WaitForShutdown()
		check(os.RemoveAll(folder))
	}
}

// result is a message as crmbridge sends it.
func result(body string, page int, last bool) *nats.Msg {
	msg := nats.NewMsg("")
	msg.Data = []byte(body)
	msg.Header.Set(messages.HeaderRequestID, "r")
	if page > 0 {
		msg.Header.Set(messages.HeaderPage, strconv.Itoa(page))
	}
	if last {
		msg.Header.Set(messages.HeaderLast, "true")
	}
	var reply messages.ErrorReply
	if json.Unmarshal(msg.Data, &reply) == nil && reply.Error != nil {
		msg.Header.Set(messages.HeaderErrorCode, string(reply.Error.Code))
	}
	return msg
}
