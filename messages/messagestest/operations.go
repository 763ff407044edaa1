package messagestest

import (
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/messages"
)

// A sender takes the next message of an answer; lost ones are counted and do not arrive.
type sender func(p part, lost bool) *messages.Error

// serve answers a request.
func (c *call) serve(body []byte, r *reply) *messages.Error {
	if table, verb, of := c.op.Table(c.b.options.Tables); of {
		return c.rows(table, verb, body, r.send)
	}
	switch c.op {
	case messages.UsersWhoAmI, messages.UsersGet:
		return c.users(body, r.send)
	case messages.JobsGet, messages.JobsList, messages.JobsResults, messages.JobsCancel, messages.JobsRetry,
		messages.JobsDelete:
		return c.aboutJobs(body, r.send)
	}
	return c.aboutConnections(body, r.send)
}

// rows answers the operations of a table.
func (c *call) rows(t messages.Table, verb messages.Verb, body []byte, send sender) *messages.Error {
	switch verb {
	case messages.VerbSearch:
		in, fault := decode(c, messages.NewCodec[messages.SearchRequest](), body, true)
		if fault != nil {
			return fault
		}
		if c.reply != nil {
			c.reply.numbered = in.Mode != "" && in.Mode != messages.ModePage
		}
		return c.search(t, in, send)
	case messages.VerbChanges:
		in, fault := decode(c, messages.NewCodec[messages.ChangesRequest](), body, true)
		if fault != nil {
			return fault
		}
		return c.changes(t, in, send)
	case messages.VerbGet:
		return one(c, body, send, messages.CodecFor[messages.GetRequest](t), messages.CodecFor[messages.RowReply](t),
			true, func(in messages.GetRequest) (messages.RowReply, *messages.Error) { return c.get(t, in) })
	case messages.VerbCount:
		return plain(c, body, send, true, func(in messages.CountRequest) (messages.CountReply, *messages.Error) {
			return c.count(t, in)
		})
	}
	return plain(c, body, send, true, func(in messages.FieldsRequest) (messages.FieldsReply, *messages.Error) {
		return c.fields(t, in)
	})
}

// decode reads a body strictly, and settles which connection it is about.
func decode[In any, P interface {
	*In
	messages.Request
}](c *call, codec messages.Codec[In], body []byte, required bool) (In, *messages.Error) {
	in, fault := codec.Decode(body)
	if fault == nil {
		fault = c.target(P(&in).TargetID(), required)
	} else if c.connection == "" {
		var peek messages.Target // the fault may be elsewhere
		if json.Unmarshal(body, &peek) == nil && messages.ValidConnection(peek.Connection) {
			c.connection = peek.Connection
		}
	}
	return in, fault
}

// target settles which connection a request is about: the one in its body, or its subject's.
func (c *call) target(member *string, required bool) *messages.Error {
	switch {
	case *member == "":
		*member = c.scope
	case !messages.ValidConnection(*member):
		return badConnection()
	case c.scope != "" && *member != c.scope:
		return messages.Invalid("connection", "the body names another connection than the subject")
	}
	if *member == "" && required {
		return messages.Invalid("connection", "is missing; name the connection here or in the subject")
	}
	c.connection = *member
	return nil
}

// one answers with one reply.
func one[In, Out any, P interface {
	*In
	messages.Request
}, R interface {
	*Out
	messages.Reply
}](c *call, body []byte, send sender, request messages.Codec[In], reply messages.Codec[Out], required bool,
	operate func(In) (Out, *messages.Error)) *messages.Error {
	in, fault := decode[In, P](c, request, body, required)
	if fault != nil {
		return fault
	}
	out, fault := operate(in)
	if fault != nil {
		return fault
	}
	R(&out).SetHead(c.requestID, c.connection)
	text, err := reply.Encode(&out)
	if err != nil {
		return messages.Errorf(messages.Internal, "encode the reply: %v", err)
	}
	return send(part{body: text, last: true}, false)
}

// plain is one of bodies that no table names.
func plain[In, Out any, P interface {
	*In
	messages.Request
}, R interface {
	*Out
	messages.Reply
}](c *call, body []byte, send sender, required bool, operate func(In) (Out, *messages.Error)) *messages.Error {
	return one[In, Out, P, R](c, body, send, messages.NewCodec[In](), messages.NewCodec[Out](), required, operate)
}

// with does something with the call's connection, which must have a grant, and with one of its
// tables; "" is none. Nothing changes meanwhile.
func (c *call) with(t string, do func(*Connection, *table) *messages.Error) *messages.Error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	conn := c.b.connections[c.connection]
	switch {
	case conn == nil:
		return noConnection(c.connection)
	case conn.state.Status == messages.StatusPending:
		return messages.Errorf(messages.ReauthorizationRequired,
			"connection %s is not connected yet; a person must open its connect link", conn.id)
	case conn.state.Status != messages.StatusActive:
		return messages.Errorf(messages.ReauthorizationRequired, "%s", conn.state.LastError)
	case c.incarnation != "" && c.incarnation != conn.incarnation:
		return messages.Errorf(messages.Unavailable,
			"the connection was made again while this request ran; send it again")
	case t != "" && !slices.Contains(conn.state.Tables, t):
		return messages.Errorf(messages.ConsentRequired,
			"the person who connected was not told that %[1]s are read; connect again to let %[1]s be read", t)
	}
	conn.calls++
	c.incarnation = conn.incarnation
	return do(conn, conn.tables[t])
}

func noConnection(id string) *messages.Error {
	return messages.Errorf(messages.ConnectionNotFound, "there is no connection %s; make it with "+
		"connections.authorize", id)
}

func checkPageSize(size messages.Count, most int) *messages.Error {
	if int(size) > most {
		return messages.Invalid("page_size", "must be from 1 to %d", most)
	}
	return nil
}

func checkFields(fields []string) *messages.Error {
	switch {
	case fields != nil && len(fields) == 0:
		return messages.Invalid("fields", "the list is empty; name fields, or leave it out for the default")
	case len(fields) > messages.MaxFields:
		return messages.Invalid("fields", "must not be more than %d", messages.MaxFields)
	}
	return nil
}

func checkWhere(where *messages.Where) *messages.Error {
	if where == nil {
		return nil
	}
	return where.Check("where")
}

// first is the first of several faults.
func first(faults ...*messages.Error) *messages.Error {
	for _, fault := range faults {
		if fault != nil {
			return fault
		}
	}
	return nil
}
