package messagestest

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"

	"github.com/crmbridge/crmbridge/messages"
)

// A search is one that is being answered.
type search struct {
	*call
	of     messages.Table
	asked  messages.SearchRequest // normalized
	at     place
	stream bool
	sent   int // rows of this answer

	is     test
	order  order
	fields selection
}

// search answers a search, page by page.
func (c *call) search(t messages.Table, in messages.SearchRequest, send sender) *messages.Error {
	fault := checkSearch(in)
	if fault == nil && c.job != nil {
		if in.Cursor != "" {
			return messages.Invalid("cursor", "a job reads everything from the beginning; leave cursor out")
		}
		if in.PageSize == 0 {
			in.PageSize = messages.MaxPageSize
		}
	}
	s := &search{call: c, of: t, stream: in.Mode == messages.ModeStream && c.job == nil}
	if fault == nil {
		fault = c.with(t.Name, func(conn *Connection, t *table) *messages.Error { return s.begin(conn, t, in) })
	}
	if fault != nil {
		return fault
	}
	for {
		fault, lost := s.try(), false
		if lost = fault == errLost && s.stream; fault != nil && !lost {
			return fault
		}
		var p part
		fault = c.with(t.Name, func(conn *Connection, t *table) (fault *messages.Error) {
			p, fault = s.page(conn, t)
			return fault
		})
		if fault != nil {
			return fault
		}
		if fault = send(p, lost); fault != nil || p.last {
			return fault
		}
	}
}

func checkSearch(in messages.SearchRequest) *messages.Error {
	switch {
	case in.Mode != "" && in.Mode != messages.ModePage && in.Mode != messages.ModeStream:
		return messages.Invalid("mode", "must be page or stream")
	case len(in.OrderBy) > messages.MaxOrderBy:
		return messages.Invalid("order_by", "must not be more than %d", messages.MaxOrderBy)
	}
	return first(checkPageSize(in.PageSize, messages.MaxPageSize), checkFields(in.Fields), checkWhere(in.Where))
}

// begin finds the place to begin at, and what is asked there.
func (s *search) begin(conn *Connection, t *table, in messages.SearchRequest) (fault *messages.Error) {
	switch {
	case s.job != nil && s.job.at != nil:
		s.at = *s.job.at
		s.asked = s.normal(t, in)
	case in.Cursor == "":
		s.asked = s.normal(t, in)
	default:
		if fault = s.resume(conn, t, in); fault != nil {
			return fault
		}
	}
	if s.at.Query == nil {
		s.at.Query = encoded(s.asked)
	}
	if s.fields, fault = t.selected(s.asked.Fields); fault != nil {
		return fault
	}
	if s.order, fault = t.ordered(s.asked.OrderBy); fault != nil {
		return fault
	}
	if s.is, fault = t.where(s.asked.Where, "where"); fault != nil {
		return fault
	}
	return s.order.readable(s.asked.OrderBy)
}

func (s *search) resume(conn *Connection, t *table, in messages.SearchRequest) (fault *messages.Error) {
	if s.at, fault = s.open(conn, in.Cursor); fault != nil {
		return fault
	}
	if time.Since(s.at.Issued) > cursorLife {
		return messages.Invalid("cursor", "is older than 7 days; start the search again")
	}
	if err := json.Unmarshal(s.at.Query, &s.asked); err != nil {
		return badCursor()
	}
	if in.Where == nil && in.Fields == nil && in.OrderBy == nil && in.PageSize == 0 && in.Limit == 0 &&
		!in.IncludeTotal {
		return nil
	}
	if in.PageSize == 0 {
		in.PageSize = s.asked.PageSize // its default depends on the mode of the first request
	}
	if string(encoded(s.normal(t, in))) != string(s.at.Query) {
		return messages.Invalid("cursor", "belongs to another query; send it alone, or with the query unchanged")
	}
	return nil
}

// normal is a request as cursors hold it.
func (s *search) normal(t *table, in messages.SearchRequest) messages.SearchRequest {
	if len(in.Fields) == 0 {
		in.Fields = t.DefaultFields
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

func encoded(in messages.SearchRequest) jsontext.Value {
	text := wire(in)
	_ = text.Compact() // a filter's values are as they were sent; what is no JSON has been refused
	return text
}

// page is the next message: as many rows as were asked for, and fit.
func (s *search) page(conn *Connection, t *table) (part, *messages.Error) {
	found := t.matching(s.is, s.order)
	if s.asked.IncludeTotal && s.at.Total == nil {
		total := int64(len(found))
		s.at.Total = &total
	}
	if s.at.ID != "" {
		mark, err := s.order.at(s.at.Mark, s.at.ID)
		if err != nil {
			return part{}, badCursor()
		}
		from, there := slices.BinarySearchFunc(found, mark, s.order.compare)
		if there {
			from++
		}
		found = found[from:]
	}
	if limit := int(s.asked.Limit); limit > 0 {
		found = found[:min(len(found), max(limit-s.at.Rows, 0))]
	}
	most := min(len(found), int(s.asked.PageSize))
	if s.stream {
		most = min(most, messages.MaxStreamRows-s.sent)
	}
	rows := make([]jsontext.Value, most)
	for i := range rows {
		rows[i] = s.fields.of(t, found[i])
	}
	return s.cut(conn, found, rows)
}

// cut makes the message of as many rows as fit.
func (s *search) cut(conn *Connection, found []*row, rows []jsontext.Value) (part, *messages.Error) {
	for n := fitting(rows, s.budget); ; n-- {
		after := s.at
		after.Rows += n
		if n > 0 {
			after.Mark, after.ID = s.order.mark(found[n-1]), found[n-1].id
		}
		more := n < len(found)
		p := part{rows: n, total: s.at.Total}
		body := page{Rows: rows[:n], Total: s.at.Total}
		switch {
		case s.job != nil:
			if p.last = !more; more {
				p.place = &after
			}
		default:
			if p.last = !s.stream || !more || s.sent+n >= messages.MaxStreamRows; p.last && more {
				body.NextCursor = s.seal(conn, after)
			}
		}
		body.SetHead(s.requestID, s.connection)
		text, err := messages.CodecFor[page](s.of).Encode(&body)
		if err != nil {
			return p, messages.Errorf(messages.Internal, "encode the reply: %v", err)
		}
		if len(text) <= s.budget {
			s.at, s.sent, p.body = after, s.sent+n, text
			return p, nil
		}
		if n <= 1 {
			return p, messages.Errorf(messages.TooLarge, "one %s has %d bytes and the NATS server takes %d in one message; "+
				"ask for fewer fields", s.of.One, len(text), s.budget)
		}
	}
}

// page is messages.Page with rows that keep the order of their fields.
type page struct {
	messages.Head
	Rows       []jsontext.Value `json:"rows" table:"rows"`
	Total      *int64           `json:"total,omitzero"`
	NextCursor string           `json:"next_cursor,omitzero"`
}

// fitting is how many rows about fit into a message.
func fitting(rows []jsontext.Value, budget int) int {
	size := 0
	for i := range rows {
		if size += len(rows[i]) + 1; size > budget && i > 0 {
			return i
		}
	}
	return len(rows)
}

// get answers with one row.
func (c *call) get(t messages.Table, in messages.GetRequest) (out messages.RowReply, fault *messages.Error) {
	switch {
	case in.ID == "":
		return out, messages.Invalid(t.IDMember(), "is missing")
	case !isGUID(in.ID):
		return out, notAGUID(t.IDMember())
	}
	if fault = checkFields(in.Fields); fault != nil {
		return out, fault
	}
	if len(in.Fields) == 0 {
		in.Fields = t.DefaultFields
	}
	var fields selection
	fault = c.with(t.Name, func(_ *Connection, t *table) (fault *messages.Error) {
		fields, fault = t.selected(in.Fields)
		return fault
	})
	if fault = first(fault, c.tried(fault)); fault != nil {
		return out, fault
	}
	return out, c.with(t.Name, func(_ *Connection, t *table) *messages.Error {
		r := t.rows[lower(in.ID)]
		if r == nil {
			return messages.Errorf(messages.NotFound, "Dataverse has no row with this id, or the user may not see it")
		}
		out.Row = messages.Row{}
		for i, column := range fields.columns {
			out.Row[fields.names[i]] = t.value(r, column).json()
		}
		return nil
	})
}

// count counts the rows that match.
func (c *call) count(t messages.Table, in messages.CountRequest) (out messages.CountReply, fault *messages.Error) {
	if fault = checkWhere(in.Where); fault != nil {
		return out, fault
	}
	var is test
	fault = c.with(t.Name, func(_ *Connection, t *table) (fault *messages.Error) {
		is, fault = t.where(in.Where, "where")
		return fault
	})
	if fault = first(fault, c.tried(fault)); fault != nil {
		return out, fault
	}
	return out, c.with(t.Name, func(_ *Connection, t *table) *messages.Error {
		for _, r := range t.rows {
			out.Count += truth(is(r))
		}
		return nil
	})
}

// tried is a try of a call that has no fault so far.
func (c *call) tried(fault *messages.Error) *messages.Error {
	if fault != nil {
		return nil
	}
	return c.try()
}

// zipped compresses the body of a result.
func zipped(body []byte) ([]byte, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return encoder.EncodeAll(body, nil), encoder.Close()
}
