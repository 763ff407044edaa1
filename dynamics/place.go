package dynamics

import (
	"net/url"
	"slices"
	"strings"
)

// A place is where a page begins, in a form that is short and holds nothing of the query's
// filter: the $skiptoken of Dataverse's link, as it was sent. With the query, which whoever
// keeps the place has anyway, it makes a link again.
//
// Dataverse's links hold the request's own options and a $skiptoken ("Page results using
// OData", https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results).
// How they are encoded is the server's affair, so they are compared decoded. A link that is
// all of its server's own is kept as it is, where it is short and names no filter. One with
// a filter other than the query's is not followed: its token is, with the query.

// maxOtherLink bounds the query of a link that is no $skiptoken behind the query that was
// sent, in bytes.
const maxOtherLink = 4 << 10

const (
	placeToken = "t" // what follows is a $skiptoken
	placeQuery = "q" // what follows is a link's whole query
)

const skipToken = "$skiptoken"

// After returns where the page after p begins, and the link to it. The place is for
// [Session.LinkTo] with the same query, which may be on another day and in another process.
// Both are "" where p is the last page. A link that cannot be kept so is Upstream.
func (s *Session) After(q *Prepared, p *Page) (place, link string, err error) {
	if p.next == "" {
		return "", "", nil
	}
	_, query, _ := strings.Cut(p.next, "?")
	token, same := q.token(query)
	switch {
	case same:
		return placeToken + token, p.next, nil
	case len(query) <= maxOtherLink && !namesFilter(query):
		return placeQuery + query, p.next, nil
	case token == "":
		return "", "", unusable(q.op, "the link to the next page asks for something else than the query that was sent",
			nil)
	}
	place = placeToken + token
	if link, err = s.LinkTo(q, place); err == nil {
		err = s.follow(&request{op: q.op}, q.table.Set, link)
	}
	if err != nil {
		return "", "", err
	}
	return place, link, nil
}

// LinkTo returns the link of a page that begins at a place of [Session.After], to be
// followed with [Session.Page].
func (s *Session) LinkTo(p *Prepared, place string) (string, error) {
	base := s.environment + s.client.root() + p.table.Set + "?"
	switch kind, rest := place[:min(1, len(place))], place[min(1, len(place)):]; {
	case kind == placeToken && rest != "" && !strings.Contains(rest, "&"):
		return base + p.options + "&" + skipToken + "=" + rest, nil
	case kind == placeQuery && rest != "" && !namesFilter(rest):
		return base + rest, nil
	}
	return "", refuse(p.op, "", "the place to go on at is none")
}

// token finds the one $skiptoken in a link's query, "" where there is none or more, and
// reports whether everything else in it is the query that was sent. $count may be missing:
// it is of the first page.
func (q *Prepared) token(query string) (token string, same bool) {
	sent, err := decoded(q.options)
	if err != nil {
		return "", false
	}
	var got []string
	tokens := 0
	for option := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(option, "=")
		if name, err = url.QueryUnescape(name); err != nil {
			return "", false
		}
		if strings.EqualFold(name, skipToken) {
			token = value
			tokens++
			continue
		}
		if value, err = plain(value); err != nil {
			return "", false
		}
		got = append(got, name+"="+value)
	}
	slices.Sort(got)
	if !slices.Equal(got, sent) {
		sent = slices.DeleteFunc(sent, func(option string) bool { return option == "$count=true" })
	}
	if tokens != 1 {
		return "", false
	}
	return token, token != "" && slices.Equal(got, sent)
}

// decoded are a query's options, decoded and in order.
func decoded(query string) (options []string, err error) {
	for option := range strings.SplitSeq(query, "&") {
		if option, err = plain(option); err != nil {
			return nil, err
		}
		options = append(options, option)
	}
	slices.Sort(options)
	return options, nil
}

// plain decodes a value. A plus sign that is not encoded means a space to some servers and
// itself to others, so the two count as one.
func plain(value string) (string, error) {
	value, err := url.PathUnescape(value)
	return strings.ReplaceAll(value, "+", " "), err
}

// namesFilter reports whether a link's query has a filter, or may have one: an alias
// stands for a value of one, and what cannot be read may be anything.
func namesFilter(query string) bool {
	for option := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(option, "=")
		name, err := url.QueryUnescape(name)
		switch name = strings.ToLower(strings.TrimSpace(name)); {
		case err != nil, strings.HasPrefix(name, "@"):
			return true
		case name == "$filter", name == "filter", name == "$apply", name == "fetchxml":
			return true
		}
	}
	return false
}
