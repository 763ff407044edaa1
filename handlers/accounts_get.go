package handlers

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// accountReply is messages.AccountReply with the row as the Dataverse client
// wrote it.
type accountReply struct {
	messages.Head
	Account jsontext.Value `json:"account"`
}

// accountsGet answers accounts.get.
func (o *Operations) accountsGet(ctx context.Context, c route.Call, in messages.AccountGetRequest) (accountReply, error) {
	if in.AccountID == "" {
		return accountReply{}, messages.Invalid("account_id", "is missing")
	}
	if err := route.CheckGUID("account_id", in.AccountID); err != nil {
		return accountReply{}, err
	}
	if err := checkFields(in.Fields); err != nil {
		return accountReply{}, err
	}
	session, err := o.Dynamics.Open(ctx, c.Connection)
	if err != nil {
		return accountReply{}, err
	}
	if len(in.Fields) == 0 {
		in.Fields = messages.DefaultFields()
	}
	var row []byte
	err = o.Catalog.Replan(session, func(p plan.Planner) error {
		outputs, err := p.Fields(ctx, in.Fields)
		if err != nil {
			return err
		}
		row, err = session.Row(ctx, plan.Accounts, strings.ToLower(in.AccountID), outputs)
		return err
	})
	if err != nil {
		return accountReply{}, err
	}
	if len(row) > c.Budget { // found before it is encoded
		return accountReply{}, messages.Errorf(messages.TooLarge,
			"the account has %d bytes and the NATS server takes %d in one message; ask for fewer fields", len(row), c.Budget)
	}
	return accountReply{Account: row}, route.Reserve(ctx, 2*len(row))
}
