package handlers

import (
	"cmp"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// beginSearch begins the answer to contacts.search and its like: one page, or in stream mode
// as many parts as it takes.
func (o *rowOperations) beginSearch() route.Search {
	s := searches.Get().(*search)
	s.of = o
	return s
}

// Asked implements [route.Search].
func (s *search) Asked() (*messages.SearchRequest, *messages.SearchMemory) {
	return &s.asked, &s.memory
}

// Parts implements [route.Search].
func (s *search) Parts(ctx context.Context, c route.Call) iter.Seq2[route.Part, error] {
	if c.Job != nil {
		return s.of.searchJob(ctx, c, s.asked) // its request keeps this memory
	}
	s.begins(s.of, c)
	turn := s.turn
	return func(yield func(route.Part, error) bool) {
		if s.turn != turn {
			panic("a search is answered twice")
		}
		s.answer(ctx, s.of, yield)
		s.Drop() // not after a panic: who knows who has it then
	}
}

// Drop implements [route.Search]: it leaves nothing of a search that is over. What that began
// has ended, and its parts are no longer good.
func (s *search) Drop() {
	*s = search{turn: s.turn + 1}
	searches.Put(s)
}

// answer yields the parts, up to the last one or an error.
func (s *search) answer(ctx context.Context, o *rowOperations, yield func(route.Part, error) bool) {
	defer s.close()
	err := s.open(ctx, o)
	if err == nil {
		err = o.Catalog.ReplanIn(&s.columns, s.session, o.entity, func(p plan.Planner) error { return s.first(ctx, p) })
	}
	for err == nil {
		var part route.Part
		if part, err = s.next(ctx); err != nil {
			break
		}
		if part.Last && !s.end.more && !s.inPage { // no cursor: others need the page's memory while this is published
			s.release()
		}
		if !yield(part, nil) || part.Last {
			s.dropBody(ctx)
			return
		}
	}
	s.dropBody(ctx)
	yield(route.Part{}, err)
}

// wantsStream reports whether a search is answered with as many parts as it takes. A mode
// that does not exist counts as one, so that its refusal ends what may be waited for.
func wantsStream(in *messages.SearchRequest) bool {
	return in.Mode != "" && in.Mode != messages.ModePage
}

// searches have the memory of searches that are over, of which nothing is left in it. Calls
// for pages, which others may share, have memory of their own.
var searches = sync.Pool{New: func() any { return new(search) }}

// A search is one request's walk over the matching rows.
type search struct {
	turn    uint64 // how many others had this memory before
	of      *rowOperations
	call    route.Call
	entity  *plan.Entity
	session *dynamics.Session
	columns plan.Columns // what is planned with
	query   dynamics.Query
	rows    *dynamics.Prepared     // query, for pages of its size
	asked   messages.SearchRequest // normalized once the search is open
	cursors cursors
	from    position // where this answer begins
	at      position
	stream  bool
	sent    int    // rows of this answer
	resumed bool   // the place to go on with came from the requester
	checked bool   // see checkEnd
	byTime  bool   // a job reads in the order of creation
	place   string // of a job to go on at; see [dynamics.Session.After]

	page  *dynamics.Page // the page being delivered, nil before the first
	row   int            // its next row to deliver
	loads int            // pages read for the next part
	ahead *pageAhead     // the page after it, where that has been begun
	took  time.Duration  // to read the page

	end        searchEnd // of the part before
	body       []byte    // of the part before
	inPage     bool      // the part before stands in the page
	head, tail []byte    // of parts, in this space where they have room
	headSpace  [192]byte
	tailSpace  [64]byte

	// What asked, session and rows point to.
	memory   messages.SearchMemory
	opened   dynamics.Session
	prepared dynamics.Prepared
}

// begins begins the work on what is asked.
func (s *search) begins(o *rowOperations, c route.Call) {
	s.call, s.entity, s.stream = c, o.entity, wantsStream(&s.asked)
}

// newSearch is a search that is open.
func (o *rowOperations) newSearch(ctx context.Context, c route.Call, in messages.SearchRequest) (*search, error) {
	s := &search{asked: in}
	s.begins(o, c)
	return s, s.open(ctx, o)
}

// open checks what was asked for, and settles the session and where to begin.
func (s *search) open(ctx context.Context, o *rowOperations) (err error) {
	if err := checkSearch(&s.asked); err != nil {
		return err
	}
	if err = o.openIn(ctx, s.call, &s.opened); err != nil {
		return err
	}
	s.session = &s.opened
	s.cursors = o.cursorsOf(s.call, s.session)
	return s.begin(s.asked)
}

// close ends what the search has begun.
func (s *search) close() {
	s.drop()
	s.release()
}

// checkSearch finds what is wrong with a request before anybody else is asked.
func checkSearch(in *messages.SearchRequest) error {
	switch {
	case in.Mode != "" && in.Mode != messages.ModePage && in.Mode != messages.ModeStream:
		return messages.Invalid("mode", "must be page or stream")
	case len(in.OrderBy) > messages.MaxOrderBy:
		return messages.Invalid("order_by", "must not be more than %d", messages.MaxOrderBy)
	}
	return cmp.Or(checkPageSize(in.PageSize), checkFields(in.Fields), checkWhere(in.Where))
}

func checkPageSize(size messages.Count) error {
	if size > messages.MaxPageSize {
		return messages.Invalid("page_size", "must be from 1 to %d", messages.MaxPageSize)
	}
	return nil
}

// checkFields finds what is wrong with the fields of a request; none means the
// default, and an empty list is a mistake.
func checkFields(fields []string) error {
	switch {
	case fields != nil && len(fields) == 0:
		return messages.Invalid("fields", "the list is empty; name fields, or leave it out for the default")
	case len(fields) > messages.MaxFields:
		return messages.Invalid("fields", "must not be more than %d", messages.MaxFields)
	}
	return nil
}

func checkWhere(where *messages.Where) error {
	if where == nil {
		return nil
	}
	if fault := where.Check("where"); fault != nil {
		return fault
	}
	return nil
}

// begin settles the query and the place to go on: the request's own, or the
// cursor's. What else the request holds must agree with the cursor.
func (s *search) begin(in messages.SearchRequest) error {
	if in.Cursor == "" {
		s.asked = s.normalize(in)
		return nil
	}
	var at position
	if err := s.cursors.open(in.Cursor, &at); err != nil {
		return err
	}
	if time.Since(time.Unix(at.Issued, 0)) > cursorLife {
		return messages.Invalid("cursor", "is older than 7 days; start the search again")
	}
	s.from, s.resumed = at, true
	s.asked = messages.SearchRequest{}
	if err := json.Unmarshal(at.Query, &s.asked); err != nil {
		return badCursor()
	}
	if alone(in) {
		return nil
	}
	if in.PageSize == 0 {
		in.PageSize = s.asked.PageSize // its default depends on the mode of the first request
	}
	again, err := encodeQuery(s.normalize(in))
	if err != nil {
		return err
	}
	if string(again) != string(at.Query) {
		return messages.Invalid("cursor", "belongs to another query; send it alone, or with the query unchanged")
	}
	return nil
}

// normalize leaves what makes up the query, with defaults filled in, so that
// equal queries are equal.
func (s *search) normalize(in messages.SearchRequest) messages.SearchRequest {
	if len(in.Fields) == 0 {
		in.Fields = s.entity.DefaultFields
	}
	if in.PageSize == 0 {
		in.PageSize = messages.DefaultPageSize
		if in.Mode == messages.ModeStream {
			in.PageSize = messages.MaxPageSize
		}
	}
	in.Connection, in.Cursor, in.Mode = "", "", ""
	return in
}

func encodeQuery(in messages.SearchRequest) (jsontext.Value, error) {
	encoded, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	query := jsontext.Value(encoded)
	return query, query.Compact()
}

// alone reports whether a request holds nothing but its cursor.
func alone(in messages.SearchRequest) bool {
	return in.Where == nil && in.Fields == nil && in.OrderBy == nil && in.PageSize == 0 && in.Limit == 0 &&
		!in.IncludeTotal
}
