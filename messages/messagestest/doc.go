// Package messagestest is crmbridge's contract in process: a campaign service tests itself
// against it without Dataverse, Redis or Entra, on a NATS server that starts and ends with the
// test.
//
//	bridge := messagestest.New(t)
//	acme := bridge.Connect("acme", messagestest.Rows{"accounts": {
//		{"name": "Contoso", "industry": "Consulting", "revenue": 1500000},
//		{"name": "Fabrikam", "industry": "Accounting"},
//	}})
//	client := bridge.Client() // or bridge.URL(), for a service that connects by itself
//
// What is answered follows messages/README.md: subjects, headers, bounds, cursors, streams, jobs
// with their four streams, events in CRM_EVENTS, and errors with the sentences of the same
// decoder. Every reply is held against the operation's JSON Schema before it is sent.
//
// # What goes wrong
//
// [Bridge.Fail] scripts what happens to the next requests, pages of streams and pages of jobs: an
// error of any code, with retry_after_ms or without, an answer that comes late, one that is lost.
// [Bridge.Stop] is a crmbridge that is gone, so that NATS reports no responders, and what a job
// has stored is there when [Bridge.Start] goes on. [Bridge.DeliverTwice] repeats events, records
// and results to plain subscribers. [Connection.Revoke] takes a grant away.
//
// A subscription is known to the server once its connection has been flushed (nats.Conn.Flush):
// a test that subscribes and then changes something over another connection does that first.
//
// # What it does not imitate
//
// Nothing is asked of Dataverse, so that nothing costs time and nothing is throttled by itself.
//
//   - Text is compared without regard to case and to trailing blanks. Accents and width count:
//     an environment's collation may see that otherwise, and its order of letters may differ.
//   - Rows without an order come in the order of their ids, jobs too: do not rely on it.
//   - Lookups are what rows say of them; no table is joined.
//   - Metadata are the fields with friendly names and the [Columns] of the connection. A column
//     that neither names does not exist. Labels are in one language.
//   - Bounds of Dataverse (50,000 rows in an order by a lookup, 500 conditions), of the process
//     (MAX_IN_FLIGHT, MEMORY_BUDGET) and of single columns are not there.
//   - The grant client_credentials, connections.complete and REQUIRE_SCOPED_SUBJECTS are not
//     there; [Connection.Approve] stands for the person who signs in.
//   - NATS's services API ($SRV) is not answered.
//   - Jobs wait for milliseconds where crmbridge waits for seconds, unless an error says how long.
//
// What it cannot answer as crmbridge would, such as a row whose value is not of its column's type,
// is a failure of the test, and no wrong answer.
//
// A [Lane] is less: a server with the streams of jobs, and what a test puts into them by hand.
package messagestest
