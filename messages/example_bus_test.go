package messages_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// connectedTo starts a NATS server in this process where a responder answers as
// crmbridge does: whoever asks on a subject gets the reply whose key is part of the
// body. In a program of yours this is nats.Connect.
func connectedTo(replies map[string]map[string][]string) (nc *nats.Conn, stop func()) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	check(err)
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		panic("the NATS server does not start")
	}
	responder, err := nats.Connect(s.ClientURL())
	check(err)
	for subject, byBody := range replies {
		_, err := responder.QueueSubscribe(subject, messages.QueueGroup, func(msg *nats.Msg) { answerLike(responder, msg, byBody) })
		check(err)
	}
	check(responder.Flush())
	nc, err = nats.Connect(s.ClientURL())
	check(err)
	return nc, func() {
		nc.Close()
		responder.Close()
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// answerLike sends the parts of the reply with the longest key that the body has.
func answerLike(responder *nats.Conn, msg *nats.Msg, byBody map[string][]string) {
	best := ""
	for key := range byBody {
		if strings.Contains(string(msg.Data), key) && len(key) > len(best) {
			best = key
		}
	}
	for i, part := range byBody[best] {
		reply := nats.NewMsg(msg.Reply)
		reply.Data = []byte(part)
		reply.Header.Set(messages.HeaderPage, fmt.Sprint(i+1))
		if strings.Contains(part, `"error"`) {
			reply.Header.Set(messages.HeaderErrorCode, string(messages.InvalidRequest))
		}
		if i == len(byBody[best])-1 {
			reply.Header.Set(messages.HeaderLast, "true")
		}
		check(responder.PublishMsg(reply))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
