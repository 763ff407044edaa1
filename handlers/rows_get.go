package handlers

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// rowReply is messages.RowReply with the row as the Dataverse client wrote it.
type rowReply struct {
	messages.Head
	Row jsontext.Value `json:"row" table:"row"`
}

// get answers contacts.get and its like.
func (o *rowOperations) get(ctx context.Context, c route.Call, in messages.GetRequest) (rowReply, error) {
	if in.ID == "" {
		return rowReply{}, messages.Invalid(o.entity.IDMember(), "is missing")
	}
	if err := route.CheckGUID(o.entity.IDMember(), in.ID); err != nil {
		return rowReply{}, err
	}
	if err := checkFields(in.Fields); err != nil {
		return rowReply{}, err
	}
	session, err := o.open(ctx, c)
	if err != nil {
		return rowReply{}, err
	}
	if len(in.Fields) == 0 {
		in.Fields = o.entity.DefaultFields
	}
	var row []byte
	err = o.Catalog.Replan(session, o.entity, func(p plan.Planner) error {
		outputs, err := p.Fields(ctx, in.Fields)
		if err != nil {
			return err
		}
		row, err = session.Row(ctx, o.entity.Rows, strings.ToLower(in.ID), outputs)
		return err
	})
	if err != nil {
		return rowReply{}, err
	}
	if len(row) > c.Budget { // found before it is encoded
		return rowReply{}, messages.Errorf(messages.TooLarge,
			"the %s has %d bytes and the NATS server takes %d in one message; ask for fewer fields", o.entity.One,
			len(row), c.Budget)
	}
	return rowReply{Row: row}, route.Reserve(ctx, 2*len(row))
}
