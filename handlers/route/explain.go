package route

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// An Explanation is what an error of the Dataverse client means: to the requester of an
// operation, and in connections.check to whoever sets a connection up.
type Explanation struct {
	Code    messages.Code
	Message string
	// Details name the field of the request, or the privilege, that is at fault.
	Details []messages.Detail
	// RetryAfter is when to try again where Dataverse named no time; 0 is not known.
	RetryAfter time.Duration

	// Finding is Message in the words of connections.check, and Fix what can be done
	// about it, "" where that is not known.
	Finding, Fix string
	// Privilege is the privilege that is missing, "" where it is none or not known.
	Privilege string
}

// Error is the explanation as an answer's error.
func (e Explanation) Error() *messages.Error {
	out := messages.Errorf(e.Code, "%s", e.Message)
	out.Details = e.Details
	if e.RetryAfter > 0 {
		out.After(e.RetryAfter)
	}
	return out
}

// Explain says what an error of the Dataverse client means.
func Explain(fault *dynamics.Error) Explanation {
	for _, known := range meanings {
		if known.kind == fault.Kind && (known.when == nil || known.when(fault)) {
			return known.of(fault)
		}
	}
	return unusable.of(fault)
}

const (
	// throttledRetry is how long a requester has to wait where Dataverse named no time.
	throttledRetry = 10 * time.Second
	// unauthorizedRetry is when a request is sent again whose new token was refused:
	// only a verdict of Entra sends for a person.
	unauthorizedRetry = 5 * time.Second
)

// A meaning is what errors of one kind mean, or those of them for which when holds.
type meaning struct {
	kind dynamics.Kind
	when func(*dynamics.Error) bool

	code    messages.Code
	message string
	// about is what goes into the message's %s.
	about func(*dynamics.Error) string
	// column says that the error's column is the field at fault.
	column  bool
	retry   time.Duration
	finding string // "": message
	fix     string
	// forbidden errors depend on their code and privilege; see refusals.go.
	explain func(*dynamics.Error) Explanation
}

func (m meaning) of(fault *dynamics.Error) Explanation {
	if m.explain != nil {
		return m.explain(fault)
	}
	out := Explanation{Code: m.code, Message: m.message, RetryAfter: m.retry, Finding: m.finding, Fix: m.fix}
	if m.about != nil {
		out.Message = fmt.Sprintf(m.message, m.about(fault))
	}
	if m.column {
		refused := messages.Invalid(fault.Column, "%s", out.Message)
		out.Message, out.Details = refused.Message, refused.Details
	}
	if out.Finding == "" {
		out.Finding = out.Message
	}
	return out
}

// meanings has for each kind of error what it means; the first that holds counts.
var meanings = []meaning{
	{kind: dynamics.NotFound, code: messages.NotFound,
		message: "Dataverse has no row with this id, or the user may not see it"},
	{kind: dynamics.Forbidden, explain: forbidden},
	{kind: dynamics.Unauthorized, code: messages.Unavailable, retry: unauthorizedRetry, fix: RefusedFix,
		message: "Dataverse does not accept the connection's access token, nor a new one, which may pass by itself; " +
			"send the request again, and if this stays, look into it with connections.check"},
	{kind: dynamics.Throttled, when: (*dynamics.Error).OfQuery, code: messages.Throttled, retry: throttledRetry,
		message: "Dataverse holds this query back because of what it costs its database; other queries go on; " +
			"try again later, or leave out filters that search within texts, negative ones and those on " +
			"calculated columns"},
	{kind: dynamics.Throttled, when: (*dynamics.Error).OfDay, code: messages.Throttled, message: "%s", about: ownMessage},
	{kind: dynamics.Throttled, code: messages.Throttled, retry: throttledRetry,
		message: "Dataverse's service protection limits are reached; wait, sending on makes the wait longer"},
	{kind: dynamics.UnknownColumn, code: messages.InvalidRequest, column: true,
		message: "Dataverse has no such column"},
	{kind: dynamics.Invalid, when: connectionChanged, code: messages.Unavailable,
		message: "the connection was made again while this request ran; send it again"},
	{kind: dynamics.Invalid, when: unanswered, code: messages.InvalidRequest, column: true, message: "%s",
		about: ownMessage},
	{kind: dynamics.Invalid, code: messages.InvalidRequest, message: "Dataverse refused the query: %s", about: reason},
	{kind: dynamics.AggregateLimit, code: messages.NotSupported,
		message: "Dataverse does not count more than 50,000 rows in one request"},
	{kind: dynamics.TooLarge, code: messages.TooLarge, message: "%s", about: tooLarge},
	{kind: dynamics.Overloaded, code: messages.Overloaded, retry: throttledRetry,
		message: "too many requests to this environment wait already; try again"},
	{kind: dynamics.Unavailable, when: (*dynamics.Error).OfQuery, code: messages.Unavailable, retry: throttledRetry,
		message: "this query took Dataverse's database too long; try again later, " +
			"or leave out filters that search within texts and those on calculated columns"},
	{kind: dynamics.Unavailable, code: messages.Unavailable, message: "Dataverse cannot be reached; try again"},
	{kind: dynamics.Expired, code: messages.CursorExpired,
		message: "Dataverse no longer knows the place of this cursor; start again without a cursor"},
	{kind: dynamics.Untracked, explain: untracked},
	{kind: dynamics.NotConsented, code: messages.ConsentRequired, about: tableName,
		message: "the person who connected was not told that %[1]s are read; connect again to let %[1]s be read",
		fix:     "a person connects again: connections.authorize (crmbridge connect) gives the link"},
	{kind: dynamics.NoTable, explain: noTable},
	{kind: dynamics.Defect, code: messages.Internal, message: messages.Internal.Sentence()},
	{kind: dynamics.PagesEnd, code: messages.NotSupported,
		message: "Dataverse pages through no more than 50,000 rows in this order, which includes a lookup; " +
			"order by columns of the table's own, or give a narrower filter"},
	{kind: dynamics.Cancelled, code: messages.DeadlineExceeded, message: "the request ended before Dataverse answered",
		finding: "not answered within the request's deadline; ask again, or with a later one"},
}

// unusable is the meaning of errors of any other kind.
var unusable = meaning{code: messages.UpstreamError, message: "Dataverse answered something unusable: %s",
	about: reason}

func connectionChanged(fault *dynamics.Error) bool {
	return errors.Is(fault, dynamics.ErrConnectionChanged)
}

// unanswered reports an error that the client found itself.
func unanswered(fault *dynamics.Error) bool { return fault.Status == 0 }

func ownMessage(fault *dynamics.Error) string { return fault.Message }

// tooLarge names what is too large. A gateway that refuses a request for its size gives no
// other reason than the status.
func tooLarge(fault *dynamics.Error) string {
	switch {
	case fault.Message != "":
		return fault.Message
	case fault.Status == http.StatusRequestEntityTooLarge:
		return "the request is larger than Dataverse, or what stands before it, takes (HTTP status 413); " +
			"give a shorter filter"
	case fault.Status == http.StatusRequestURITooLong:
		return "the query is longer than Dataverse, or what stands before it, takes in a URL (HTTP status 414); " +
			"give a shorter filter or fewer fields"
	}
	return reason(fault)
}

// reason is Dataverse's message, or what is known where it is not readable: a gateway's
// page, an empty body.
func reason(fault *dynamics.Error) string {
	switch {
	case fault.Message != "":
		return fault.Message
	case fault.Status != 0:
		return fmt.Sprintf("HTTP status %d without a reason, perhaps from a gateway or firewall in front of it",
			fault.Status)
	}
	return "no reason was given"
}

func tableName(fault *dynamics.Error) string { return cmp.Or(fault.Table.Name, "rows") }

// tableDisplay is what Power Apps calls the table.
func tableDisplay(fault *dynamics.Error) string {
	return cmp.Or(fault.Table.Display, fault.Table.Name, "of these rows")
}

// untracked says what keeps an environment from telling what changed.
func untracked(fault *dynamics.Error) Explanation {
	out := Explanation{Code: messages.NotSupported}
	if unanswered(fault) {
		out.Message = "the environment answered without change tracking: a proxy or gateway between " +
			"crmbridge and Dataverse " +
			"leaves out the header Prefer: odata.track-changes, or its answer Preference-Applied; with " +
			"nothing in between, " +
			"look at Track changes of the table " + tableDisplay(fault) + " in Power Apps"
		out.Finding, out.Fix = out.Message, "who runs what stands between crmbridge and the environment lets the "+
			"header Prefer pass"
		return out
	}
	place := "Tables, " + tableDisplay(fault) + ", Properties, Advanced options, Track changes"
	out.Finding = "the environment does not track changes of " + tableName(fault)
	out.Message = out.Finding + "; its administrator switches that on in Power Apps (make.powerapps.com, " + place + ")"
	out.Fix = "Power Apps (make.powerapps.com), the environment, " + place
	return out
}

// noTable says that a table's product is not in the environment.
func noTable(fault *dynamics.Error) Explanation {
	name, product := tableName(fault), cmp.Or(fault.Table.Product, "a product of its own")
	message := fmt.Sprintf("the environment has no table %s; it comes with %s", name, product)
	return Explanation{Code: messages.NotSupported, Message: message, Finding: message +
		"; everything else works without it",
		Fix: fmt.Sprintf("install %s in the environment, or do without %s", product, name)}
}
