// Package handlers has crmbridge's operations: what a request asks for, done in
// Dataverse or with the connections that package tokens keeps. An operation returns its
// reply or an error; it never publishes, and knows nothing of NATS.
//
// A request's way:
//
//	NATS ─► interactive ─► route ─────────► handlers ─────────► plan ───────────► dynamics
//	        slot, deadline  call decoded     rows_search.go …    names to columns   asks tokens,
//	          ▲                                                                     calls Dataverse
//	          └── reply ◄── parts ◄───────────────────────────────────────────────────┘
//
// The rooms around it:
//
//	handlers/route        what a lane and an operation know of each other: call, route,
//	                      answer, parts; decoding, and errors as requesters see them
//	handlers/plan         a request's fields, order and filter in the columns of one
//	                      environment, and the catalog of these columns
//	handlers/interactive  the lane that answers requests: request in, reply out
//	handlers/durable      the lane of jobs: what is stored goes on in any process
//	handlers/events       the changes of connections, published to CRM_EVENTS
//	handlers/streams      makes crmbridge's streams, and refuses those that capture requests
//
// Only interactive, durable, events and streams import the NATS client; imports_test.go holds
// that.
//
// # Words
//
// Each has one meaning, here and in the rooms:
//
//	lane       a way in which work comes and results go: interactive (a request and its
//	           reply), durable (a job and its pages)
//	request    one message that asks for something
//	call       a request as its operation gets it: headers read, connection settled
//	route      what a lane knows of an operation
//	plan       a request's names turned into a query in one environment's columns
//	query      what the Dataverse client sends; a page is what it returns
//	part       one message of an answer
//	answer     all parts of what an operation returns for one call
//	reply      how the interactive lane publishes an answer
//	cursor     the sealed place from which a later request goes on
//	job        a request that the durable lane runs, to the last page; see [route.Job]
//	place      where a job goes on after a page that is stored, without its query
//	turn       what a job's page is read within, until its parts are stored
//	export     a search that runs as a job and reads several ranges of the time of
//	           creation at once; see export.go and export_ranges.go
//	slot       what a request holds while it is in flight; their number is limited
//	in flight  being worked on: no longer waiting, not yet answered
//	queue      requests of one connection, or of one of its requesters, that wait
//	backlog    all requests that wait
//	refusal    an answer without work, because there was no slot or no time left
//	metadata   what an environment knows of its columns and options
//
// # Memory of an answer
//
// Rows are copied from the page to the body of a part, in a buffer that is used again
// (rows_body.go). A buffer counts as its request's, or its turn's, until it is given back: of a
// reply when the next part is asked for, of a job when the page's parts are stored. In stream
// mode (rows_ahead.go) and in jobs (rows_job_ahead.go) one page is read ahead.
//
// # Adding an operation
//
// Its bodies and its name go to package messages, its function to a file of its
// own here, and one line to the table in routes.go. Subscription, scoped subject,
// decoding, deadline, errors, metrics, log line, discovery and schema follow from
// that line. A function returns its reply or an error and never publishes. Where it
// starts goroutines, they run under [dynamics.Guard]: a panic in one would end the
// process otherwise. What it waited for it delivers only after
// [dynamics.Session.Confirm], unless a call of the session did that.
//
// It may be sent as a job too. One with a single reply needs nothing for that but to open
// its session with the call, which refuses a connection that was made again since; one
// with many parts gives the place after each page of Dataverse (rows_job.go,
// rows_changes_job.go).
//
// # Adding a table
//
// Its description is one file in package messages and one line in [messages.Tables]; its
// rows are the emulator's. The five operations, their subjects and schemas, its checks,
// the words of the connect page and its commands follow; see CONTRIBUTING.md.
package handlers
