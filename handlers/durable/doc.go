// Package durable is the lane of jobs: a job comes by the stream CRM_JOBS, its pages go to
// CRM_RESULTS, and both outlive every process.
//
// # A job's way
//
//	CRM_JOBS ─► follower ─► queues ─► turns ─► claim ─► run ─────────► handlers (one operation)
//	 headers     one ordered  one a      whose    CAS on   last stored page,  parts with places
//	 only        consumer     connection turn     record   checkpoint opened     │
//	                                                ▲                            ▼
//	                          CRM_STATE ◄── heartbeat, end ◄── CRM_RESULTS ◄── publish
//	                          one record a job                 guarded by the last sequence
//
// No JetStream consumer hands out jobs: one per connection costs too much, and a shared one
// serves the connection that asks most. Every process knows all jobs that wait and claims one
// by compare-and-set on its record. The owner rewrites the record; a record that does not
// change for a lease is taken over. What is stored of the results, and nothing else, says
// how far a job has come: whoever runs it goes on from the last stored page. The stored end
// (Crm-Last) decides what became of the job, and the record repeats it.
//
// # Rooms
//
//	lane          start and stop, and what the others share
//	follower      CRM_JOBS, as this process reads it; trouble: what keeps it from that
//	heard         the records, as they are published: hints, and when leases run out; early: those
//	              of jobs that are not read yet
//	looks         records that are read to see whether what was heard is so
//	queues        the jobs of each connection that wait, and those that others run
//	intake        jobs on their way into the queues, and what memory has no room for
//	delayed       jobs that are not to be run for a while
//	strangers     jobs that are left alone, and messages that are no jobs; operations: their names
//	refill        jobs of a long queue that memory has no room for at first
//	turns         which connection's page or job is next; way: which one gives way
//	peers         the other processes, and which of them tries to claim a job first
//	dispatch      free slots, and what is done with them; slot: a page's
//	shut          where a job goes that is not open any more
//	known         what waits and runs, for jobs.list and the metrics
//	claim         taking a job, and taking one over; another: one whose id was used before
//	ledger        reading and writing records
//	hold          a claimed job: its heartbeat, and whether it still is this process's
//	run           one execution, from the last stored page to the end or until it must wait
//	begin         where an execution begins, and what ends a job before anything is executed
//	chain         the last stored message of a job's results
//	publish       a page on its way to CRM_RESULTS; batch for what takes several messages
//	checkpoint    the sealed place in a stored page
//	verdict       what an error means for a job: final, again later, or wait
//	end           the end of a job, each step repeatable; cancel for who does not own the job
//	release       giving a job back
//	share         how much of CRM_RESULTS a connection may hold; share_look: what it holds
//	jobs_*        the operations jobs.get, jobs.list and so on
//	purge         what is left of a deleted connection
//
// # Two rules that look like omissions
//
// Results have no Nats-Msg-Id. In a cluster the check for duplicates comes before the check of
// the expected last sequence: a worker that was paused gets the sequence of the page that its
// successor stored, takes it for its own, and goes on from its own place.
//
// The last message of a subject is read from the stream's leader. Any replica answers a
// direct get, perhaps late.
package durable
