// Package tokens is the OAuth side of crmbridge: it makes connections to
// customers' Dataverse environments through Microsoft Entra ID and keeps a good
// access token for each of them, for any number of processes that share one Redis.
//
// # Making a connection
//
//	Begin ──► connect link ──► page (binds the browser by a cookie) ──► Microsoft
//	                                                                       │
//	Connection ◄── save ◄── WhoAmI ◄── redeem code + PKCE ◄── Complete ◄───┘
//
// [Authorizer.Begin] makes a ticket of 256 random bits and a pending connection.
// [Authorizer.Ticket] opens it in a browser and makes an OAuth state that only this
// browser can complete. [Authorizer.Complete] claims the state, redeems the code
// once, checks directory and user, and stores the grant; a crash or an outage in
// between either lets the same callback go on or says "start again".
// [Authorizer.Handler] serves the two pages that people see.
//
// A connection keeps the names of the tables that its page showed (tables.go). They are
// the deployment's when the link was made, and only connecting again changes them.
//
// # Using it
//
// [Source.Access] returns the token: load → fresh? → lock → load again → refresh →
// fenced save. A token near its end is refreshed in the background. The refresh runs on
// the source's own context, so that no caller's deadline cancels it for others.
// [Source.Refused] is for a 401 of Dataverse.
//
// A valid token comes from this process's memory (local.go), as long as the process
// can prove that it has heard of every change (watch.go), or, while Redis is away,
// for 5 minutes after the last such proof. A Redis that refuses writes is away: it may
// have been cut off by a fail-over, and its data be old. All processes together renew the tokens
// of connections in use before they end and keep the others alive (renew.go), so
// that in steady state no request waits for the token endpoint.
//
// Redis replicates asynchronously: a fail-over can lose the last writes. A refresh
// that is lost so is harmless, since Entra does not revoke a refresh token by
// giving out the next one; the older grant that is there again refreshes again, and
// the compare-and-set keeps whoever still holds the newer version from mixing the
// two, also when the number of the lost version has been given out again. A connection
// or a deletion that is lost so must be repeated.
//
// [Authorizer.App] makes a connection of the application itself, for the pairs in
// [EntraConfig].Apps. It has no refresh token: every renewal is a new request,
// under the same lock and fence. The application proves itself by a secret, a
// certificate or a federated token (assertion.go).
//
// What Entra's errors mean is one table in verdicts.go, which VERDICTS.md shows:
// only an answer that says that the grant is gone marks a connection
// reauthorization_required. Outages, throttling, HTML from a proxy, truncated JSON,
// wrong clocks and lost races never do.
//
// # In Redis
//
//	crmbridge:{<id>}:grant         hash inc ver wid sealed   the connection and its tokens
//	crmbridge:{<id>}:refresh       lock of the one refresher
//	crmbridge:{<id>}:used          string, 2 h               it was used recently
//	crmbridge:{<id>}:metadata      hash inc <kind>…, 15 min  what the environment says of its columns
//	crmbridge:{<id>}:reading:<t>   lock of the one who reads table t's
//	crmbridge:{<id>}:alive         string, 10 s              proof that its server takes writes
//	crmbridge:alive:<process>      string, 10 s              the same, written by each heartbeat; in a
//	                               cluster with a tag for each primary
//	crmbridge:renewals             sorted set of ids         scored by when a renewal is due
//	crmbridge:renewals:backfill    locks of the one who looks for what the lists lack,
//	crmbridge:renewals:relist      and for what the lists have lost
//	crmbridge:{<id>}:changes       list, 7 days              changes that wait to be published
//	crmbridge:changes              sorted set of ids         whose changes may wait
//	crmbridge:changes:all          lock of the one who looks at all of these
//	crmbridge:{<id>}:purge         string, 7 days            it was deleted; its jobs and results are to go
//	crmbridge:purges               sorted set of ids         scored by when that is done again
//	crmbridge:connections          sorted set of ids
//	crmbridge:ticket:<sha256>      hash, 21 min              a connect link
//	crmbridge:state:<sha256>       hash, 10 min              a sign-in under way
//
// Nothing here is found by an id that an environment claims; package throttle has the
// table of all that is shared, and of what binds it to an environment.
//
// Channel crmbridge:changed carries "<id> <incarnation> <version>" for every write
// of a grant, version 0 for a deletion, published by the script that writes. On
// crmbridge:alive:<process> each process gets its own heartbeats.
//
// sealed is AEAD ciphertext under TOKEN_KEYSET, bound to its key and incarnation;
// inc, ver and wid are the fence of every write (fence.go). No script touches keys of
// two slots, so that Redis Cluster works; Redis 7.0 suffices. So lists and records are
// written one after the other: whoever takes an id off a list looks for its record
// again, saving puts it on again, and what is lost otherwise comes back (relist.go).
//
// Times that processes compare are Redis's (TIME), except the ends of tokens and of
// connect links, which Entra and people see: those are by the clock of the process
// that wrote them. What is under a key and cannot be read concerns its connection
// alone: [Store.List] shows it as [StatusUnreadable].
//
// # Changes
//
// A new grant, the loss of one, and a deletion are kept for publication by the
// script that writes them (outbox.go); [Store.PublishChanges] gives them to whoever
// publishes, until it says that they arrived. A process that dies loses none.
//
// What others keep of a deleted connection, jobs and their results, is removed by whoever
// deletes it, and again by any process 30 s later ([Store.PurgeDeleted]): the script that
// deletes notes that too. An authorizer has it removed before a connection is made
// ([AuthorizerConfig].Leftovers).
//
// # Keys
//
// A [Keyset] that follows a file takes over the keys that are put there, also when
// it meets data under a key that it does not hold. [Store.Reseal] rewrites
// everything under the primary key; then the older ones can be removed.
//
// # Errors
//
// Every error is an [*Error] with a code of messages/README.md#errors. No error, log line or
// printed value of this package holds a token, a secret or an authorization code.
package tokens
