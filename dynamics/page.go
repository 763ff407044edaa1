package dynamics

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// Page is one page of rows in the form in which they are delivered. It is read
// only and may be shared; the slices that Row returns must not be changed.
type Page struct {
	contents
	own budget.Lease // of the page that was read; a copy has the same lease
}

// contents are what pages share that several calls have.
type contents struct {
	store   *pageStore // nil where there are no rows
	next    string
	delta   string // of a page of changes
	count   int64
	counted bool
	hint    int  // of parallel calls
	limited bool // an attempt was refused for a limit
	shared  bool // several calls have it; see flights
	lease   *budget.Lease
}

const idLength = 36

// Len returns the number of rows.
func (p *Page) Len() int {
	if p.store == nil {
		return 0
	}
	return p.store.n
}

// Row returns row i as a JSON object with the members of Query.Select in order.
func (p *Page) Row(i int) []byte { return p.store.row(i) }

// AppendRows appends n rows from the first on, with commas between them.
func (p *Page) AppendRows(dst []byte, first, n int) []byte {
	if n <= 0 {
		return dst
	}
	return p.store.appendRows(dst, first, first+n-1)
}

// Size is how many bytes [Page.AppendRows] appends. It is as quick for many rows as for one.
func (p *Page) Size(first, n int) int {
	if n <= 0 {
		return 0
	}
	return p.store.at(first+n-1).end - p.store.at(first).begin
}

// ID returns the primary key of row i, in lower case.
func (p *Page) ID(i int) string { return string(p.store.at(i).id[:]) }

// ETag returns row i's entity tag, "" if there was none.
func (p *Page) ETag(i int) string {
	at := p.store.at(i)
	tag, err := jsontext.AppendUnquote(nil, p.store.tags[at.tags][at.tag:at.tagEnd])
	if err != nil { // there is none: it was checked as it came
		return ""
	}
	return string(tag)
}

// Key digests the values of Query.OrderBy in row i. Equal keys of one row, read at
// two times by the same query, say that it has kept its place among the others.
func (p *Page) Key(i int) uint64 { return p.store.at(i).key }

// Moment returns the first value of Query.OrderBy in row i, in Unix seconds, rounded down;
// there is false where the row has none. It is for pages of a query with Moments.
func (p *Page) Moment(i int) (second int64, there bool) {
	at := p.store.at(i)
	return at.moment, at.moment != noMoment
}

// Limited reports whether Dataverse refused an attempt at this page for one of its service
// protection limits before it gave it. It is for pages of a query with Moments.
func (p *Page) Limited() bool { return p.limited }

// NextLink returns the link to the next page for [Session.Page], "" on the last.
func (p *Page) NextLink() string { return p.next }

// WithoutCookie reports whether the link to the next page has a page's number and no
// place to go on from: such pages end at [MaxSimplePaging] rows.
func (p *Page) WithoutCookie() bool { return WithoutCookie(p.next) }

// WithoutCookie is [Page.WithoutCookie] of a link. Its page depends on the size of the
// pages before it.
func WithoutCookie(link string) bool {
	link = strings.ToLower(link)
	return strings.Contains(link, "pagenumber") && !strings.Contains(link, "pagingcookie")
}

// Count returns what Dataverse counted, capped by it at 5000 (-1 where it did not
// count is false), and whether it did.
func (p *Page) Count() (int64, bool) { return p.count, p.counted }

// maxParallelHint bounds what an environment may recommend; more is no recommendation.
const maxParallelHint = 1000

// ParallelHint returns how many calls at once Dataverse recommended with this answer,
// from 1 to 1000, 0 where it recommended none or nothing that can be meant ("Send
// parallel requests", optimum degree of parallelism,
// https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests).
func (p *Page) ParallelHint() int { return p.hint }

// parallelHint reads x-ms-dop-hint.
func parallelHint(h http.Header) int {
	text := first(h, hintHeader)
	if text == "" { // most often, without an error to be made
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > maxParallelHint {
		return 0
	}
	return int(n)
}

const hintHeader = "X-Ms-Dop-Hint"

// errPage is a document that is valid JSON and no page.
type errPage string

func (e errPage) Error() string { return string(e) }

func pageFault(message string) error { return unusable("", message, errPage(message)) }
