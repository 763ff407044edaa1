// Package handlers takes requests from NATS and answers them.
//
// A message's way, top to bottom in consumer.go: the subscription of its
// operation receives it, its reply subject is checked, it gets one of a bounded
// number of places, of which each connection has its own part (admission.go), and
// beside the subscription its body is decoded, its deadline set, its operation run
// and its answer published: exactly one, also when the operation panics or the
// answer is too large.
//
//	NATS ─► receive ─► answer ─► route.serve ─► accounts_search.go … ─► dynamics
//	        reply ok?  deadline   decode          a typed function       asks tokens
//	        place?     recover                                           for access
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
// # Events
//
// [Events] is the other way out: it publishes the changes of connections that
// package tokens keeps in its outbox, and tells the outbox what arrived.
package handlers
