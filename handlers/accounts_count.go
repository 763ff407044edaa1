package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// accountsCount answers accounts.count.
func (o *Operations) accountsCount(ctx context.Context, c *call, in messages.AccountsCountRequest) (messages.AccountsCountReply, error) {
	var reply messages.AccountsCountReply
	if err := checkWhere(in.Where); err != nil {
		return reply, err
	}
	session, err := o.Dynamics.Open(ctx, c.connection)
	if err != nil {
		return reply, err
	}
	err = o.planned(session, func(plan planner) (err error) {
		var filter dynamics.Filter
		if in.Where != nil {
			if filter, err = plan.where(ctx, in.Where, "where"); err != nil {
				return err
			}
		}
		reply.Count, err = session.Count(ctx, accountsTable, filter)
		return err
	})
	return reply, err
}
