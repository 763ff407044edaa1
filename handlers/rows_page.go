package handlers

import (
	"context"
	"encoding/json"
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
	head, err := rowsHead(s.call, s.entity)
	if err != nil {
		return route.Part{}, err
	}
	rows, err := s.fitting(head, most)
	if err != nil {
		return route.Part{}, err
	}
	for {
		end, err := s.endAfter(rows)
		if err != nil {
			return route.Part{}, err
		}
		tail := end.tail(s.at.Total)
		size := len(head) + rowBytes(s.page, s.row, rows) + len(tail)
		if size <= s.call.Budget && (rows > 0 || most == 0) {
			return s.deliver(ctx, head, rows, tail, end, size)
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
func (s *search) fitting(head []byte, most int) (int, error) {
	if s.call.Budget >= ampleBudget && rowBytes(s.page, s.row, most) <= s.call.Budget/2 {
		return most, nil // a cursor has room in the other half: its query came in one message
	}
	room, err := s.tailRoom()
	return fitting(s.page, s.row, most, s.call.Budget-len(head)-room), err
}

// tailRoom is what a part's end may take: the total, and the cursor, whose size
// the query and the link decide, compressed and in base64.
func (s *search) tailRoom() (int, error) {
	if s.stream && s.sent+s.rowsWanted() < messages.MaxStreamRows {
		return 64, nil
	}
	query, err := s.encoded()
	return 64 + maxMarks*48 + (len(query)+len(s.at.Link)+len(s.page.NextLink()))/2, err
}

// fitting counts the rows from first on that fit into room bytes, at least one
// where most allows: whether that fits is found when the part is whole.
func fitting(page *dynamics.Page, first, most, room int) int {
	rows := 0
	for rows < most && (rows == 0 || room >= 0) {
		room -= len(page.Row(first+rows)) + 1
		rows++
	}
	if room < 0 && rows > 1 {
		rows--
	}
	return rows
}

func rowBytes(page *dynamics.Page, first, rows int) int {
	size := max(rows-1, 0) // commas
	for i := first; i < first+rows; i++ {
		size += len(page.Row(i))
	}
	return size
}

// rowsHead is a reply's beginning, up to the first row.
func rowsHead(c route.Call, entity *plan.Entity) ([]byte, error) {
	id, err := json.Marshal(c.RequestID)
	if err != nil {
		return nil, err
	}
	head := append([]byte(`{"request_id":`), id...)
	head = append(head, `,"connection":"`...)
	head = append(head, c.Connection...)                  // letters, digits, _ and - need no escape
	head = append(append(head, `","`...), entity.Name...) // lower-case words
	return append(head, `":[`...), nil
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

// tail is a reply's end after its rows.
func (e searchEnd) tail(total *int64) []byte {
	tail := []byte{']'}
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

func appendRows(body []byte, page *dynamics.Page, first, rows int) []byte {
	for i := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, page.Row(first+i)...)
	}
	return body
}

// deliver makes the part, in the memory of the part before: a long stream would
// otherwise allocate a message's worth for each.
func (s *search) deliver(ctx context.Context, head []byte, rows int, tail []byte, end searchEnd,
	size int) (route.Part, error) {
	if cap(s.body) < size {
		if err := route.Reserve(ctx, size); err != nil {
			return route.Part{}, err
		}
		s.body = make([]byte, 0, size)
	}
	body := appendRows(append(s.body[:0], head...), s.page, s.row, rows)
	s.row += rows
	s.at.Rows += rows
	s.sent += rows
	s.body = append(body, tail...)
	return route.Part{Body: s.body, Rows: rows, Last: end.last, Cursor: func() (string, error) {
		if end.cursor != "" || !end.more {
			return end.cursor, nil
		}
		return s.seal(0)
	}}, nil
}
