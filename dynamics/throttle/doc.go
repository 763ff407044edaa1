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
//     there is, each gets its share.
//   - the block: until when no call may begin, from Retry-After. Whoever is refused
//     writes it and tells every process at once.
//   - the ramp: after a block the slots come back by doubling, so that the fleet does
//     not run into the limit again all together.
//   - the reduced number of slots after a refusal for too many at once: somebody else
//     uses the user too.
//
// A [Throttle] is the process's side. When Redis is away it goes on with its share
// of the slots and what it knows of blocks.
package throttle
