package route

import (
	"context"
	"fmt"
	"iter"

	"github.com/crmbridge/crmbridge/messages"
)

// A Route is what a lane knows of an operation.
type Route struct {
	// Serve reads a request's body and answers it. It waits for nothing but room for
	// what it decodes: the operation runs while the answer's parts are asked for. The body
	// must stay as it is until then: what was read may share its memory.
	Serve func(ctx context.Context, c Call, body []byte) Answer

	// Schemas describe the bodies in the services API. They are made when they are asked for:
	// few ask, and a process answers sooner without them. nil: there are none.
	Schemas func() (messages.Schemas, error)

	// Admin operations keep their plain subject where REQUIRE_SCOPED_SUBJECTS is on.
	Admin bool

	// Numbered says that the requester may have asked for a sequence of parts. Until
	// the body is read it counts as if that were so.
	Numbered bool

	// Pages says that the operation may answer with any number of parts, and that as a job it
	// takes a turn for each page itself; see [Job.Turn].
	Pages bool
}

// Needs says whether a request must name a connection.
type Needs bool

// What an operation needs.
const (
	OneConnection Needs = true
	AnyConnection Needs = false
)

// One makes the route of an operation with a single reply.
func One[In, Out any, P interface {
	*In
	messages.Request
}, R interface {
	*Out
	messages.Reply
}](connection Needs, operate func(context.Context, Call, In) (Out, error)) Route {
	return one[In, Out, P, R](messages.NewCodec[In](), messages.NewCodec[Out](), connection, operate)
}

// OneOf is [One] of an operation of a table, which names members of its bodies.
func OneOf[In, Out any, P interface {
	*In
	messages.Request
}, R interface {
	*Out
	messages.Reply
}](table messages.Table, operate func(context.Context, Call, In) (Out, error)) Route {
	return one[In, Out, P, R](messages.CodecFor[In](table), messages.CodecFor[Out](table), OneConnection, operate)
}

func one[In, Out any, P interface {
	*In
	messages.Request
}, R interface {
	*Out
	messages.Reply
}](request messages.Codec[In], reply messages.Codec[Out], connection Needs,
	operate func(context.Context, Call, In) (Out, error)) Route {
	answer := func(ctx context.Context, c Call, in In) (Part, error) {
		out, err := operate(ctx, c, in)
		if err != nil {
			return Part{}, err
		}
		R(&out).SetHead(c.RequestID, c.Connection)
		encoded, err := reply.Encode(&out)
		if err != nil {
			return Part{}, fmt.Errorf("encode the reply: %w", err)
		}
		return Part{Body: encoded, Last: true}, nil
	}
	return Route{Serve: func(ctx context.Context, c Call, body []byte) Answer {
		in, c, err := decode[In, P](ctx, c, request, body, connection)
		if err != nil {
			return Answer{Call: c, Parts: fails(err)}
		}
		return Answer{Call: c, Parts: func(yield func(Part, error) bool) { yield(answer(ctx, c, in)) }}
	}}
}

// ManyOf makes the route of an operation of a table that writes its replies itself, as a
// sequence of parts. numbered says which requests ask for the parts' numbers; nil is none.
func ManyOf[In any, P interface {
	*In
	messages.Request
}](table messages.Table, numbered func(In) bool,
	operate func(context.Context, Call, In) iter.Seq2[Part, error]) Route {
	request := messages.CodecFor[In](table)
	return Route{Numbered: numbered != nil, Pages: true, Serve: func(ctx context.Context, c Call, body []byte) Answer {
		in, c, err := decode[In, P](ctx, c, request, body, OneConnection)
		if err != nil {
			return Answer{Call: c, Numbered: numbered != nil, Parts: fails(err)}
		}
		return Answer{Call: c, Numbered: numbered != nil && numbered(in), Parts: operate(ctx, c, in)}
	}}
}

// A Search is an operation's work on one request for rows, in memory of its own.
type Search interface {
	// Asked is where the request is decoded to, and memory for what it consists of.
	Asked() (*messages.SearchRequest, *messages.SearchMemory)
	// Parts yields the answer to it. The search ends with the last part.
	Parts(ctx context.Context, c Call) iter.Seq2[Part, error]
	// Drop ends a search that has no answer.
	Drop()
}

// SearchOf is [ManyOf] of the searches of a table.
func SearchOf(table messages.Table, numbered func(*messages.SearchRequest) bool, begin func() Search) Route {
	request := messages.CodecFor[messages.SearchRequest](table)
	return Route{Numbered: true, Pages: true, Serve: func(ctx context.Context, c Call, body []byte) Answer {
		search := begin()
		if err := decodeSearch(ctx, &c, request, body, search); err != nil {
			search.Drop()
			return Answer{Call: c, Numbered: true, Parts: fails(err)}
		}
		in, _ := search.Asked()
		return Answer{Call: c, Numbered: numbered(in), Parts: search.Parts(ctx, c)}
	}}
}

// Stored makes the route of an operation whose one reply was written before, headers and
// body.
func Stored[In any, P interface {
	*In
	messages.Request
}](connection Needs, operate func(context.Context, Call, In) (Part, error)) Route {
	request := messages.NewCodec[In]()
	return Route{Serve: func(ctx context.Context, c Call, body []byte) Answer {
		in, c, err := decode[In, P](ctx, c, request, body, connection)
		if err != nil {
			return Answer{Call: c, Parts: fails(err)}
		}
		return Answer{Call: c, Parts: func(yield func(Part, error) bool) { yield(operate(ctx, c, in)) }}
	}}
}

// fails is an answer that is an error.
func fails(err error) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) { yield(Part{}, err) }
}

// Administrative marks an operation that keeps its plain subject.
func Administrative(r Route) Route {
	r.Admin = true
	return r
}
