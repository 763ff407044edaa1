// Package interactive answers requests that wait for their answer: a request comes in on
// a subject, and a reply goes out to its reply subject.
//
// A message's way, top to bottom in consumer.go: the subscription of its operation
// receives it and reads its subject, its reply subject and its size. An admission
// decides whether it runs, waits in its connection's part of a bounded backlog, or is
// refused (admission.go); nothing of that blocks. In a goroutine of its own a request that
// runs is decoded, its deadline set, its operation run and its answer published: exactly
// one, also when the operation panics or the answer is too large.
//
//	NATS ─► receive ──► admission ─► handle ─► Route.Serve ─► an operation ─► dynamics
//	        reply ok?   turn? slot?  deadline   decode         of package      asks tokens
//	                       │         recover                   handlers        for access
//	                       └──► refuser: overloaded, retry_after_ms
//
// # Load
//
// Connections take turns. Of one connection at most Options.PerConnection requests are
// in flight, and at most a quarter of the backlog waits; a quarter of all slots is kept
// for connections that hold few, and a connection whose environment does not answer gets
// few once half of the slots are taken. Requests for a connection that come faster than it
// answers are refused when one more would wait for longer than one takes, but not where the
// connection has no more than its even share of the slots: then the machine stands still, or
// others have more than theirs. A slot is free before the answer goes out. A full backlog
// drops requests of whoever has most in it. The NATS client's own queue before receive
// stays nearly empty, so a deadline counts from arrival; what the client drops where the
// process gets no CPU is counted (Dropped, crmbridge_nats_dropped_messages_total).
//
// A refusal costs about 2 µs to decide and 4 µs to answer, with nothing of the body
// decoded, so a flood is answered one for one: 60,000 requests a second take a process
// of 2 cores less than half of one. Answers wait in a queue of 8192, a quarter for one
// connection. Only where NATS takes them more slowly, or the process gets so little CPU
// that reading, which goes first, is late, are requests of that connection not answered
// (crmbridge_unanswered_requests_total). A request that waits until it cannot be
// answered in time is refused and never executed.
//
// On a plain subject the first 4 KiB of the body name the connection; requests that name
// it later, or none, are one connection together.
//
// # Requesters of one connection
//
// Requesters take turns too, and who has most waiting is refused first. Requests that come
// through a service import are told apart by their account: NATS's server then writes the
// reply subject (_R_.…, which it lets no client use) and names the account in a header.
// Each account has a turn, and all requesters without one have one together.
//
// Without accounts there is only the inbox, and whoever may publish may name any. The
// four inboxes of a connection that ask most have a requester queue each, all others share
// one: a greedy requester delays only itself, and so do a thousand made-up inboxes, within
// some seconds also where they came first. Who borrows another's inbox cannot be known:
// the two get together what one requester would. A leaf node in crmbridge's own account
// is trusted like the account's operator.
//
// # Log
//
// A request's line is written after its slot is free and its answer is out. Where lines go
// together to a file or a pipe, the writer is cmd's.
//
// One line an answer, but for floods: of refusals for want of room, and of refused reply
// subjects, the first is written and then one line a second for each connection and code
// with a count; of any other code of a connection 200 lines a second, and the rest as a
// count. Counts add up to the answers.
package interactive
