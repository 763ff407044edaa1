package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// classify is the only place where errors become what requesters see. ctx is the
// request's; closing says that the process is stopping.
func classify(ctx context.Context, closing bool, err error) *messages.Error {
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		return fault
	}
	if full, ok := errors.AsType[*budget.Error](err); ok { // also below an error of the Dataverse client
		return noMemory(full)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return messages.Errorf(messages.DeadlineExceeded, "the request's deadline passed before its answer was ready").Because(err)
	case ctx.Err() != nil && closing:
		return messages.Errorf(messages.Unavailable, "this process is stopping; send the request again").After(time.Second).Because(err)
	}
	if fault, ok := errors.AsType[*tokens.Error](err); ok {
		return fromTokens(fault)
	}
	if fault, ok := errors.AsType[*dynamics.Error](err); ok {
		return fromDynamics(fault)
	}
	return messages.Errorf(messages.Internal, "crmbridge failed on this request; its log tells more under this request id").Because(err)
}

// fromTokens passes on what the token side found: its codes are the contract's.
func fromTokens(fault *tokens.Error) *messages.Error {
	out := messages.Errorf(messages.Code(fault.Code), "%s", fault.Message).Because(fault)
	out.Retryable = fault.Retryable
	out.AdminConsentURL = fault.AdminConsentURL
	if fault.Field != "" {
		out.Details = []messages.Detail{{Path: fault.Field, Message: fault.Message}}
	}
	if fault.RetryAfter > 0 && fault.Retryable {
		out.After(fault.RetryAfter)
	}
	return out
}

// throttledRetry is what a requester is told to wait where Dataverse did not say.
const throttledRetry = 10 * time.Second

// unauthorizedRetry is when a request is sent again whose new token was refused:
// only a verdict of Entra sends for a person.
const unauthorizedRetry = 5 * time.Second

// fromDynamics translates what Dataverse, or the way there, had to say.
func fromDynamics(fault *dynamics.Error) *messages.Error {
	out := translate(fault).Because(fault)
	if fault.Status != 0 {
		out.Dynamics = &messages.DynamicsError{Status: fault.Status, Code: fault.Code, Message: fault.Message, RequestID: fault.RequestID}
	}
	if fault.RetryAfter > 0 {
		out.After(fault.RetryAfter)
	}
	return out
}

func translate(fault *dynamics.Error) *messages.Error {
	switch fault.Kind {
	case dynamics.NotFound:
		return messages.Errorf(messages.NotFound, "Dataverse has no row with this id, or the user may not see it")
	case dynamics.Forbidden:
		return forbidden(fault)
	case dynamics.Unauthorized:
		return messages.Errorf(messages.Unavailable, "Dataverse does not accept the connection's access token, nor a new one, which may pass by itself; send the request again, and if this stays, look into it with connections.check").After(unauthorizedRetry)
	case dynamics.Throttled:
		if fault.OfQuery() {
			return messages.Errorf(messages.Throttled, "Dataverse holds this query back because of what it costs its database; other queries go on; "+
				"try again later, or leave out filters that search within texts, negative ones and those on calculated columns").After(throttledRetry)
		}
		return messages.Errorf(messages.Throttled, "Dataverse's service protection limits are reached; wait, sending on makes the wait longer").After(throttledRetry)
	case dynamics.UnknownColumn:
		return messages.Invalid(fault.Column, "Dataverse has no such column")
	case dynamics.Invalid:
		if errors.Is(fault, dynamics.ErrConnectionChanged) {
			return messages.Errorf(messages.Unavailable, "the connection was made again while this request ran; send it again")
		}
		if fault.Status == 0 {
			return messages.Invalid(fault.Column, "%s", fault.Message)
		}
		return messages.Errorf(messages.InvalidRequest, "Dataverse refused the query: %s", reason(fault))
	case dynamics.AggregateLimit:
		return messages.Errorf(messages.NotSupported, "Dataverse does not count more than 50,000 rows in one request")
	case dynamics.TooLarge:
		return messages.Errorf(messages.TooLarge, "%s", tooLarge(fault))
	case dynamics.Overloaded:
		return messages.Errorf(messages.Overloaded, "too many requests to this environment wait already; try again").After(throttledRetry)
	case dynamics.Unavailable:
		if fault.OfQuery() {
			return messages.Errorf(messages.Unavailable, "this query took Dataverse's database too long; try again later, "+
				"or leave out filters that search within texts and those on calculated columns").After(throttledRetry)
		}
		return messages.Errorf(messages.Unavailable, "Dataverse cannot be reached; try again")
	case dynamics.Expired:
		return messages.Errorf(messages.CursorExpired, "Dataverse no longer knows the place that this cursor stands for; start again without a cursor")
	case dynamics.Untracked:
		if fault.Status == 0 {
			return messages.Errorf(messages.NotSupported, "%s", trackingIgnored)
		}
		return messages.Errorf(messages.NotSupported, "the environment does not track changes of accounts; its administrator switches that on in Power Apps (make.powerapps.com, Tables, Account, Properties, Advanced options, Track changes)")
	case dynamics.NotConsented:
		return messages.Errorf(messages.ConsentRequired, "the person who connected was not told that %s are read; connect again to let %s be read", fault.Table.Name, fault.Table.Name)
	case dynamics.NoTable:
		return messages.Errorf(messages.NotSupported, "the environment has no table %s; it comes with %s", fault.Table.Name, fault.Table.Product)
	case dynamics.Defect:
		return messages.Errorf(messages.Internal, "%s", messages.Internal.Sentence())
	case dynamics.PagesEnd:
		return messages.Errorf(messages.NotSupported, "Dataverse pages through no more than 50,000 rows in this order, which includes a lookup; order by columns of the table's own, or give a narrower filter")
	case dynamics.Cancelled:
		return messages.Errorf(messages.DeadlineExceeded, "the request ended before Dataverse answered")
	default:
		return messages.Errorf(messages.UpstreamError, "Dataverse answered something unusable: %s", reason(fault))
	}
}

// tooLarge says what is too large. A gateway that refuses a request for its size says
// nothing else.
func tooLarge(fault *dynamics.Error) string {
	switch {
	case fault.Message != "":
		return fault.Message
	case fault.Status == http.StatusRequestEntityTooLarge:
		return "the request is larger than Dataverse, or what stands before it, takes (HTTP status 413); give a shorter filter"
	case fault.Status == http.StatusRequestURITooLong:
		return "the query is longer than Dataverse, or what stands before it, takes in a URL (HTTP status 414); give a shorter filter or fewer fields"
	}
	return reason(fault)
}

// trackingIgnored is said where change tracking was asked for and not refused.
const trackingIgnored = "the environment answered without change tracking: a proxy or gateway between crmbridge and Dataverse leaves out the header Prefer: odata.track-changes, or its answer Preference-Applied; with nothing in between, look at Track changes of the table Account in Power Apps"

// reason is what Dataverse said, or what is known where it said nothing that can
// be read: a gateway's page, an empty body.
func reason(fault *dynamics.Error) string {
	switch {
	case fault.Message != "":
		return fault.Message
	case fault.Status != 0:
		return fmt.Sprintf("HTTP status %d without a reason, perhaps from a gateway or firewall in front of it", fault.Status)
	}
	return "no reason was given"
}
