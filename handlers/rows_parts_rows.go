package handlers

import (
	"slices"

	"github.com/crmbridge/crmbridge/dynamics"
)

// packedRows are the rows that a job delivers of a page.
type packedRows interface {
	count() int
	// size is how many bytes the rows from one up to another take, with a comma each.
	size(from, to int) int
	// append writes them with commas between.
	append(dst []byte, from, to int) []byte
}

// listedRows stand each by itself.
type listedRows [][]byte

func (l listedRows) count() int { return len(l) }

func (l listedRows) size(from, to int) int {
	size := to - from
	for _, row := range l[from:to] {
		size += len(row)
	}
	return size
}

func (l listedRows) append(dst []byte, from, to int) []byte {
	for i, row := range l[from:to] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, row...)
	}
	return dst
}

// A run is rows of a page that follow on each other.
type run struct {
	first  int // on the page
	before int // rows of the runs before it
}

// pageRows are rows of a page in their order, which stand there: most often in one run.
type pageRows struct {
	page *dynamics.Page
	runs []run
	n    int
}

// wantedRows are those rows of a page that are wanted.
func wantedRows(page *dynamics.Page, wanted func(row int) bool) *pageRows {
	r := &pageRows{page: page}
	for next, i := -1, 0; i < page.Len(); i++ {
		if !wanted(i) {
			continue
		}
		if i != next {
			r.runs = append(r.runs, run{first: i, before: r.n})
		}
		next = i + 1
		r.n++
	}
	return r
}

// firstRows are the first n rows of a page.
func firstRows(page *dynamics.Page, n int) *pageRows {
	return &pageRows{page: page, runs: []run{{}}, n: n}
}

func (r *pageRows) count() int { return r.n }

// pieces calls f for the runs of the rows from one up to another.
func (r *pageRows) pieces(from, to int, f func(first, n int)) {
	at, found := slices.BinarySearchFunc(r.runs, from, func(a run, row int) int { return a.before - row })
	if !found {
		at--
	}
	for ; from < to; at++ {
		end := to
		if at+1 < len(r.runs) {
			end = min(end, r.runs[at+1].before)
		}
		f(r.runs[at].first+from-r.runs[at].before, end-from)
		from = end
	}
}

func (r *pageRows) size(from, to int) (size int) {
	r.pieces(from, to, func(first, n int) { size += r.page.Size(first, n) + 1 })
	return size
}

func (r *pageRows) append(dst []byte, from, to int) []byte {
	begun := false
	r.pieces(from, to, func(first, n int) {
		if begun {
			dst = append(dst, ',')
		}
		begun = true
		dst = r.page.AppendRows(dst, first, n)
	})
	return dst
}
