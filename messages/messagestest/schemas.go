package messagestest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// schemas hold replies against the contract: a result against its operation's JSON Schema, an
// error against the Go type, its code and its headers.
type schemas struct {
	tables []messages.Table
	mu     sync.Mutex
	known  map[messages.Operation]*jsonschema.Resolved
}

func newSchemas(tables []messages.Table) (*schemas, error) {
	for _, table := range tables {
		if err := table.Check(); err != nil {
			return nil, err
		}
	}
	return &schemas{tables: tables, known: map[messages.Operation]*jsonschema.Resolved{}}, nil
}

// check says what is wrong with a reply of an operation.
func (s *schemas) check(op messages.Operation, header nats.Header, body []byte) error {
	if !messages.ValidRequestID(header.Get(messages.HeaderRequestID)) {
		return fmt.Errorf("it has the request id %q", header.Get(messages.HeaderRequestID))
	}
	if header.Get(messages.HeaderContentEncoding) != "" {
		return nil // it was held against the schema before it was compressed
	}
	if code := messages.Code(header.Get(messages.HeaderErrorCode)); code != "" {
		var reply messages.ErrorReply
		if err := json.Unmarshal(body, &reply, json.RejectUnknownMembers(true)); err != nil {
			return err
		}
		if reply.Error == nil || reply.Error.Code != code || !slices.Contains(messages.Codes(), code) ||
			reply.Error.Message == "" || header.Get(messages.HeaderServiceErrorCode) != fmt.Sprint(code.Number()) ||
			header.Get(messages.HeaderServiceError) == "" {
			return fmt.Errorf("its headers %v do not go with %s", header, body)
		}
		return nil
	}
	schema, err := s.of(op)
	if err != nil {
		return err
	}
	var instance any
	if err := json.Unmarshal(body, &instance); err != nil {
		return err
	}
	return schema.Validate(instance)
}

func (s *schemas) of(op messages.Operation) (*jsonschema.Resolved, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[op]; known != nil {
		return known, nil
	}
	both, err := op.Schemas(s.tables)
	if err != nil {
		return nil, err
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal([]byte(both.Reply), &schema); err != nil {
		return nil, err
	}
	made, err := schema.Resolve(nil)
	if err != nil {
		return nil, err
	}
	s.known[op] = made
	return made, nil
}
