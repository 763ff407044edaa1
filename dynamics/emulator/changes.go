package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Change tracking: Prefer: odata.track-changes, the delta link at the end, and what it finds later
// (section 12, with the page use-change-tracking-synchronize-data-external-systems.md of
// Microsoft's documentation).
//
// A chain of pages, be it the first reading or the changes since a token, ends with the stamp that
// was taken when its first page was read, and carries it along in its skip tokens. So whatever
// changes while somebody is paging is found by the next chain, and nothing is lost between the two.
// The first reading is in the order of the keys and shows rows as they are: one that changes
// meanwhile may come with the new values and again with the next chain. The changes since a token
// are exactly those between the token and the stamp: changed rows first and then deletions, each in
// the order of their versions, pages across both.
//
// Not documented, and decided here on the strict side: every page of the first reading must be
// asked for with the preference, as the paging rules say, else the chain goes on without tracking
// and ends without a delta link; the links that hold a $deltatoken need no preference, as in
// Microsoft's sample. The count of changes has the same limit as others.

const (
	changesAge = 7 * 24 * time.Hour // the default of ExpireChangeTrackingInDays
	stampForm  = "01/02/2006 15:04:05"
)

var stampText = regexp.MustCompile(`^([0-9]{1,18})!([0-9]{2}/[0-9]{2}/[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2})$`)

// stamp is a moment in the life of the data, as delta tokens write it.
type stamp struct {
	version int64
	at      time.Time
}

func (x stamp) String() string {
	return strconv.FormatInt(x.version, 10) + "!" + x.at.UTC().Format(stampForm)
}

// encoded is the form in links: lower-case hex, and only letters and digits bare.
func (x stamp) encoded() string { return escape(x.String(), "-_.", lowerHex) }

func parseStamp(text string) (stamp, bool) {
	m := stampText.FindStringSubmatch(text)
	if m == nil {
		return stamp{}, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	at, err2 := time.Parse(stampForm, m[2])
	return stamp{n, at}, err == nil && err2 == nil
}

// trackable refuses what cannot be tracked, and the options that do not go with it.
func (c *call) trackable(t *table, o options) *fault {
	if !t.tracking {
		return badRequest("Change tracking is not enabled for the entity '%s'. Enable change tracking for the entity to use the odata.track-changes preference.", t.logical)
	}
	if fail := requireOrgWideRead(c.user, t); fail != nil {
		return fail
	}
	for _, name := range []string{"$filter", "$orderby", "$expand", "$top", "$apply"} {
		if _, ok := o.get(name); ok {
			return badRequest(`The "%s" query parameter isn't supported when Change Tracking is enabled.`, name)
		}
	}
	return nil
}

// since reads a delta token; false means that there is none.
func (c *call) since(t *table, o options) (stamp, bool, *fault) {
	text, ok := o.get("$deltatoken")
	if !ok {
		return stamp{}, false, nil
	}
	x, ok := parseStamp(text)
	if !ok {
		return x, true, badRequest("Error in query syntax.")
	}
	// A version that is yet to come is one of another database, of which nothing is known either.
	if x.version < c.v.set(t.logical).floor || x.version > c.v.version ||
		c.s.opts.Now().Sub(x.at) > c.s.opts.ChangeTrackingAge {
		return x, true, &fault{status: http.StatusBadRequest, code: "0x80044352",
			message: "Version stamp associated with the client has expired. Please perform a full sync."}
	}
	return x, true, nil
}

// tracked answers for a collection under change tracking.
func (c *call) tracked(t *table, rows []any, o options, path string) (*answer, *fault) {
	if fail := c.trackable(t, o); fail != nil {
		return nil, fail
	}
	from, delta, fail := c.since(t, o)
	if fail != nil {
		return nil, fail
	}
	if delta {
		return c.delta(t, rows, o, path, from)
	}
	q, fail := c.bind(t, o)
	if fail != nil {
		return nil, fail
	}
	end, fail := c.chainEnd(q.from)
	if fail != nil {
		return nil, fail
	}
	q.limit = c.pageSize() + 1
	rows, total := c.choose(rows, q)
	page := rows[:min(c.pageSize(), len(rows))]
	b := c.opening(t, q, total, "")
	next := ""
	if len(page) < len(rows) {
		root := fmt.Sprintf(`page="%d" stamp="%s"`, q.from.next(), attribute(end.String()))
		next = c.trackedLink(path, q, innerCookie(c.v, root, q.order, page[0], page[len(page)-1]))
	} else {
		b = c.deltaLink(b, path, q, end)
	}
	w := newRowWriter(c, t, q)
	b = append(b, `,"value":[`...)
	for i, r := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = w.row(b, r, "")
	}
	return c.closing(b, next), nil
}

// chainEnd is the stamp that the chain of pages will end with: that of its first page.
func (c *call) chainEnd(from *cookie) (stamp, *fault) {
	if from == nil {
		return stamp{c.v.version, c.s.opts.Now()}, nil
	}
	x, ok := parseStamp(from.stamp)
	if !ok { // the chain began without tracking
		return x, malformed()
	}
	return x, nil
}

// change is a row as it is now, or a deletion.
type change struct {
	row     any // nil where it is gone
	id      guid
	version int64
}

// changes are those after a version and up to another, in the order of their versions, rows and deletions apart.
func (v *snapshot) changes(t *table, rows []any, after, upTo int64, deletionsFirst bool) []change {
	var out, gone []change
	for _, r := range rows {
		if n := t.version(r); n > after && n <= upTo {
			out = append(out, change{r, t.id(r), n})
		}
	}
	slices.SortFunc(out, func(a, b change) int { return cmp.Compare(a.version, b.version) })
	for _, d := range v.set(t.logical).deleted {
		if d.version > after && d.version <= upTo {
			gone = append(gone, change{nil, d.id, d.version})
		}
	}
	if deletionsFirst {
		return append(gone, out...)
	}
	return append(out, gone...)
}

// deltaOrder is what the cookies of a delta hold.
func (t *table) deltaOrder() []ordering {
	return []ordering{{col: t.props["versionnumber"]}, {col: t.props[t.key]}}
}

// delta answers with the changes since a token.
func (c *call) delta(t *table, rows []any, o options, path string, from stamp) (*answer, *fault) {
	q, fail := c.bind(t, o.without("$skiptoken"))
	if fail != nil {
		return nil, fail
	}
	if text, ok := o.get("$skiptoken"); ok {
		if q.from, fail = parseCookie(text, t.deltaOrder()); fail != nil {
			return nil, fail
		}
	}
	end, fail := c.chainEnd(q.from)
	if fail != nil {
		return nil, fail
	}
	all := c.v.changes(t, rows, from.version, end.version, c.s.opts.DeletionsFirst)
	rest := all
	if q.from != nil {
		rest = rest[slices.IndexFunc(append(rest, change{version: -1}),
			func(x change) bool { return q.from.before(x, c.s.opts.DeletionsFirst) }):]
	}
	page := rest[:min(c.pageSize(), len(rest))]
	b := c.opening(t, q, len(all), "/$delta")
	next := ""
	if len(page) < len(rest) {
		next = c.trackedLink(path, q, deltaCookie(t, q.from.next(), end, page[0], page[len(page)-1]))
	} else {
		b = c.deltaLink(b, path, q, end)
	}
	w := newRowWriter(c, t, q)
	b = append(b, `,"value":[`...)
	for i, x := range page {
		if i > 0 {
			b = append(b, ',')
		}
		if x.row != nil {
			b = w.row(b, x.row, "")
			continue
		}
		b = appendString(append(b, `{"@odata.context":`...), c.base+"$metadata#"+t.set+"/$deletedEntity")
		b = append(x.id.appendTo(append(b, `,"id":"`...)), `","reason":"deleted"}`...)
	}
	return c.closing(b, next), nil
}

// before says whether a change comes after the place where the cookie's page ended; the sentinel does.
func (k *cookie) before(x change, deletionsFirst bool) bool {
	switch gone := x.row == nil; {
	case x.version < 0:
		return true
	case gone != k.gone:
		return gone != deletionsFirst // of the kind that comes second
	}
	return x.version > k.last[0].n
}

// deltaCookie holds where a page of changes began and ended, and the chain's stamp.
func deltaCookie(t *table, page int, end stamp, first, last change) string {
	gone := ""
	if last.row == nil {
		gone = ` deleted="1"`
	}
	return fmt.Sprintf(`<cookie page="%d" stamp="%s"%s><versionnumber last="%d" first="%d" /><%s last="%s" first="%s" /></cookie>`,
		page, attribute(end.String()), gone, last.version, first.version, t.key, last.id.braced(), first.id.braced())
}

func (c *call) trackedLink(path string, q *query, inner string) string {
	return c.link(path, q.opts, "$skiptoken", skipToken(inner, q.from.next()+1, true))
}

// deltaLink comes before the rows, as in Microsoft's sample.
func (c *call) deltaLink(b []byte, path string, q *query, end stamp) []byte {
	return appendString(append(b, `,"@odata.deltaLink":`...), c.link(path, q.opts.without("$deltatoken"), "$deltatoken",
		end.encoded()))
}

// opening is everything before the links and the rows.
func (c *call) opening(t *table, q *query, total int, suffix string) []byte {
	b := appendString([]byte(`{"@odata.context":`), c.base+"$metadata#"+t.set+q.context+suffix)
	return c.totals(b, q, total)
}

func (c *call) closing(b []byte, next string) *answer {
	b = append(b, ']')
	if next != "" {
		b = appendString(append(b, `,"@odata.nextLink":`...), next)
	}
	return &answer{status: http.StatusOK, body: append(b, '}'), tracked: true}
}

// countChanges is /$count under a delta token.
func (c *call) countChanges(t *table, o options) (*answer, *fault) {
	if fail := c.trackable(t, o); fail != nil {
		return nil, fail
	}
	from, _, fail := c.since(t, o)
	if fail != nil {
		return nil, fail
	}
	return countAnswer(len(c.v.changes(t, t.rows(c.v), from.version, c.v.version, false))), nil
}

// appliedPreference is a line of Preference-Applied; tracking is named only where it was applied.
func appliedPreference(line string, tracked bool) string {
	if tracked {
		return line
	}
	items := slices.DeleteFunc(splitOutsideQuotes(line, ','),
		func(s string) bool { return strings.EqualFold(s, trackChanges) })
	return strings.Join(items, ",")
}

const trackChanges = "odata.track-changes"

// SetChangeTracking switches change tracking of the entity sets off and on, of all where none is
// named; false where one is not there. Nothing that happens meanwhile is lost.
func (c Control) SetChangeTracking(on bool, named ...string) bool {
	return c.s.schema.with(func(tables map[string]*table) bool {
		if len(named) == 0 {
			named = sets(tables)
		}
		for _, set := range named {
			old := tables[set]
			if old == nil {
				return false
			}
			if old.slots > 0 {
				t := *old
				t.tracking = on
				tables[set] = &t
			}
		}
		return true
	})
}

// ExpireChangeTokens makes every delta token that was given so far answer with 0x80044352.
func (c Control) ExpireChangeTokens() { c.s.data.forget() }
