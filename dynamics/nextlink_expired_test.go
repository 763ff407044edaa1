package dynamics_test

import (
	"fmt"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// That Dataverse does not take the place in a link any more can be said of a link
// only: what refuses a first page in the same words refuses the query.
func TestOnlyALinkExpires(t *testing.T) {
	for _, c := range []struct {
		status        int
		code, message string
		link, first   dynamics.Kind
	}{
		{400, "0x8004112a", "x", dynamics.Expired, dynamics.Invalid},
		{400, "0x80041129", "x", dynamics.Expired, dynamics.Invalid},
		{400, "0x8004112A", "x", dynamics.Expired, dynamics.Invalid},
		{400, "0x80040203", "Invalid Paging Cookie", dynamics.Expired, dynamics.Invalid},
		{400, "0x80060888", "Malformed skip token", dynamics.Expired, dynamics.Invalid},
		{400, "0x80060888", "Error in query syntax.", dynamics.Invalid, dynamics.Invalid},
		{403, "0x80040220", "paging cookie", dynamics.Forbidden, dynamics.Forbidden},
		{400, "0x80040203", "Paging cookie is required when trying to retrieve a set of records on any high pages.", dynamics.PagesEnd, dynamics.PagesEnd},
		{500, "0x8004430A", "x", dynamics.PagesEnd, dynamics.PagesEnd},
	} {
		r := newRig(t, answer(c.status, fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, c.code, c.message)))
		s := r.open(t)
		if _, err := nextPage(t.Context(), s, nameOnly, r.URL+"/api/data/v9.2/accounts?"+cookie); dynamics.KindOf(err) != c.link {
			t.Errorf("%s %q behind a link: %v", c.code, c.message, err)
		}
		if _, err := firstPage(t.Context(), s, nameOnly); dynamics.KindOf(err) != c.first {
			t.Errorf("%s %q for a first page: %v", c.code, c.message, err)
		}
	}
}
