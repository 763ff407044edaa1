package messages

import (
	"errors"
	"math/big"
	"strconv"
)

// Target is the connection member that request bodies share. It may be left out
// on a subject that already names the connection.
type Target struct {
	Connection string `json:"connection,omitzero" jsonschema:"id of the connection; may be left out on a subject that names it"`
}

// TargetID points at the connection id, for the consumer to compare with the
// subject and for the client to choose one.
func (t *Target) TargetID() *string { return &t.Connection }

// A Request is the body of a request: anything that embeds a Target.
type Request interface{ TargetID() *string }

// A Count is a number of rows to ask for. Zero means absent: a member that is
// there is at least 1.
type Count int

// UnmarshalJSON reads a whole number from 1 on, or null, which is as good as absent.
func (c *Count) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*c = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		n = wholeNumber(string(text))
	}
	if n < 1 {
		return errCount
	}
	*c = Count(n)
	return nil
}

// wholeNumber reads a number that is written with a point or an exponent, as the languages write it
// that have no whole numbers: 100.0 and 1e2 are 100, as JSON Schema has it too. It is 0 for what is
// no number from 1 on, or too long for one that somebody means.
func wholeNumber(text string) int {
	const longest = 32
	if f, err := strconv.ParseFloat(text, 64); err != nil || f < 1 || f >= 1<<63 || len(text) > longest {
		return 0 // which also bounds the exponent
	}
	if exact, ok := new(big.Rat).SetString(text); ok && exact.IsInt() && exact.Num().IsInt64() {
		return int(exact.Num().Int64())
	}
	return 0
}

var errCount = errors.New("not a whole number from 1 on")

// Head holds the members that reply bodies share.
type Head struct {
	RequestID  string `json:"request_id"`
	Connection string `json:"connection,omitzero"`
}

// SetHead fills in what the consumer knows about every reply.
func (h *Head) SetHead(requestID, connection string) {
	h.RequestID, h.Connection = requestID, connection
}

// A Reply is the body of a reply: anything that embeds a Head or a RequestHead.
type Reply interface {
	SetHead(requestID, connection string)
}

// RequestHead is the Head of replies whose connection member is the Connection
// itself.
type RequestHead struct {
	RequestID string `json:"request_id"`
}

// SetHead fills in the request id; the connection is part of the reply proper.
func (h *RequestHead) SetHead(requestID, _ string) { h.RequestID = requestID }

// ErrorReply is the body of an error.
type ErrorReply struct {
	Head
	Error *Error `json:"error"`
}
