package route

import (
	"context"
	"errors"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// Classify is the only place where errors become what requesters see. ctx is the
// request's; closing says that the process is stopping.
func Classify(ctx context.Context, closing bool, err error) *messages.Error {
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		return fault
	}
	if full, ok := errors.AsType[*budget.Error](err); ok { // also below an error of the Dataverse client
		return noMemory(full)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return messages.Errorf(messages.DeadlineExceeded,
			"the request's deadline passed before its answer was ready").Because(err)
	case ctx.Err() != nil && closing:
		return messages.Errorf(messages.Unavailable,
			"this process is stopping; send the request again").After(time.Second).Because(err)
	}
	if fault, ok := errors.AsType[*tokens.Error](err); ok {
		return fromTokens(fault)
	}
	if fault, ok := errors.AsType[*dynamics.Error](err); ok {
		return FromDynamics(fault)
	}
	return messages.Errorf(messages.Internal,
		"crmbridge failed on this request; its log tells more under this request id").Because(err)
}

// fromTokens passes on what the token side found: its codes are those of messages/README.md#errors.
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

// FromDynamics translates an error of Dataverse, or of the way there.
func FromDynamics(fault *dynamics.Error) *messages.Error {
	out := Explain(fault).Error().Because(fault)
	if fault.Status != 0 {
		out.Dynamics = &messages.DynamicsError{Status: fault.Status, Code: fault.Code, Message: fault.Message,
			RequestID: fault.RequestID}
	}
	if fault.RetryAfter > 0 {
		out.After(fault.RetryAfter)
	}
	return out
}

// noMemory is the error of a request for which there was no memory.
func noMemory(full *budget.Error) *messages.Error {
	return messages.Errorf(messages.Overloaded,
		"this process has no memory left for the request; try again").After(full.After).Because(full)
}
