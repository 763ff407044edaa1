package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// count answers contacts.count and its like.
func (o *rowOperations) count(ctx context.Context, c route.Call, in messages.CountRequest) (messages.CountReply,
	error) {
	var reply messages.CountReply
	if err := checkWhere(in.Where); err != nil {
		return reply, err
	}
	session, err := o.open(ctx, c)
	if err != nil {
		return reply, err
	}
	err = o.Catalog.Replan(session, o.entity, func(p plan.Planner) (err error) {
		var filter dynamics.Filter
		if in.Where != nil {
			if filter, err = p.Where(ctx, in.Where, "where"); err != nil {
				return err
			}
		}
		reply.Count, err = session.Count(ctx, o.entity.Rows, filter)
		return err
	})
	return reply, err
}
