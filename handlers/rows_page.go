package handlers

import (
	"context"
	"encoding/json"
	"sort"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// cut makes a part of the page's next rows: as many as the message, the page
// size, the limit and stream mode's bound allow.
func (s *search) cut(ctx context.Context) (route.Part, error) {
	most := s.rowsWanted()
	rows, err := s.fitting(most)
	if err != nil {
		return route.Part{}, err
	}
	for {
		if s.end, err = s.endAfter(rows); err != nil {
			return route.Part{}, err
		}
		s.tail = s.end.tail(s.tail[:0], s.at.Total)
		size := len(s.head) + s.page.Size(s.row, rows) + len(s.tail)
		if size <= s.call.Budget && (rows > 0 || most == 0) {
			return s.deliver(ctx, rows, size)
		}
		if rows <= 1 {
			return route.Part{}, messages.Errorf(messages.TooLarge,
				"one %s has %d bytes and the NATS server takes %d in one message; ask for fewer fields", s.entity.One,
				size, s.call.Budget)
		}
		rows-- // the cursor came out longer than was kept free for it
	}
}

// rowsWanted is how many of the page's rows may go into the next part, whatever
// their size.
func (s *search) rowsWanted() int {
	most := min(s.page.Len()-s.row, int(s.asked.PageSize))
	if s.asked.Limit > 0 {
		most = min(most, int(s.asked.Limit)-s.at.Rows)
	}
	if s.stream {
		most = min(most, messages.MaxStreamRows-s.sent)
	}
	return max(most, 0)
}

// ampleBudget is from how many bytes on half a message has room for any cursor.
const ampleBudget = 32 << 10

// fitting counts the page's next rows, at most so many, that fit a message with its head
// and its end.
func (s *search) fitting(most int) (rows int, err error) {
	if err := s.makeHead(); err != nil {
		return 0, err
	}
	if s.call.Budget >= ampleBudget && s.page.Size(s.row, most) <= s.call.Budget/2 {
		return most, nil // a cursor has room in the other half: its query came in one message
	}
	room, err := s.tailRoom()
	return fitting(s.page, s.row, most, s.call.Budget-len(s.head)-room), err
}

// makeHead makes what parts begin with, once.
func (s *search) makeHead() (err error) {
	if s.head == nil {
		s.tail = s.tailSpace[:0]
		s.head, err = appendHead(s.headSpace[:0], s.call, s.entity)
	}
	return err
}

// plainTail is what a part's end may take where it has no cursor, in bytes.
const plainTail = 64

// tailRoom is what a part's end may take: the total, and the cursor, whose size
// the query and the link decide, compressed and in base64.
func (s *search) tailRoom() (int, error) {
	if s.stream && s.sent+s.rowsWanted() < messages.MaxStreamRows {
		return plainTail, nil
	}
	query, err := s.encoded()
	return plainTail + maxMarks*48 + (len(query)+len(s.at.Link)+len(s.page.NextLink()))/2, err
}

// fitting counts the rows from first on that fit into room bytes with a comma each, at least
// one where most allows: whether that fits is found when the part is whole.
func fitting(page *dynamics.Page, first, most, room int) int {
	rows := sort.Search(most, func(n int) bool { return page.Size(first, n+1)+1 > room })
	return min(max(rows, 1), most)
}

// rowsHead is a reply's beginning, up to the first row.
func rowsHead(c route.Call, entity *plan.Entity) ([]byte, error) { return appendHead(nil, c, entity) }

func appendHead(head []byte, c route.Call, entity *plan.Entity) ([]byte, error) {
	head = append(head, `{"request_id":`...)
	if plainID(c.RequestID) {
		head = append(append(append(head, '"'), c.RequestID...), '"')
	} else {
		id, err := json.Marshal(c.RequestID)
		if err != nil {
			return nil, err
		}
		head = append(head, id...)
	}
	head = append(head, `,"connection":"`...)
	head = append(head, c.Connection...)                  // letters, digits, _ and - need no escape
	head = append(append(head, `","`...), entity.Name...) // lower-case words
	return append(head, `":[`...), nil
}

// plainID reports whether a request id needs no escape, as most do not.
func plainID(id string) bool {
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// A searchEnd is what comes after a part's rows.
type searchEnd struct {
	last   bool   // the part ends the answer
	more   bool   // rows follow, whoever asks for them
	cursor string // "" where it is not in the reply
}

// endAfter says what comes after the given number of rows: a cursor goes into the reply
// where the answer ends and there is more.
func (s *search) endAfter(rows int) (end searchEnd, err error) {
	done := s.at.Rows + rows
	left := s.row+rows < s.page.Len() || s.page.NextLink() != ""
	end.more = left && (s.asked.Limit == 0 || done < int(s.asked.Limit))
	end.last = !s.stream || !end.more || s.sent+rows >= messages.MaxStreamRows
	if end.last && end.more {
		end.cursor, err = s.seal(rows)
	}
	return end, err
}

// tail appends a reply's end after its rows.
func (e searchEnd) tail(tail []byte, total *int64) []byte {
	tail = append(tail, ']')
	if total != nil {
		tail = strconv.AppendInt(append(tail, `,"total":`...), *total, 10)
	}
	if e.cursor != "" {
		tail = append(append(append(tail, `,"next_cursor":"`...), e.cursor...), '"')
	}
	return append(tail, '}')
}

// seal makes the cursor for what follows the given number of further rows.
func (s *search) seal(rows int) (string, error) {
	query, err := s.encoded()
	if err != nil {
		return "", err
	}
	to := s.after(rows)
	to.Query = query
	return s.cursors.seal(to)
}

// encoded is the query as cursors hold it. It is made when it is needed: few answers have
// a cursor.
func (s *search) encoded() (jsontext.Value, error) {
	if s.from.Query == nil {
		query, err := encodeQuery(s.asked)
		if err != nil {
			return nil, err
		}
		s.from.Query = query
	}
	return s.from.Query, nil
}

// after is the position after the given number of further rows.
func (s *search) after(rows int) position {
	to := s.at
	to.Issued = time.Now().Unix()
	to.Rows += rows
	next := s.row + rows
	if next == s.page.Len() {
		to.Link, to.Marks = s.page.NextLink(), nil
		return to
	}
	to.Marks = nil
	for i := max(0, next-maxMarks); i < next; i++ {
		to.Marks = append(to.Marks, mark{ID: s.page.ID(i), Key: s.page.Key(i)})
	}
	return to
}

// deliver makes the part of the page's next rows. Where they stand in the page as in the
// message, that is its body, and the page has to stay. Else it is written into the memory of
// the part before, where there is one and it is long enough; see [route.Part] for whose it is.
func (s *search) deliver(ctx context.Context, rows, size int) (route.Part, error) {
	body := s.page.Message(s.row, rows, s.head, s.tail)
	if s.inPage = body != nil; !s.inPage {
		if cap(s.body) < size {
			s.dropBody(ctx)
			var err error
			if s.body, err = takeBody(ctx, size); err != nil {
				return route.Part{}, err
			}
		}
		body = append(s.body[:0], s.head...)
		body = s.page.AppendRows(body, s.row, rows)
		body = append(body, s.tail...)
		s.body = body
	}
	s.row += rows
	s.at.Rows += rows
	s.sent += rows
	return route.Part{Body: body, Rows: rows, Last: s.end.last, After: s}, nil
}

// dropBody gives back the body of the part before.
func (s *search) dropBody(ctx context.Context) {
	dropBody(ctx, s.body)
	s.body = nil
}

// Cursor implements [route.Cursorer] for the part that was delivered last.
func (s *search) Cursor() (string, error) {
	if s.end.cursor != "" || !s.end.more {
		return s.end.cursor, nil
	}
	return s.seal(0)
}
