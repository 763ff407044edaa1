package boards

import "github.com/grafana/grafana-foundation-sdk/go/units"

// connectionsAndJobs is how the connections are, and what becomes of jobs.
func connectionsAndJobs() Board {
	return Board{
		File: "connections-jobs.json", uid: "crmbridge-connections-jobs", title: "crmbridge: connections and jobs",
		about: "Connections by status, renewal of their tokens, certificate and keys, events; jobs that " +
			"wait, run and end.",
		rows: []row{
			{"At a glance", connectionsGlance()},
			{"Connections", connections()},
			{"Jobs that wait and run", jobsWaiting()},
			{"Jobs that ended", jobsEnded()},
		},
	}
}

const (
	day  = 24 * 3600.0
	year = 365 * day
)

func connectionsGlance() []panel {
	return []panel{
		{as: number, title: "Active connections", unit: units.Short,
			about:   "Connections that can be asked, in the whole fleet.",
			queries: []query{{expr: `max(crmbridge_connections{FLEET, status="active"})`}}},
		{as: number, title: "To be connected again", unit: units.Short, steps: steps{1},
			alert: "CrmbridgeReauthorizationRequired",
			about: "Connections whose grant is gone: a person connects again. `crmbridge connections " +
				"list` has them, `crmbridge connections get ID` the last error.",
			queries: []query{{expr: `max(crmbridge_connections{FLEET, status="reauthorization_required"})`}}},
		{as: number, title: "Refresh overdue", unit: units.Seconds, steps: steps{60, 600},
			alert: "CrmbridgeRefreshOverdue",
			about: "How late the token is that should have been renewed first; 0 where none is late. " +
				"Minutes: Entra or Redis does not answer.",
			queries: []query{{expr: `max(crmbridge_refresh_overdue_seconds{FLEET})`}}},
		{as: number, title: "Jobs that wait", unit: units.Short, alert: "CrmbridgeJobsStuck",
			about:   "Jobs that wait, in the whole fleet.",
			queries: []query{{expr: `max(crmbridge_jobs_pending{FLEET})`}}},
		{as: number, title: "Oldest waiting job", unit: units.Seconds, steps: steps{900, 3600},
			alert: "CrmbridgeJobsStuck",
			about: "How long the job has waited that waits longest. An hour, while jobs could run: too " +
				"few processes, or jobs that fail again and again.",
			queries: []query{{expr: `max(crmbridge_jobs_oldest_seconds{FLEET})`}}},
		{as: number, title: "Dead jobs", unit: units.Short, steps: steps{1}, alert: "CrmbridgeDeadJobs",
			about: "Jobs that failed and were neither retried nor deleted: `crmbridge jobs list ID` says " +
				"why, then `crmbridge jobs retry ID JOB` or `crmbridge jobs delete ID JOB`.",
			queries: []query{{expr: `max(crmbridge_dead_jobs{FLEET})`}}},
	}
}

func connections() []panel {
	return []panel{
		{as: stacked, title: "Connections by status", unit: units.Short, alert: "CrmbridgeReauthorizationRequired",
			about: "In the whole fleet, counted every 5 s to 5 min. reauthorization_required that rises at " +
				"once for many: a secret, a policy or a consent at Entra; unreadable: a key is missing from " +
				"TOKEN_KEYSET.",
			queries: []query{{expr: `max by (status) (crmbridge_connections{FLEET})`, legend: "{{status}}"}}},
		{title: "Users kept out", unit: units.Short, alert: "CrmbridgeThrottled",
			about:   "Users whom Dataverse's limits keep out now. See the dashboard Dataverse.",
			queries: []query{{expr: `max(crmbridge_users_blocked{FLEET})`, legend: "users"}}},
		{title: "Refresh overdue", unit: units.Seconds, alert: "CrmbridgeRefreshOverdue",
			about: "How late the oldest renewal is that is due. A slope that goes on: nothing is renewed; " +
				"steps back to 0 are retries that succeed.",
			queries: []query{{expr: `max(crmbridge_refresh_overdue_seconds{FLEET})`, legend: "overdue"}}},
		{title: "Outbox", unit: units.Short,
			about: "Changes of connections that wait to be published as events. Rising: CRM_EVENTS cannot " +
				"be written; see jetstream in /readyz?verbose.",
			queries: []query{{expr: `max(crmbridge_outbox_waiting{FLEET})`, legend: "waiting"}}},
		{as: stacked, title: "Events by kind", unit: units.EventsPerSecond,
			about: "Events that JetStream has acknowledged: connections that were made, deleted, or need " +
				"a person again.",
			queries: []query{{
				expr:   rates("kind", `crmbridge_events_published_total{PROCESS}`),
				legend: "{{kind}}",
			}}},
		{as: number, wide: 6, title: "Client certificate ends in", unit: units.Seconds, atLeast: 30 * day,
			alert: "CrmbridgeCertificateEnds",
			// Without a certificate the metric is +Inf.
			values: from(10*year, "no certificate"),
			about: "The time until the first certificate of all processes ends; below 0 it has ended and " +
				"nothing is renewed. Put a new one in place 30 days before.",
			queries: []query{{
				expr: `clamp_max(min(crmbridge_certificate_expires_seconds{PROCESS}), 10 * 365 * 86400)`,
			}}},
		{as: number, wide: 6, title: "Primary key in use for", unit: units.Seconds, steps: steps{year, 2 * year},
			about: "How long the fleet has sealed grants with the present primary key. Past a year: make " +
				"a new one with `crmbridge keys rotate`.",
			queries: []query{{expr: `max(crmbridge_keyset_primary_age_seconds{FLEET})`}}},
	}
}

func jobsWaiting() []panel {
	return []panel{
		{title: "Jobs", unit: units.Short, alert: "CrmbridgeJobsStuck",
			about: "Jobs that wait; those of them that more processes could run now (which is what KEDA " +
				"scales by); those that run. Waiting but not runnable: their users are kept out by " +
				"Dataverse, or run as many as they may.",
			queries: []query{
				{expr: `max(crmbridge_jobs_pending{FLEET})`, legend: "waiting"},
				{expr: `max(crmbridge_jobs_runnable{FLEET})`, legend: "runnable"},
				{expr: `sum(crmbridge_jobs_running{FLEET})`, legend: "running"}}},
		{title: "Oldest waiting job", unit: units.Seconds, alert: "CrmbridgeJobsStuck",
			about: "A slope of one second a second is one job that does not begin: `crmbridge jobs get` " +
				"says what it waits for.",
			queries: []query{{expr: `max(crmbridge_jobs_oldest_seconds{FLEET})`, legend: "oldest"}}},
		{title: "Connections with waiting jobs", unit: units.Short,
			about: "One: a single tenant's backlog, which more processes do not shorten. Many: more " +
				"processes.",
			queries: []query{{expr: `max(crmbridge_jobs_connections{FLEET})`, legend: "connections"}}},
		{as: stacked, title: "Running jobs by process", unit: units.Short, alert: "CrmbridgeNoJobs",
			about: "How evenly jobs are spread. A process that runs none while jobs are runnable: its " +
				"line streams or jobs in /readyz?verbose.",
			queries: []query{{expr: `sum by (instance) (crmbridge_jobs_running{PROCESS})`, legend: "{{instance}}"}}},
		{title: "Time until the first start", unit: units.Seconds, alert: "CrmbridgeJobsStuck",
			about: "Percentiles of the time from a job's publication to its first start. No point where " +
				"none has started.",
			queries: percentiles("crmbridge_job_wait_seconds", true)},
		{title: "Time from start to end", unit: units.Seconds,
			about: "Percentiles of the time from a job's first start to its end, whoever ran it and however " +
				"often it waited. Points are single jobs: they lead to their traces.",
			queries: percentiles("crmbridge_job_duration_seconds", true)},
	}
}

func jobsEnded() []panel {
	return []panel{
		{as: stacked, title: "Jobs by state", unit: units.OpsPerSecond,
			about: "Jobs that ended: done, failed or cancelled.",
			queries: []query{{
				expr:   rates("state", `crmbridge_jobs_total{PROCESS}`),
				legend: "{{state}}",
			}}},
		{as: stacked, title: "Jobs by operation and state", unit: units.OpsPerSecond,
			about: "Which jobs end, and how. other is an operation that the process does not know: TABLES " +
				"differ.",
			queries: []query{{expr: active("operation, state", `crmbridge_jobs_total{PROCESS}`),
				legend: "{{operation}} {{state}}"}}},
		{as: stacked, title: "Jobs by code", unit: units.OpsPerSecond, alert: "CrmbridgeDeadJobs",
			about: "Why jobs ended; ok is done. The codes are those of requests.",
			queries: []query{{expr: active("code", `crmbridge_jobs_ended_total{PROCESS}`),
				legend: "{{code}}"}}},
		{title: "Dead letters", unit: units.Short, alert: "CrmbridgeDeadJobs",
			about:   "Dead letters that are stored. They go with `crmbridge jobs retry` and `crmbridge jobs delete`.",
			queries: []query{{expr: `max(crmbridge_dead_jobs{FLEET})`, legend: "dead"}}},
		{as: stacked, title: "Claims by outcome", unit: units.OpsPerSecond,
			about: "Attempts to claim a job. lost: another process was first, which is usual; taken_over: " +
				"from a process that was silent; error: JetStream did not answer.",
			queries: []query{{expr: active("outcome", `crmbridge_jobs_claims_total{PROCESS}`),
				legend: "{{outcome}}"}}},
		{title: "Takeovers", unit: units.Short,
			about: "Jobs taken over from a process that did not keep its claim alive. Some after a " +
				"process was killed; again and again: processes that hang or lose NATS.",
			queries: []query{{
				expr:   increases("instance", `crmbridge_jobs_takeovers_total{PROCESS}`),
				legend: "{{instance}}",
			}}},
		{title: "Messages of results", unit: units.MessagesPerSecond,
			about: "Messages stored in CRM_RESULTS, ends among them: the pace of exports.",
			queries: []query{{
				expr:   rates("", `crmbridge_jobs_pages_total{PROCESS}`),
				legend: "messages",
			}}},
		{title: "Waits for room in CRM_RESULTS", unit: units.Short, alert: "CrmbridgeJobsStuck",
			about: "Waits of jobs because the stream, or their connection's share of it, is full: whoever " +
				"has read results has to delete them (`jobs.delete`).",
			queries: []query{{
				expr:   increases("", `crmbridge_jobs_full_stream_waits_total{PROCESS}`),
				legend: "waits",
			}}},
	}
}
