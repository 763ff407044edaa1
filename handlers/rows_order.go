package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Pages that are ordered by a lookup have no paging cookie and end at 50,000 rows. A
// requester who follows the cursors of more would learn that after an hour.

// checkEnd refuses with the first page what could not be read to its end. Where the
// number of rows is not known it costs one request more, for such orders alone; what
// cannot be found out is left to Dataverse.
func (s *search) checkEnd(ctx context.Context) error {
	byLookup := slices.ContainsFunc(s.query.OrderBy,
		func(o dynamics.Order) bool { return o.Column.Type == dynamics.Lookup })
	if s.resumed || !byLookup || !s.page.WithoutCookie() || s.asked.Limit > 0 &&
		s.asked.Limit <= dynamics.MaxSimplePaging {
		return nil
	}
	var more bool
	if s.at.Total != nil {
		more = *s.at.Total > dynamics.MaxSimplePaging
	} else {
		var err error
		if more, err = s.session.Exceeds(ctx, s.entity.Rows, s.query.Filter); err != nil {
			return ctx.Err()
		}
	}
	if more {
		return s.pagesEnd(nil)
	}
	return nil
}

// pagesEnd names the order as the reason, and what would be right.
func (s *search) pagesEnd(cause error) error {
	var names []string
	path := "order_by"
	for i, order := range s.query.OrderBy {
		if order.Column.Type == dynamics.Lookup && i < len(s.asked.OrderBy) {
			if len(names) == 0 {
				path = fmt.Sprintf("order_by[%d]", i)
			}
			names = append(names, strings.TrimPrefix(s.asked.OrderBy[i], "-"))
		}
	}
	by := "in this order"
	if len(names) > 0 {
		by = "ordered by the lookup " + strings.Join(names, " and ")
	}
	const bound = "of %s %s Dataverse gives the first 50,000 rows only, since such pages have no paging cookie, " +
		"and there are more; " +
		"order by columns that are no lookups, narrow the filter, or set a limit of at most 50,000"
	out := messages.Errorf(messages.NotSupported, bound, s.entity.Name, by)
	if upstream, ok := errors.AsType[*dynamics.Error](cause); ok {
		out.Dynamics = route.FromDynamics(upstream).Dynamics
		out = out.Because(cause)
	}
	out.Details = []messages.Detail{{Path: path, Message: "is paged to 50,000 rows only"}}
	return out
}
