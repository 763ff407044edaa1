package handlers

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// cut makes a part of the page's next rows: as many as the message, the page
// size, the limit and stream mode's bound allow.
func (s *search) cut(ctx context.Context) (part, error) {
	most := s.rowsWanted()
	head, err := accountsHead(s.call)
	if err != nil {
		return part{}, err
	}
	rows := fitting(s.page, s.row, most, s.call.budget-len(head)-s.tailRoom())
	for {
		tail, last, err := s.tail(rows)
		if err != nil {
			return part{}, err
		}
		size := len(head) + rowBytes(s.page, s.row, rows) + len(tail)
		if size <= s.call.budget && (rows > 0 || most == 0) {
			return s.deliver(ctx, head, rows, tail, last, size)
		}
		if rows <= 1 {
			return part{}, messages.Errorf(messages.TooLarge,
				"one account has %d bytes and the NATS server takes %d in one message; ask for fewer fields", size, s.call.budget)
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

// tailRoom is what a part's end may take: the total, and the cursor, whose size
// the query and the link decide, compressed and in base64.
func (s *search) tailRoom() int {
	if s.stream && s.sent+s.rowsWanted() < messages.MaxStreamRows {
		return 64
	}
	return 64 + maxMarks*48 + (len(s.at.Query)+len(s.at.Link)+len(s.page.NextLink()))/2
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

// accountsHead is a reply's beginning, up to the first account.
func accountsHead(c *call) ([]byte, error) {
	id, err := json.Marshal(c.requestID)
	if err != nil {
		return nil, err
	}
	head := append([]byte(`{"request_id":`), id...)
	head = append(head, `,"connection":"`...)
	head = append(head, c.connection...) // letters, digits, _ and - need no escape
	return append(head, `","accounts":[`...), nil
}

// tail is a reply's end after the given number of rows: the total, and a cursor
// where the answer ends and there is more.
func (s *search) tail(rows int) (tail []byte, last bool, err error) {
	done := s.at.Rows + rows
	left := s.row+rows < s.page.Len() || s.page.NextLink() != ""
	more := left && (s.asked.Limit == 0 || done < int(s.asked.Limit))
	last = !s.stream || !more || s.sent+rows >= messages.MaxStreamRows
	tail = append(tail, ']')
	if s.at.Total != nil {
		tail = strconv.AppendInt(append(tail, `,"total":`...), *s.at.Total, 10)
	}
	if last && more {
		cursor, err := s.cursors.seal(s.after(rows))
		if err != nil {
			return nil, false, err
		}
		tail = append(append(append(tail, `,"next_cursor":"`...), cursor...), '"')
	}
	return append(tail, '}'), last, nil
}

// after is the position behind the given number of further rows.
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
// else leave one message's worth behind with each.
func (s *search) deliver(ctx context.Context, head []byte, rows int, tail []byte, last bool, size int) (part, error) {
	if cap(s.body) < size {
		if err := writing(ctx, size); err != nil {
			return part{}, err
		}
		s.body = make([]byte, 0, size)
	}
	body := appendRows(append(s.body[:0], head...), s.page, s.row, rows)
	s.row += rows
	s.at.Rows += rows
	s.sent += rows
	s.body = append(body, tail...)
	return part{body: s.body, rows: rows, last: last}, nil
}
