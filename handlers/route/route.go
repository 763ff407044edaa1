package route

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/messages"
)

// A Route is what a lane knows of an operation.
type Route struct {
	// Serve reads a request's body and answers it. It waits for nothing but room for
	// what it decodes: the operation runs while the answer's parts are asked for.
	Serve func(ctx context.Context, c Call, body []byte) Answer

	// RequestSchema and ReplySchema are JSON Schemas for the services API.
	RequestSchema, ReplySchema string

	// Admin operations keep their plain subject where REQUIRE_SCOPED_SUBJECTS is on.
	Admin bool

	// Numbered says that the requester may have asked for a sequence of parts. Until
	// the body is read it counts as if that were so.
	Numbered bool
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
	reply := func(ctx context.Context, c Call, in In) (Part, error) {
		out, err := operate(ctx, c, in)
		if err != nil {
			return Part{}, err
		}
		R(&out).SetHead(c.RequestID, c.Connection)
		encoded, err := json.Marshal(&out)
		if err != nil {
			return Part{}, fmt.Errorf("encode the reply: %w", err)
		}
		return Part{Body: encoded, Last: true}, nil
	}
	return withSchemas[In, Out](Route{Serve: func(ctx context.Context, c Call, body []byte) Answer {
		in, c, err := decode[In, P](ctx, c, body, connection)
		if err != nil {
			return Answer{Call: c, Parts: fails(err)}
		}
		return Answer{Call: c, Parts: func(yield func(Part, error) bool) { yield(reply(ctx, c, in)) }}
	}})
}

// Many makes the route of an operation that writes its replies itself, as a sequence of
// parts. Out only names the type of its replies. numbered says which requests ask for
// the parts' numbers; nil is none.
func Many[Out, In any, P interface {
	*In
	messages.Request
}](connection Needs, numbered func(In) bool, operate func(context.Context, Call, In) iter.Seq2[Part, error]) Route {
	return withSchemas[In, Out](Route{Numbered: numbered != nil, Serve: func(ctx context.Context, c Call, body []byte) Answer {
		in, c, err := decode[In, P](ctx, c, body, connection)
		if err != nil {
			return Answer{Call: c, Numbered: numbered != nil, Parts: fails(err)}
		}
		return Answer{Call: c, Numbered: numbered != nil && numbered(in), Parts: operate(ctx, c, in)}
	}})
}

// fails is an answer that is an error.
func fails(err error) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) { yield(Part{}, err) }
}

// withSchemas describes the bodies. Their types are fixed when crmbridge is
// built, so a type without a schema is a defect that the first test meets.
func withSchemas[In, Out any](r Route) Route {
	r.RequestSchema = mustSchema(reflect.TypeFor[In]())
	r.ReplySchema = mustSchema(reflect.TypeFor[Out]())
	return r
}

func mustSchema(body reflect.Type) string {
	schema, err := messages.Schema(body)
	if err != nil {
		panic(fmt.Sprintf("no JSON Schema for %s: %v", body, err))
	}
	return schema
}

// Administrative marks an operation that keeps its plain subject.
func Administrative(r Route) Route {
	r.Admin = true
	return r
}
