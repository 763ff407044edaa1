package handlers

import (
	"context"
	"strconv"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// deletedBytes is what the id of a deleted row takes in a reply.
const deletedBytes = len(`"00000000-0000-0000-0000-000000000000",`)

// A delivery is what a reply holds of a page.
type delivery struct {
	rows    [][]byte
	deleted []string
}

// everything is what a page holds.
func everything(page *dynamics.ChangesPage) delivery {
	t := delivery{rows: make([][]byte, page.Len()), deleted: make([]string, page.Deleted())}
	for i := range t.rows {
		t.rows[i] = page.Row(i)
	}
	for i := range t.deleted {
		t.deleted[i] = page.DeletedID(i)
	}
	return t
}

func (t delivery) bytes() int {
	size := max(len(t.rows)-1, 0) // commas
	for _, row := range t.rows {
		size += len(row)
	}
	return size + max(0, len(t.deleted)*deletedBytes-1)
}

// reply writes what is delivered of a page, if it fits a message, and returns its length.
func (w *changes) reply(ctx context.Context, page *dynamics.ChangesPage, t delivery) (p route.Part, size int,
	err error) {
	head, err := rowsHead(w.call, w.entity)
	if err != nil {
		return route.Part{}, 0, err
	}
	more := page.NextLink() != ""
	to := w.at
	to.Link = page.DeltaLink()
	if more {
		to.Link = page.NextLink()
	}
	width := page.Size(0, page.Len())
	if to.Size = sizeAfter(w.at, page.Len(), width, w.call.Budget-len(head)-tailRoomFor(to)); to.Size == to.Asked {
		to.Size = 0
	}
	cursor, err := w.cursors.seal(to)
	if err != nil {
		return route.Part{}, 0, err
	}
	size = len(head) + t.bytes() + len(cursor) +
		len(`],"deleted":[],"next_cursor":"","has_more":}`) + len(strconv.FormatBool(more))
	if size > w.call.Budget {
		return route.Part{}, size, nil
	}
	if err := route.Reserve(ctx, size); err != nil {
		return route.Part{}, 0, err
	}
	body := append(make([]byte, 0, size), head...)
	for i, row := range t.rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, row...)
	}
	body = append(body, `],"deleted":[`...)
	for i, id := range t.deleted {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(append(body, '"'), id...), '"')
	}
	body = append(append(append(body, `],"next_cursor":"`...), cursor...), `","has_more":`...)
	body = append(strconv.AppendBool(body, more), '}')
	return route.Part{Body: body, Rows: len(t.rows) + len(t.deleted), Last: true,
		After: sealedCursor(cursor)}, len(body), nil
}

// A sealedCursor is the cursor after a part, made with its reply.
type sealedCursor string

// Cursor implements [route.Cursorer].
func (c sealedCursor) Cursor() (string, error) { return string(c), nil }

// tailRoomFor estimates what follows the rows: the cursor, whose size the link and the
// fields decide.
func tailRoomFor(to changesPosition) int {
	size := 128 + len(to.Link)
	for _, field := range to.Fields {
		size += len(field)
	}
	return size
}

// roomForRows is the share of a message that rows are expected to fill, in
// quarters: rows of the next page may be longer than those that were measured, and
// asking Dataverse twice for a page costs more than asking for one page more.
const roomForRows = 3

// sizeAfter is how many rows to ask for after a page of the given rows, which had
// width bytes in all, where room bytes are free for them. It shrinks as far as the
// measured rows make it, and grows again to at most twice, and only after a full
// page: the few rows that changed since yesterday say little about how long the
// thousands will be that an import brings tomorrow. A page without rows says
// nothing.
func sizeAfter(at changesPosition, rows, width, room int) int {
	if rows == 0 {
		return at.Size
	}
	most := at.Size
	if rows >= at.Size {
		most = 2 * at.Size
	}
	fit := roomForRows * max(room, 0) / 4 * rows / max(width, 1)
	return max(1, min(fit, most, at.Asked))
}

// fewer is how many rows to ask for where a page made a reply of more bytes than
// the budget: the second reading begins with the same rows unless they change at
// this moment, so as many as fit of these. The sixteenth is for the cursor, which
// may come out longer. A page that has been read again already shrinks to half at
// least, so that it comes to an end with rows that never stay as they were.
func (w *changes) fewer(page *dynamics.ChangesPage, length, readings int) int {
	rows, deleted := page.Len(), page.Deleted()
	width := page.Size(0, rows)
	room := (w.call.Budget - (length - width - deleted*deletedBytes)) / 16 * 15
	held := min(rows+deleted, w.at.Size) // whatever the other side made of the size
	most := held - 1
	if readings > 1 {
		most = held / 2
	}
	fit := fitting(page.Page, 0, rows, room)
	if fit == rows {
		fit += max(0, room-width) / deletedBytes
	}
	return max(1, min(fit, most))
}
