package route

import "iter"

// A Part is one message of an answer. Most answers have one. A part is good until the
// operation is asked for the next one, or told that none is wanted: until yield returns.
type Part struct {
	// Body is the reply's JSON. It belongs to the operation, which writes the next part, or
	// another request's, into the same memory once the part is no longer good. Until then
	// nobody changes it: a lane that publishes it has it copied by the NATS client within
	// yield, and one that needs it longer copies it itself. Bodies of a job's parts live
	// longer, see [Job].
	Body []byte
	// Rows is how many rows are in it.
	Rows int
	// Last marks the part that ends the answer.
	Last bool
	// After gives the cursor after this part, from which a later request goes on. It is
	// nil for operations whose answer is always one part.
	After Cursorer
	// Place returns the place after this part, from which an operation that runs as a job
	// goes on: without anything that is in the request, and not sealed. It is nil where
	// the place after the part is inside a page of Dataverse, on the last part, and on the
	// interactive lane.
	Place func() ([]byte, error)
	// Total is how many rows the whole answer will have, nil where that is not known.
	Total *int64
	// Encoded says that Body is compressed by [Job.Encode].
	Encoded bool
	// Header is what goes with the body beside what a lane sets itself; nil is nothing. With
	// Crm-Error-Code in it the part is an error that was found before.
	Header map[string][]string
}

// A Cursorer seals the place after a part. Sealing costs, so whoever needs no cursor does
// not ask for it.
type Cursorer interface {
	// Cursor returns the sealed place, "" where nothing follows.
	Cursor() (string, error)
}

// An Answer is what an operation answers to one request.
type Answer struct {
	// Call is the request, its connection settled.
	Call Call
	// Numbered says that the requester asked for a sequence of parts, and so for their
	// numbers. What a lane makes of it is the lane's.
	Numbered bool
	// Parts yields the parts, of which one is the last, or an error as the end. The
	// operation runs while it is iterated over.
	Parts iter.Seq2[Part, error]
}
