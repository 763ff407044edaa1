// Package throttle keeps a fleet within Dataverse's service protection limits.
//
// The limits are per user of an organization: 6,000 requests and 20 minutes of
// execution in 5 minutes, 52 requests at once, and whoever goes on sending after a
// refusal waits longer
// (https://learn.microsoft.com/power-apps/developer/data-platform/api-limits).
// What one process learns of them holds for all, so they are kept in Redis, one
// hash a user:
//
//   - slots: how many calls each process may have in flight; together they never
//     exceed Config.Concurrency. A process holds a lease on some and asks for more
//     as it needs them, so that a call needs no round trip while slots are held.
//     A lease ends by itself when its process dies. Where processes want more than
//     there is, each gets its share; where there are fewer slots than processes they
//     take turns, whoever waited longest first.
//   - the block: until when no call may begin, from Retry-After. Whoever is refused
//     writes it and tells every process at once.
//   - the probe: a block lasts for Config.LongestBlock at most. Where Dataverse asked
//     for more, one call of the fleet is made then. Refused, it blocks anew; answered,
//     it ends the block; cut short, it gives the right to another call. All others wait
//     for that. A process that dies with its probe loses the right with its lease.
//     Connecting again ([Throttle.ProbeSoon]) brings the probe forward, and no more.
//   - the ramp: after a block the slots come back by doubling, so that the fleet does
//     not run into the limit again all together.
//   - the calls of the day, which administrators ask for and customers may bound; see calls.go.
//   - the reduced number of slots after a refusal for too many at once: somebody else
//     uses the user too.
//
// A [Throttle] is the process's side.
//
// # Calls of jobs
//
// A call of a job ([dynamics.WithBackground]) gives way to the user's other calls. In a
// process it begins only when none of them waits. Over the fleet jobs have the slots that
// others neither use nor wait for, and never the last four; where nothing else runs they
// have one, however few slots there are. What jobs have is divided among the processes.
// Slots that are kept for a next call only, jobs get. Their calls wait in a room of their
// own, so that they cannot fill that of the others, and no longer than Config.MaxBlock:
// somebody who asks without pause for as many calls as there are slots holds jobs back for
// as long as that lasts, and a call that waits in vain holds what others could use. It is
// refused as Overloaded then. A job's call in flight is not cut short: a process hears of
// other processes' calls when it asks for slots again, within a quarter of a second, until
// when it may begin jobs' calls, and those that are in flight end by themselves. Blocks,
// probes and the ramp count for jobs as for others; a right to probe is another's call
// before a job's.
//
// # Without Redis
//
// A process goes on with its share of the slots and what it knows of blocks. How many
// processes there are it knows from their heartbeats and leases, whether or not it has
// had to do with a user. Its last lease counts to its end; after that, and where it has
// none, it uses two slots until the leases of all others have ended too, and its share
// from then on. Where one process alone does not reach Redis, the others see its
// heartbeat missing before its lease ends, and leave its share to it for half a minute;
// after that it is believed dead, and the fleet may have that share more in flight.
// With more processes than slots each uses one. Of its share jobs have the part that they
// have of all slots, at least one while nothing else of the process has it. The right to
// probe cannot be shared then: each process makes its own.
//
// # What is shared, and by which key
//
// An environment says itself whose its organization and user are, and it may lie. So
// nothing is found by those ids alone. Two environments that claim equal ids share
// nothing; two names of one environment, which package dynamics makes one origin, and
// two connections of its one user share the limits, as Dataverse counts them.
//
//	in Redis, after crmbridge:      key                                  bound to an environment by
//	throttle:{org/user/origin}       ids as claimed, and the origin       the origin
//	throttle:jobs:{org/user/origin}  likewise                             the origin
//	throttle:calls:{org/user/origin} likewise                             the origin
//	throttle:blocked                 channel; names such a key            that key
//	throttle:fleet                   random name of a process             nothing of environments
//	{id}:grant, :used, :changes      connection                           the connection's, which never changes
//	{id}:refresh, {id}:reading:<t>   connection (locks)                   likewise
//	{id}:metadata                    connection; fields: incarnation,     the incarnation, which has one origin
//	                                 kind with the user
//	connections, renewals, changes   connections in an index              the connection
//	ticket:, state:                  random                               the origin inside
//
//	in a process
//	limits of a user (here)          origin, ids as claimed               the origin
//	circuit breaker (dynamics)       connection, origin                   the origin
//	single flight (dynamics)         connection, incarnation, user, URL   the whole URL
//	HTTP connections (net/http)      origin                               the origin
//	metadata (handlers)              connection, incarnation, user        the incarnation
//	places, queues (handlers)        connection                           the connection
//	grants, refreshes (tokens)       connection                           the connection
//
// A connection that is deleted and made again for another environment has another
// incarnation. What is found by its id alone is gone then (grant, metadata), or ends
// within seconds (locks).
package throttle
