package route

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// What Dataverse says of one query reaches the requester as something to try again,
// with the time to wait, and in words about the query.
func TestAQueryThatCostsTooMuch(t *testing.T) {
	for _, c := range []struct {
		fault dynamics.Error
		code  messages.Code
		after time.Duration
	}{
		{dynamics.Error{Kind: dynamics.Throttled, Status: 400, Code: "0x80048744"}, messages.Throttled, throttledRetry},
		{dynamics.Error{Kind: dynamics.Throttled, Status: 503, Code: "0x80048544", RetryAfter: time.Minute}, messages.Throttled, time.Minute},
		{dynamics.Error{Kind: dynamics.Unavailable, Status: 500, Code: "0x80048575"}, messages.Unavailable, throttledRetry},
	} {
		usual := FromDynamics(&dynamics.Error{Kind: c.fault.Kind, Status: c.fault.Status})
		got := Classify(t.Context(), false, &c.fault)
		if got.Code != c.code || !got.Retryable || got.RetryAfterMS != c.after.Milliseconds() ||
			got.Message == usual.Message || got.Dynamics.Code != c.fault.Code {
			t.Errorf("%+v: %+v", c.fault, got)
		}
	}
}

// Errors of every kind become those of messages/README.md#errors, with what goes beside the code.
func TestErrorsBecomeTheContracts(t *testing.T) {
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	some := errors.New("some cause")
	seen := &messages.DynamicsError{Status: 403, Code: "0x80040220", Message: "no", RequestID: "r"}
	for name, c := range map[string]struct {
		ctx     context.Context
		closing bool
		err     error
		want    messages.Error
		says    string
		path    string
	}{
		"already one of messages": {over, true, messages.Errorf(messages.NotFound, "none"), messages.Error{Code: messages.NotFound}, "none", ""},
		"deadline":                {over, true, some, messages.Error{Code: messages.DeadlineExceeded, Retryable: true}, "deadline passed", ""},
		"stopping":                {stopped, true, some, messages.Error{Code: messages.Unavailable, Retryable: true, RetryAfterMS: 1000}, "is stopping", ""},
		"cancelled, not stopping": {stopped, false, &dynamics.Error{Kind: dynamics.NotFound}, messages.Error{Code: messages.NotFound}, "no row", ""},
		"unknown":                 {t.Context(), false, some, messages.Error{Code: messages.Internal}, "its log tells more", ""},
		"no memory":               {over, false, &dynamics.Error{Kind: dynamics.Upstream, Err: &budget.Error{}}, messages.Error{Code: messages.Overloaded, Retryable: true, RetryAfterMS: -1}, "", ""},
		"token": {t.Context(), false, &tokens.Error{Code: "consent_required", Message: "ask", AdminConsentURL: "https://x", Field: "environment_url"},
			messages.Error{Code: messages.ConsentRequired, AdminConsentURL: "https://x"}, "ask", "environment_url"},
		"token, to be tried again": {t.Context(), false, &tokens.Error{Code: "unavailable", Message: "later", Retryable: true, RetryAfter: time.Minute},
			messages.Error{Code: messages.Unavailable, Retryable: true, RetryAfterMS: 60_000}, "later", ""},
		"token, in vain": {t.Context(), false, &tokens.Error{Code: "unavailable", Message: "no", RetryAfter: time.Minute},
			messages.Error{Code: messages.Unavailable}, "no", ""},
		"what Dataverse said": {t.Context(), false, &dynamics.Error{Kind: dynamics.Forbidden, Status: 403, Code: "0x80040220", Message: "no", RequestID: "r"},
			messages.Error{Code: messages.PermissionDenied, Dynamics: seen}, "Dataverse refused: no", ""},
		"a wait": {t.Context(), false, &dynamics.Error{Kind: dynamics.Unavailable, RetryAfter: time.Minute},
			messages.Error{Code: messages.Unavailable, Retryable: true, RetryAfterMS: 60_000}, "cannot be reached", ""},
		"throttled": {t.Context(), false, &dynamics.Error{Kind: dynamics.Throttled}, messages.Error{Code: messages.Throttled, Retryable: true, RetryAfterMS: 10_000}, "limits", ""},
		"a second 401": {t.Context(), false, &dynamics.Error{Kind: dynamics.Unauthorized},
			messages.Error{Code: messages.Unavailable, Retryable: true, RetryAfterMS: 5000}, "connections.check", ""},
		"made again": {t.Context(), false, &dynamics.Error{Kind: dynamics.Invalid, Err: dynamics.ErrConnectionChanged},
			messages.Error{Code: messages.Unavailable, Retryable: true}, "made again", ""},
		"refused by the client":   {t.Context(), false, &dynamics.Error{Kind: dynamics.Invalid, Column: "revenue", Message: "is wrong"}, messages.Error{Code: messages.InvalidRequest}, "is wrong", "revenue"},
		"unknown column":          {t.Context(), false, &dynamics.Error{Kind: dynamics.UnknownColumn, Column: "new_x"}, messages.Error{Code: messages.InvalidRequest}, "no such column", "new_x"},
		"expired":                 {t.Context(), false, &dynamics.Error{Kind: dynamics.Expired}, messages.Error{Code: messages.CursorExpired}, "without a cursor", ""},
		"not tracked, it says so": {t.Context(), false, &dynamics.Error{Kind: dynamics.Untracked, Status: 0}, messages.Error{Code: messages.NotSupported}, "a proxy or gateway", ""},
		"a defect":                {t.Context(), false, &dynamics.Error{Kind: dynamics.Defect}, messages.Error{Code: messages.Internal}, "", ""},
		"more than is counted":    {t.Context(), false, &dynamics.Error{Kind: dynamics.AggregateLimit}, messages.Error{Code: messages.NotSupported}, "50,000", ""},
		"cancelled":               {t.Context(), false, &dynamics.Error{Kind: dynamics.Cancelled}, messages.Error{Code: messages.DeadlineExceeded, Retryable: true}, "", ""},
		"nothing said":            {t.Context(), false, &dynamics.Error{Kind: dynamics.Upstream}, messages.Error{Code: messages.UpstreamError, Retryable: true}, "no reason was given", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Classify(c.ctx, c.closing, c.err)
			waits := got.RetryAfterMS == c.want.RetryAfterMS || c.want.RetryAfterMS < 0 && got.RetryAfterMS > 0
			if got.Code != c.want.Code || got.Retryable != c.want.Retryable || !waits ||
				got.AdminConsentURL != c.want.AdminConsentURL ||
				!strings.Contains(got.Message, c.says) {
				t.Errorf("%+v", got)
			}
			if (got.Dynamics == nil) != (c.want.Dynamics == nil) && name != "a defect" || c.want.Dynamics != nil &&
				*got.Dynamics != *c.want.Dynamics {
				t.Errorf("of Dataverse's: %+v", got.Dynamics)
			}
			if c.path != "" && (len(got.Details) != 1 || got.Details[0].Path != c.path) || c.path == "" && len(got.Details) > 0 {
				t.Errorf("details %+v, want %q", got.Details, c.path)
			}
		})
	}
}

var (
	accounts = dynamics.Table{Name: "accounts", Display: "Account", Privilege: "prvReadAccount"}
	contacts = dynamics.Table{Name: "contacts", Display: "Contact", Privilege: "prvReadContact"}
	widgets  = dynamics.Table{Name: "widgets", Display: "Widget of ours", Privilege: "prvReadcb_Widget",
		Product: "Widgets for Sales"}
)

// What is said of an error names the table that it is about, and no other.
func TestTheTableIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		fault              dynamics.Error
		code               messages.Code
		message, find, fix string
	}{
		"not tracked": {dynamics.Error{Kind: dynamics.Untracked, Status: 400, Table: contacts}, messages.NotSupported,
			"does not track changes of contacts; its administrator", "does not track changes of contacts", "the environment, Tables, Contact, Properties, Advanced options, Track changes"},
		"not tracked by a proxy": {dynamics.Error{Kind: dynamics.Untracked, Table: contacts}, messages.NotSupported,
			"of the table Contact in Power Apps", "a proxy or gateway", "Prefer"},
		"not consented": {dynamics.Error{Kind: dynamics.NotConsented, Table: contacts}, messages.ConsentRequired,
			"connect again to let contacts be read", "not told that contacts are read", "connections.authorize"},
		"no product": {dynamics.Error{Kind: dynamics.NoTable, Status: 404, Table: widgets}, messages.NotSupported,
			"no table widgets; it comes with Widgets for Sales", "everything else works", "install Widgets for Sales"},
		"a privilege": {dynamics.Error{Kind: dynamics.Forbidden, Status: 403, Code: "0x80040220", Table: contacts, Privilege: "prvReadContact"}, messages.PermissionDenied,
			"lacks the privilege prvReadContact", "prvReadContact", "Read on Contact (prvReadContact) at level Organization"},
		"a privilege by its table's display name": {dynamics.Error{Kind: dynamics.Forbidden, Status: 403, Code: "0x80040220", Table: widgets, Privilege: "prvReadcb_Widget"}, messages.PermissionDenied,
			"lacks the privilege", "prvReadcb_Widget", "Read on Widget of ours (prvReadcb_Widget)"},
		"a related table's privilege": {dynamics.Error{Kind: dynamics.Forbidden, Status: 403, Code: "0x80040220", Table: contacts, Privilege: "prvReadOpportunity"}, messages.PermissionDenied,
			"lacks the privilege", "prvReadOpportunity", "Read on Opportunity (prvReadOpportunity)"},
		"a system table's privilege": {dynamics.Error{Kind: dynamics.Forbidden, Status: 403, Code: "0x80040220", Table: contacts, Privilege: "prvReadAttribute"}, messages.PermissionDenied,
			"lacks the privilege", "prvReadAttribute", "Read on Attribute (Field) (prvReadAttribute)"},
		"another privilege": {dynamics.Error{Kind: dynamics.Forbidden, Status: 403, Code: "0x80040220", Table: contacts, Privilege: "prvWriteContact"}, messages.PermissionDenied,
			"lacks the privilege", "prvWriteContact", "with prvWriteContact at level"},
	} {
		got := Explain(&c.fault)
		text := got.Message + got.Finding + got.Fix
		if got.Code != c.code || !strings.Contains(got.Message, c.message) || !strings.Contains(got.Finding, c.find) ||
			!strings.Contains(got.Fix, c.fix) ||
			strings.Contains(text, "ccount") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Why a user is kept out is said with the privilege, or with what an administrator does.
func TestWhyAUserIsKeptOut(t *testing.T) {
	for name, c := range map[string]struct {
		fault      dynamics.Error
		says, path string
	}{
		"a code in upper case":      {dynamics.Error{Code: "0X80072560"}, "is not a member of the environment", ""},
		"a privilege":               {dynamics.Error{Code: "0x80040220", Privilege: "prvReadTeam"}, "lacks the privilege prvReadTeam", "prvReadTeam"},
		"a row that is not reached": {dynamics.Error{Code: "0x80048306", Privilege: "prvReadAccount"}, "does not reach that far", "prvReadAccount"},
		"changes":                   {dynamics.Error{Op: "accounts.changes", Table: accounts, Privilege: "prvReadAccount"}, "at organization level", "prvReadAccount"},
		"changes, unsaid":           {dynamics.Error{Op: "contacts.changes", Table: contacts, Message: "no"}, "needs the privilege prvReadContact at organization level", "prvReadContact"},
		"changes, another":          {dynamics.Error{Op: "accounts.changes", Table: accounts, Privilege: "prvReadTeam"}, "lacks the privilege prvReadTeam", "prvReadTeam"},
		"nothing":                   {dynamics.Error{Message: "no"}, "Dataverse refused: no", ""},
	} {
		c.fault.Kind = dynamics.Forbidden
		got := Classify(t.Context(), false, &c.fault)
		if got.Code != messages.PermissionDenied || !strings.Contains(got.Message, c.says) || c.path != "" &&
			got.Details[0].Path != c.path {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
