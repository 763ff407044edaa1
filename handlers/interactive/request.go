package interactive

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A request is one message that waits in the backlog or is in flight.
type request struct {
	e        *endpoint
	msg      *nats.Msg
	size     int
	arrived  time.Time
	deadline time.Time // of one that waits: work is not begun after it

	named string // connection that it is about, as far as that shows from outside
	queue *connQueue
	begun time.Time // when it was let run, zero before
	next  *request  // of those that were let run together

	// Guarded by admission.mu:
	answered bool // its last reply goes out, or has: it runs no more
	lingers  bool // since then it holds no slot; its worker's alone once it is set

	slots   *admission // that it has a slot of, nil where it has none
	context requestContext
	account budget.Account // open where the process bounds its memory
	reply   *reply         // of the worker, while it works on the request
	ended   bool           // no further part is wanted
	outcome error          // of the operation, nil where its last part was sent
}

// deadlineOf is when a message's requester stops waiting. A deadline that cannot be
// read is found and answered when the request is worked on.
func deadlineOf(msg *nats.Msg, arrived time.Time) time.Time {
	if text := msg.Header.Get(messages.HeaderDeadline); text != "" {
		if deadline, err := dynamics.ParseTime(text); err == nil {
			return earlier(deadline, arrived.Add(messages.MaxDeadline))
		}
	}
	return arrived.Add(messages.DefaultDeadline)
}

// connectionAsked names the connection that a message is about: the one in its subject,
// or on a plain subject the one that its body names near its beginning. "" is the
// connection of all that name none; what is wrong with them is found later.
func connectionAsked(msg *nats.Msg) string {
	if scope := messages.ConnectionFromSubject(msg.Subject); scope != "" {
		if messages.ValidConnection(scope) {
			return scope
		}
		return ""
	}
	return route.PeekConnection(msg.Data)
}

// queueName names the queue of a request. What administrators do has a queue of its own:
// a connection must be deletable while its requests are stuck.
func queueName(e *endpoint, connection string) string {
	if e.route.Admin {
		return "administration of " + connection
	}
	return connection
}

// A requester is who sent a request, as far as that can be known.
type requester struct {
	name    string
	vouched bool // name is an account that the NATS server vouches for
}

// What a NATS server adds to requests that reach crmbridge's account by a service
// import: the reply subject begins with a prefix that it lets no client use, and a
// header names the account. (nats-server 2.15: client.go, isReservedReply and
// processServiceImport.)
const (
	importedReply = "_R_."
	infoHeader    = "Nats-Request-Info"
)

// requesterOf tells the requesters of a connection apart: by the account that the
// server vouches for where there is one, else by the inbox that they listen on, which
// anybody can make up or borrow. The server appends its header: with several of the
// name, which a requester can bring about, the last is the server's.
func requesterOf(msg *nats.Msg) requester {
	if strings.HasPrefix(msg.Reply, importedReply) {
		if values := msg.Header[infoHeader]; len(values) > 0 {
			var info struct {
				Account string `json:"acc"`
			}
			if json.Unmarshal([]byte(values[len(values)-1]), &info) == nil && info.Account != "" {
				return requester{name: info.Account, vouched: true}
			}
		}
	}
	// NATS clients make one inbox each and add a token a request.
	if i := strings.LastIndexByte(msg.Reply, '.'); i > 0 {
		return requester{name: msg.Reply[:i]}
	}
	return requester{name: msg.Reply}
}
