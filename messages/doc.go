// Package messages is what crmbridge and its requesters share: subjects, headers,
// bodies and error codes, and a client for requesters written in Go. README.md
// beside this file is the same for requesters in any language. The package imports
// nothing else of crmbridge.
//
// # One exchange
//
// A requester publishes to the operation's subject, with a reply subject that
// it listens on (nats.Conn.Request does both):
//
//	crm.accounts.search.request.acme          reply: _INBOX.x7…
//	Crm-Request-Id: 0199…-…
//	{"where":{"field":"industry","op":"eq","value":"Consulting"},"page_size":2}
//
// One crmbridge process of the queue group takes the message and answers once:
//
//	_INBOX.x7…
//	Crm-Request-Id: 0199…-…
//	{"request_id":"0199…-…","connection":"acme",
//	 "accounts":[{"id":"…","name":"A. Datum","website":null,
//	   "classification":{"value":1,"label":"Default Value"},
//	   "industry":{"value":7,"label":"Consulting"}}, …],
//	 "next_cursor":"…"}
//
// An error has the same outer form, an "error" member in place of the result,
// and NATS's own error headers, so that tools which know nothing of crmbridge
// show it:
//
//	Nats-Service-Error-Code: 400
//	Nats-Service-Error: where.field: there is no field "industri"; did you mean industry?
//	Crm-Error-Code: invalid_request
//	{"request_id":"0199…-…","error":{"code":"invalid_request","message":"…",
//	  "retryable":false,"details":[{"path":"where.field","message":"…"}]}}
//
// Every operation has a plain subject (crm.accounts.search.request, the
// connection is a member of the body) and a subject for one connection
// (crm.accounts.search.request.acme), so that NATS permissions can say which
// requester may use which connection.
//
// # Tables
//
// A [Table] describes one Dataverse table: accounts, contacts. Each has the same
// five operations with the same bodies ([SearchRequest], [Page] and the others);
// the table names the member that holds rows (accounts, contacts), a single row
// (account) and its id (account_id). A [Codec] reads and writes a body under the
// names of its table, [Operation.Schemas] describes it, and [Client.Table] asks.
// All of them take a table that [Tables] does not list, too.
//
// # Jobs
//
// What takes long is published as a job: [TableClient.SearchJob] and the other methods whose
// names end in Job. [Client.Jobs] asks about jobs, and [TableClient.JobPages] reads what they
// bring, from any page on. A publication is acknowledged by JetStream, which is no answer of
// crmbridge's; after an error of it the client finds out whether the job is known, and says
// so ([PublishedJob.Known]). Subjects, streams and records are in [Job] and [JobRecord].
//
// # Decoding
//
// Requests are read strictly: an unknown member, a member given twice, a value
// of the wrong type or anything after the object is an error that names its
// place. Replies are read leniently, so that a newer crmbridge may add members.
package messages
