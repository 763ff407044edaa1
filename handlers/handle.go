package handlers

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/messages"
)

// A route is what the consumer knows of an operation.
type route struct {
	serve func(ctx context.Context, c *call, body []byte) iter.Seq2[part, error]

	// requestSchema and replySchema are JSON Schemas for the services API.
	requestSchema, replySchema string

	// admin operations keep their plain subject where REQUIRE_SCOPED_SUBJECTS is on.
	admin bool

	// many parts may make up the answer, where the request asks for that.
	many bool
}

// needs says whether an operation must be told a connection.
type needs bool

const (
	oneConnection needs = true
	anyConnection needs = false
)

// one makes the route of an operation with a single reply.
func one[In, Out any, P interface {
	*In
	messages.Request
}, R interface {
	*Out
	messages.Reply
}](connection needs, operate func(context.Context, *call, In) (Out, error)) route {
	serve := func(ctx context.Context, c *call, body []byte) (part, error) {
		in, err := decode[In, P](c, body, connection)
		if err != nil {
			return part{}, err
		}
		out, fault := operate(ctx, c, in)
		if fault != nil {
			return part{}, fault
		}
		R(&out).SetHead(c.requestID, c.connection)
		encoded, fault := json.Marshal(&out)
		if fault != nil {
			return part{}, fmt.Errorf("encode the reply: %w", fault)
		}
		return part{body: encoded, last: true}, nil
	}
	return withSchemas[In, Out](route{serve: func(ctx context.Context, c *call, body []byte) iter.Seq2[part, error] {
		return func(yield func(part, error) bool) { yield(serve(ctx, c, body)) }
	}})
}

// many makes the route of an operation whose answer is a sequence of parts. Out
// only names the type of its replies.
func many[Out, In any, P interface {
	*In
	messages.Request
}](connection needs, operate func(context.Context, *call, In) iter.Seq2[part, error]) route {
	return withSchemas[In, Out](route{many: true, serve: func(ctx context.Context, c *call, body []byte) iter.Seq2[part, error] {
		in, err := decode[In, P](c, body, connection)
		if err != nil {
			return func(yield func(part, error) bool) { yield(part{}, err) }
		}
		return operate(ctx, c, in)
	}})
}

// whole makes the route of an operation that writes its one reply itself, because
// what goes into it depends on its size. Out only names the reply's type.
func whole[Out, In any, P interface {
	*In
	messages.Request
}](connection needs, operate func(context.Context, *call, In) (part, error)) route {
	return withSchemas[In, Out](route{serve: func(ctx context.Context, c *call, body []byte) iter.Seq2[part, error] {
		return func(yield func(part, error) bool) {
			in, err := decode[In, P](c, body, connection)
			if err != nil {
				yield(part{}, err)
				return
			}
			yield(operate(ctx, c, in))
		}
	}})
}

func decode[In any, P interface {
	*In
	messages.Request
}](c *call, body []byte, connection needs) (In, error) {
	in, fault := messages.Decode[In](body)
	if fault == nil {
		fault = c.target(P(&in).TargetID(), bool(connection))
	}
	if fault != nil {
		if c.connection == "" {
			c.connection = peek(body) // what is wrong may stand beside it
		}
		return in, fault
	}
	return in, nil
}

// withSchemas describes the bodies. Their types are fixed when crmbridge is
// built, so a type without a schema is a defect that the first test meets.
func withSchemas[In, Out any](r route) route {
	r.requestSchema = mustSchema(reflect.TypeFor[In]())
	r.replySchema = mustSchema(reflect.TypeFor[Out]())
	return r
}

func mustSchema(body reflect.Type) string {
	schema, err := messages.Schema(body)
	if err != nil {
		panic(fmt.Sprintf("no JSON Schema for %s: %v", body, err))
	}
	return schema
}

// administrative marks an operation that keeps its plain subject.
func administrative(r route) route {
	r.admin = true
	return r
}
