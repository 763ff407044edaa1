package route

import "iter"

// A Part is one message of an answer. Most answers have one. A part is good until the
// operation is asked for the next one.
type Part struct {
	// Body is the reply's JSON.
	Body []byte
	// Rows is how many rows are in it.
	Rows int
	// Last marks the part that ends the answer.
	Last bool
	// Cursor returns the sealed place after this part, from which a later request goes
	// on; "" where nothing follows. Sealing costs, so whoever needs no cursor does not
	// call it. It is nil for operations whose answer is always one part.
	Cursor func() (string, error)
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
