package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// accountsCount answers accounts.count.
func (o *Operations) accountsCount(ctx context.Context, c *call, in messages.AccountsCountRequest) (messages.AccountsCountReply, error) {
	if err := checkWhere(in.Where); err != nil {
		return messages.AccountsCountReply{}, err
	}
	session, err := o.Dynamics.Open(ctx, c.connection)
	if err != nil {
		return messages.AccountsCountReply{}, err
	}
	return planned(&o.catalog, session, func(columns *columns) (reply messages.AccountsCountReply, err error) {
		var filter dynamics.Filter
		if in.Where != nil {
			if filter, err = (planner{columns: columns}).where(ctx, in.Where, "where"); err != nil {
				return reply, err
			}
		}
		reply.Count, err = session.Count(ctx, filter)
		return reply, err
	})
}
