// Package dynamics reads tables, users and metadata through the Web API of
// Microsoft Dataverse.
//
//	client, err := dynamics.New(dynamics.Config{Tokens: source, Hosts: policy})
//	session, err := client.Open(ctx, "acme")
//	query, err := session.Prepare(accounts, dynamics.Query{Select: outputs, Filter: filter, PageSize: 500})
//	page, err := session.Page(ctx, query, "")
//	for err == nil && page.NextLink() != "" {
//		// … page.Row(i) …
//		page, err = session.Page(ctx, query, page.NextLink())
//	}
//
// # Tables
//
// Everything about rows and metadata takes the [Table] that it is about; there is no
// default. A session reads the tables that the person who connected was told of
// ([Access].Tables) and refuses others before anything is sent. A query is checked and
// laid out once ([Session.Prepare]) for all its pages; layouts of equal fields are kept.
//
// A column that field-level security hides from the user is null in every row:
// [Session.Columns] says which are. [Session.ReadDepth] says how many of the rows the
// user's roles reach.
//
// # Where a token goes
//
// A [Session] asks its [TokenSource] for every request and sends the token to
// the environment that the [HostPolicy] allowed when the session was opened, and
// nowhere else: redirects are not followed, and the link to a next page is
// followed only if it leads to the same environment and collection. The two
// names of an environment, ORG.crm… and ORG.api.crm…, count as one.
//
// Whatever a request waited for, a slot, metadata, another's call, a slow answer: what
// the TokenSource said more than 100 ms ago is asked again before a token is sent and
// before an answer is delivered. So a deleted connection is out of use as soon as its
// source knows of the deletion, also for those who share an answer.
//
// # Limits
//
// Every attempt passes the [Gate] of its user, which package throttle shares over
// the fleet, and tells it what Dataverse answered. One query that Dataverse holds back
// or gives up for what it costs ([Error.OfQuery]) is no limit of the user.
//
// Identical pages that are asked for at the same time are one call. What its maker gets
// only for having little time, the others do not get: they make it again.
//
// A connection whose environment fails again and again, or whose calls hang, is not
// asked for a while; then one call at a time finds out. Calls count while they hang,
// from 5 s on, or from twice the time that the environment's slow answers take. What a
// caller's own deadline cut off before half of Config.AttemptTimeout says nothing.
//
// # Values
//
// Values enter a URL as typed literals of a [Filter] and in no other way. A
// filter means what messages/README.md#filters says: text operators are literal, a
// column without a value matches IsNull and the negative operators only, and Not
// is the exact complement. Dataverse differs in all three, so the filter is
// rewritten on the way. It may hold as many values as a request's may: a
// query that is too long for a URL goes through $batch, a filter of more than 500
// conditions writes its lists as query functions.
//
// # Pages
//
// An answer is read in one pass from the HTTP body into rows in the form in
// which they are delivered ([Output]); a page is whole or an error. A part of the body
// stands in a window (window.go), a strict scanner finds where values end (scan.go), and a
// row's values are copied once, into the page's blocks (row.go, pool.go). The tests hold the
// scanner to what jsontext accepts and what it reads.
//
// Window and reader go back to their pools when the page is there. The blocks are the page's,
// counted against the request's budget, until [Page.Release]: then the next page has them, and
// neither the page nor a slice of it may be used. A page that several calls share is left to
// the collector.
//
// Long pages go by HTTP/1.1 and others by HTTP/2, and what fits the first flight of a
// connection is not asked for compressed (transport.go, zipped.go).
//
// # Changes
//
// [Session.Changes] reads every row and then, by Dataverse's change tracking,
// what was made, changed and deleted since: each last page has a link to what
// comes after it.
//
// # Errors
//
// Every failure is an [*Error] with a [Kind], except what the TokenSource
// returned, which is passed on, and [Panic]. No error text holds a URL, a token or a
// value of a filter. Another attempt is made for faults of the network, 408, 429, 502,
// 503, 504, SQL time-outs and a query that is held back, within the caller's deadline
// and Config.MaxRetryWait; a 401 costs one new token and one more attempt. CODES.md lists
// what Dataverse's codes mean.
package dynamics
