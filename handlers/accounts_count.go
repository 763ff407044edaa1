package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// accountsCount answers accounts.count.
func (o *Operations) accountsCount(ctx context.Context, c route.Call, in messages.AccountsCountRequest) (messages.AccountsCountReply, error) {
	var reply messages.AccountsCountReply
	if err := checkWhere(in.Where); err != nil {
		return reply, err
	}
	session, err := o.Dynamics.Open(ctx, c.Connection)
	if err != nil {
		return reply, err
	}
	err = o.Catalog.Replan(session, func(p plan.Planner) (err error) {
		var filter dynamics.Filter
		if in.Where != nil {
			if filter, err = p.Where(ctx, in.Where, "where"); err != nil {
				return err
			}
		}
		reply.Count, err = session.Count(ctx, plan.Accounts, filter)
		return err
	})
	return reply, err
}
