package emulator

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// cookie is a paging cookie: where the page just delivered began and ended, by the values of the
// order columns and the key. Nothing is kept on the server, so rows that come and go between pages
// do what they do in Dataverse.
type cookie struct {
	page  int
	last  []value // as the ordering
	stamp string  // of a chain under change tracking
	gone  bool    // the page ended with a deletion
}

// next is the number of the page that the cookie leads to; without one, the first.
func (k *cookie) next() int {
	if k == nil {
		return 1
	}
	return k.page + 1
}

// cellText is a value as cookies write it.
func (o ordering) cellText(x value) string {
	switch o.col.kind {
	case kindGUID:
		return x.id.braced()
	case kindText, kindMemo, kindChoices:
		return x.s
	case kindDateTime, kindDate:
		return time.Unix(x.n, 0).UTC().Format("2006-01-02T15:04:05-07:00")
	case kindMoney:
		return string(appendScaled(nil, x.n, 4))
	case kindDecimal:
		return string(appendScaled(nil, x.n, 10))
	}
	return strconv.FormatInt(x.n, 10)
}

// innerCookie is the innermost text; root holds the attributes of its outer element.
func innerCookie(v *snapshot, root string, order []ordering, first, last any) string {
	var b strings.Builder
	b.WriteString("<cookie " + root + ">")
	for _, o := range order {
		b.WriteString("<" + o.col.name)
		for _, e := range []struct {
			name string
			row  any
		}{{"last", last}, {"first", first}} {
			if x := o.col.get(v, e.row); x.ok {
				b.WriteString(" " + e.name + `="` + attribute(o.cellText(x)) + `"`)
			} else {
				b.WriteString(" " + e.name + `null="1"`)
			}
		}
		b.WriteString(" />")
	}
	b.WriteString("</cookie>")
	return b.String()
}

func attribute(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// skipToken is the whole value of $skiptoken, encoded for the link: the outer layer once, the inner
// one twice and in lower case.
func skipToken(inner string, next int, tracking bool) string {
	once := escape(inner, cookieBare, lowerHex)
	outer := fmt.Sprintf(`<cookie pagenumber="%d" pagingcookie="%s" istracking="%s" />`, next, once,
		map[bool]string{false: "False", true: "True"}[tracking])
	return escape(outer, linkBare, upperHex)
}

// Pages that are ordered by a lookup, which is by a column of another table, have no cookie: the
// next one is asked for by its number, and those behind the first 50,000 rows not at all ("Page
// large result sets with QueryExpression", simple paging; seen in public reports for the Web API
// too).
const simplePagingRows = 50_000

var simpleForm = regexp.MustCompile(`^<cookie pagenumber="([0-9]{1,9})"(?: istracking="(?:False|True)")? ?/>$`)

func byNumber(order []ordering) bool {
	return slices.ContainsFunc(order, func(o ordering) bool { return o.col.kind == kindLookup })
}

// simpleToken is skipToken without a cookie.
func simpleToken(next int) string {
	return escape(fmt.Sprintf(`<cookie pagenumber="%d" istracking="False" />`, next), linkBare, upperHex)
}

// parseSimple reads the number of a page from a $skiptoken that is already percent-decoded once.
func parseSimple(text string) (int, *fault) {
	m := simpleForm.FindStringSubmatch(text)
	if m == nil {
		return 0, malformed()
	}
	page, err := strconv.Atoi(m[1])
	if err != nil || page < 1 {
		return 0, malformed()
	}
	return page, nil
}

// pageByNumber cuts a page out of the rows from the first on.
func (c *call) pageByNumber(rows []any, q *query, size int) ([]any, *fault) {
	if q.page*size > c.s.opts.SimplePagingRows {
		return nil, &fault{status: http.StatusBadRequest, code: "0x8004430a",
			message: "Paging cookie is required when trying to retrieve a set of records on any high pages."}
	}
	return rows[min(len(rows), (q.page-1)*size):], nil
}

var outerForm = regexp.MustCompile(`^<cookie pagenumber="([0-9]{1,9})" pagingcookie="([^"<>]*)"(?: istracking="(?:False|True)")? ?/>$`)

func malformed() *fault { return badRequest("Malformed XML in the Paging Cookie") }

// parseCookie reads a $skiptoken that is already percent-decoded once.
func parseCookie(text string, order []ordering) (*cookie, *fault) {
	m := outerForm.FindStringSubmatch(text)
	if m == nil {
		return nil, malformed()
	}
	inner, err := url.PathUnescape(m[2])
	if err != nil || !utf8.ValidString(inner) {
		return nil, malformed()
	}
	var doc struct {
		XMLName xml.Name `xml:"cookie"`
		Page    string   `xml:"page,attr"`
		Stamp   string   `xml:"stamp,attr"`
		Deleted string   `xml:"deleted,attr"`
		Cells   []struct {
			XMLName xml.Name
			Attrs   []xml.Attr `xml:",any,attr"`
		} `xml:",any"`
	}
	if xml.Unmarshal([]byte(inner), &doc) != nil {
		return nil, malformed()
	}
	page, err := strconv.Atoi(doc.Page)
	next, err2 := strconv.Atoi(m[1])
	if err != nil || err2 != nil || page < 1 || next != page+1 {
		f := badRequest("Invalid page number in paging cookie.")
		f.code = "0x8004112A"
		return nil, f
	}
	if len(doc.Cells) != len(order) {
		return nil, wrongOrder()
	}
	c := &cookie{page: page, stamp: doc.Stamp, gone: doc.Deleted == "1"}
	for i, o := range order {
		if doc.Cells[i].XMLName.Local != o.col.name {
			return nil, wrongOrder()
		}
		x, fail := o.cell(doc.Cells[i].Attrs)
		if fail != nil {
			return nil, fail
		}
		c.last = append(c.last, x)
	}
	return c, nil
}

func wrongOrder() *fault {
	f := badRequest("Order by columns do not match those in paging cookie.")
	f.code = "0x80041129"
	return f
}

// cell finds the value of the last row among the attributes.
func (o ordering) cell(attrs []xml.Attr) (value, *fault) {
	if len(attrs) != 2 {
		return value{}, badRequest("Malformed XML Passed to in the Paging Cookie. We expect at most two attributes (first/firstNull and last/lastNull)")
	}
	for _, a := range attrs {
		switch a.Name.Local {
		case "lastnull":
			return value{}, nil
		case "last":
			x, ok := o.parse(a.Value)
			if !ok {
				return value{}, malformed()
			}
			return x, nil
		}
	}
	return value{}, badRequest("Malformed XML in the Paging Cookie. Value for attribute last was not specified, and it was not null either.")
}

func (o ordering) parse(s string) (value, bool) {
	switch k := o.col.kind; {
	case k == kindGUID:
		id, ok := parseGUID(strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}"))
		return value{ok: true, id: id}, ok
	case k.textual(), k == kindChoices:
		return value{ok: true, s: s}, true
	case k == kindDateTime, k == kindDate:
		t, err := time.Parse("2006-01-02T15:04:05-07:00", s)
		return value{ok: true, n: t.Unix()}, err == nil
	case k.scaled():
		b, ok := parseBound(s, 10000)
		return value{ok: true, n: b.floor}, ok && b.exact
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return value{ok: true, n: n}, err == nil
}
