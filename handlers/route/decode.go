package route

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
)

// smallBody is up to when a body's decoding is not counted: what a request takes
// in any case is more.
const smallBody = 4 << 10

// decodeFactor is how many times its own size a body may take, in addition, while it is
// decoded and becomes a query.
const decodeFactor = 2

// decode reads a body and settles the connection that the request is about. Where it
// fails, the call names the connection as far as it can be found. The body stays as it is
// until the answer has ended.
func decode[In any, P interface {
	*In
	messages.Request
}](ctx context.Context, c Call, request messages.Codec[In], body []byte, connection Needs) (In, Call, error) {
	if err := reserveFor(ctx, body); err != nil {
		var none In
		return none, c, err
	}
	in, fault := request.DecodeShared(body)
	if fault == nil {
		c.Connection, fault = targetOf[In, P](c.Scope, &in, bool(connection))
	}
	return in, c, settle(&c, body, fault)
}

// decodeSearch is decode into the memory of a search.
func decodeSearch(ctx context.Context, c *Call, request messages.Codec[messages.SearchRequest], body []byte,
	search Search) error {
	if err := reserveFor(ctx, body); err != nil {
		return err
	}
	in, memory := search.Asked()
	fault := request.DecodeIn(body, in, memory)
	if fault == nil {
		c.Connection, fault = target(c.Scope, in.TargetID(), bool(OneConnection))
	}
	return settle(c, body, fault)
}

// reserveFor takes the memory in which a body is decoded.
func reserveFor(ctx context.Context, body []byte) error {
	if len(body) > smallBody {
		return Reserve(ctx, decodeFactor*len(body))
	}
	return nil
}

// settle settles the connection of a call whose body has been decoded.
func settle(c *Call, body []byte, fault *messages.Error) error {
	if fault == nil {
		c.Connection = kept(c, c.Connection)
		return nil
	}
	if c.Connection == "" {
		c.Connection = PeekConnection(body) // the fault may be elsewhere
	}
	return fault
}

// kept is the connection's name as it may be kept for later requests, by whoever knows
// something of the connection: it is no part of the body, of which nothing is to stay.
func kept(c *Call, name string) string {
	switch name {
	case c.Scope:
		return c.Scope
	case c.Named:
		return c.Named
	}
	return strings.Clone(name)
}

// targetOf is target of a request. What a method is called on by its constraint goes to the
// heap: a search, which most requests are, is asked by its own method.
func targetOf[In any, P interface {
	*In
	messages.Request
}](scope string, in *In, required bool) (string, *messages.Error) {
	if search, ok := any(in).(*messages.SearchRequest); ok {
		return target(scope, search.TargetID(), required)
	}
	other := *in
	connection, fault := target(scope, P(&other).TargetID(), required)
	*in = other
	return connection, fault
}

// target settles which connection a request is about: the one that its body names in
// member, its subject's, or the same in both.
func target(scope string, member *string, required bool) (string, *messages.Error) {
	switch {
	case *member == "":
		*member = scope
	case !messages.ValidConnection(*member):
		return scope, InvalidConnection()
	case scope != "" && *member != scope:
		return scope, messages.Invalid("connection", "the body names another connection than the subject")
	}
	if *member == "" && required {
		return scope, messages.Invalid("connection", "is missing; name the connection here or in the subject")
	}
	return *member, nil
}

// InvalidConnection refuses what is not the id of a connection.
func InvalidConnection() *messages.Error {
	return messages.Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
}

// CheckGUID refuses what is not a GUID in its usual form.
func CheckGUID(path, text string) error {
	if !IsGUID(text) {
		return messages.Invalid(path, "is not a GUID such as 11111111-2222-3333-4444-555555555555")
	}
	return nil
}

// IsGUID reports whether text is a GUID in its usual form.
func IsGUID(text string) bool {
	const usual = "11111111-2222-3333-4444-555555555555"
	_, err := uuid.Parse(text)
	return err == nil && len(text) == len(usual)
}

// Reserve takes n bytes of the request's memory for what is about to be made. Its error
// says that this process has none left.
func Reserve(ctx context.Context, n int) error {
	return budget.From(ctx).Grow(ctx, int64(n))
}

// Release gives back n bytes that [Reserve] took.
func Release(ctx context.Context, n int) {
	budget.From(ctx).Shrink(int64(n))
}
