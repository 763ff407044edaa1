package handlers

import (
	"context"
	"errors"
	"sort"

	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A job's page of Dataverse becomes as many parts as it takes, which are stored together:
// so none of them needs a place inside the page, and a page of changes may be cut.

// errManyParts is a page that takes more parts than may be stored together.
var errManyParts = errors.New("the page takes more messages than may be stored together")

// A packing makes the parts of what a job delivers of one page.
type packing struct {
	call    route.Call
	entity  *plan.Entity
	rows    packedRows
	deleted []string
	// between stands between rows and deleted ids, "" where there are none of these.
	between string
	// end is what follows, of the last part and of the others.
	end, last []byte

	head []byte
	raw  []byte // a body that is compressed
	fits int    // how many items are likely to fit, 0 where nothing is known
}

const noDeletions = `],"deleted":[`

// parts makes the parts. Each has memory of its own, which ctx's account holds; giveParts
// gives it back.
func (k *packing) parts(ctx context.Context) (parts []route.Part, err error) {
	if k.head, err = rowsHead(k.call, k.entity); err != nil {
		return nil, err
	}
	defer func() {
		dropBody(ctx, k.raw)
		if k.raw = nil; err != nil {
			dropParts(ctx, parts)
			parts = nil
		}
	}()
	items := k.rows.count() + len(k.deleted)
	for from := 0; from < items || len(parts) == 0; {
		if most := k.call.Job.MaxParts; most > 0 && len(parts) == most {
			return parts, errManyParts
		}
		make := k.plain
		if k.call.Job.Encode != nil {
			make = k.encoded
		}
		part, err := make(ctx, from, items)
		if err != nil {
			return parts, err
		}
		parts = append(parts, part)
		from += part.Rows
	}
	return parts, nil
}

// frame is what a body has besides its items; last says that it ends with the last of them.
func (k *packing) frame(last bool) int {
	if last {
		return len(k.head) + len(k.between) + 1 + len(k.last)
	}
	return len(k.head) + len(k.between) + 1 + len(k.end)
}

// size is how many bytes the body of some items has, commas rounded up.
func (k *packing) size(from, to int, last bool) int {
	rows := k.rows.count()
	return k.frame(last) + k.rows.size(min(from, rows), min(to, rows)) + deletedBytes*(max(to, rows)-max(from, rows))
}

// plain makes the next part as it is.
func (k *packing) plain(ctx context.Context, from, items int) (route.Part, error) {
	to := from + sort.Search(items-from, func(n int) bool {
		return k.size(from, from+n+1, from+n+1 == items) > k.call.Budget
	})
	size := k.size(from, to, to == items)
	if to == from && (items > 0 || size > k.call.Budget) {
		return route.Part{}, k.tooLarge(k.size(from, min(from+1, items), from+1 >= items))
	}
	body, err := takeBody(ctx, size)
	if err != nil {
		return route.Part{}, err
	}
	return route.Part{Body: k.body(body, from, to, to == items), Rows: to - from}, nil
}

// encoded makes the next part compressed. How many items fit is found by trying: all of
// them first, since most pages fit one message so.
func (k *packing) encoded(ctx context.Context, from, items int) (route.Part, error) {
	count := items - from
	if k.fits > 0 {
		count = min(count, k.fits)
	}
	for {
		last := from+count == items
		if size := k.size(from, from+count, last); size > cap(k.raw) {
			dropBody(ctx, k.raw)
			var err error
			if k.raw, err = takeBody(ctx, size); err != nil {
				return route.Part{}, err
			}
		}
		k.raw = k.body(k.raw[:0], from, from+count, last)
		body, err := k.call.Job.Encode(k.raw)
		if err != nil {
			return route.Part{}, err
		}
		likely := int(int64(count) * int64(k.call.Budget) / int64(max(len(body), 1)) * 15 / 16)
		if len(body) <= k.call.Budget {
			k.fits = max(likely, 1)
			return route.Part{Body: body, Rows: count, Encoded: true}, route.Reserve(ctx, len(body))
		}
		if count <= 1 {
			return route.Part{}, k.tooLarge(len(body))
		}
		count = max(1, min(likely, count-1))
	}
}

// body writes the body of some items.
func (k *packing) body(dst []byte, from, to int, last bool) []byte {
	dst = append(dst, k.head...)
	rows := k.rows.count()
	dst = k.rows.append(dst, min(from, rows), min(to, rows))
	dst = append(dst, k.between...)
	for i := max(from, rows); i < to; i++ {
		if i > max(from, rows) {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), k.deleted[i-rows]...), '"')
	}
	dst = append(dst, ']')
	if last {
		return append(dst, k.last...)
	}
	return append(dst, k.end...)
}

func (k *packing) tooLarge(size int) error {
	return messages.Errorf(messages.TooLarge,
		"one %s has %d bytes and the NATS server takes %d in one message; ask for fewer fields", k.entity.One, size,
		k.call.Budget)
}
