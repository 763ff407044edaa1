// Package handlers has crmbridge's operations: what a request asks for, done in
// Dataverse or with the connections that package tokens keeps. An operation returns its
// reply or an error; it never publishes, and knows nothing of NATS.
//
// The rooms around it:
//
//	handlers/route        what a lane and an operation know of each other: call, route,
//	                      answer, parts; decoding, and errors as requesters see them
//	handlers/plan         a request's fields, order and filter in the columns of one
//	                      environment, and the catalog of these columns
//	handlers/interactive  the lane that answers requests: request in, reply out
//	handlers/events       the changes of connections, published to CRM_EVENTS
//	handlers/streams      makes crmbridge's streams, and refuses those that capture requests
//
// Only interactive, events and streams import the NATS client; imports_test.go holds
// that.
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
package handlers
