package boards

import "github.com/grafana/grafana-foundation-sdk/go/units"

// service is what crmbridge does for those who ask it, and what it needs for that.
func service() Board {
	return Board{
		File: "service.json", uid: "crmbridge-service", title: "crmbridge: service",
		about: "Requests and their answers, places and memory, NATS and Redis, and the processes " +
			"themselves.",
		rows: []row{
			{"At a glance", serviceGlance()},
			{"Requests", serviceRequests()},
			{"Places and memory", servicePlaces()},
			{"NATS and Redis", serviceServers()},
			{"Processes", serviceProcesses()},
		},
	}
}

// failing are the codes that are no fault of who asked.
const failing = `code=~"internal|upstream_error|unavailable|overloaded|deadline_exceeded|configuration_error"`

func serviceGlance() []panel {
	return []panel{
		{as: number, title: "Processes", unit: units.Short, atLeast: 1, alert: "CrmbridgeDown",
			about: "Processes that Prometheus reads. Fewer than you run: one has ended, or cannot be " +
				"reached.",
			queries: []query{{expr: `count(crmbridge_build_info{FLEET}) or vector(0)`}}},
		{as: number, title: "Ready", unit: units.Short, atLeast: 1, alert: "CrmbridgeNotReady",
			about: "Processes whose /readyz says ok. Fewer than there are: \"Readiness by check\" below " +
				"says what is missing.",
			queries: []query{{expr: `sum(min by (instance) (crmbridge_ready{PROCESS, check!~"streams|jobs"}))`}}},
		{as: number, title: "Requests", unit: units.RequestsPerSecond,
			about:   "Requests answered, whatever the answer.",
			queries: []query{{expr: rates("", `crmbridge_requests_total{PROCESS}`)}}},
		{as: number, title: "Failed answers", unit: units.PercentUnit, steps: steps{0.01, 0.05},
			alert: "CrmbridgeInternalErrors",
			about: "The part of all answers that failed through no fault of who asked: internal, " +
				"upstream_error, unavailable, overloaded, deadline_exceeded, configuration_error. More than " +
				"a percent for long: see \"Errors by code\".",
			queries: []query{{expr: share(`sum(rate(crmbridge_requests_total{PROCESS, `+failing+`}[$__rate_interval]))`,
				rates("", `crmbridge_requests_total{PROCESS}`))}}},
		{as: number, title: "Duration, p99", unit: units.Seconds, steps: steps{2.5, 10},
			alert: "CrmbridgeSlowRequests",
			about: "99 of 100 requests took less, from receipt to the last reply. Large answers are many " +
				"pages of Dataverse: compare with \"p99 by operation\".",
			queries: []query{{expr: percentile("0.99", "crmbridge_request_duration_seconds", ""), traces: true}}},
		{as: number, title: "Alerts that fire", unit: units.Short, steps: steps{1},
			about: "How many alerts of crmbridge fire, of every fleet that Prometheus knows. They are red " +
				"marks in all panels; the runbook has a section for each.",
			queries: []query{{expr: `count(ALERTS{alertname=~"Crmbridge.+", alertstate="firing"}) or vector(0)`}}},
	}
}

func serviceRequests() []panel {
	return []panel{
		{as: stacked, title: "Requests by operation", unit: units.RequestsPerSecond,
			about: "Requests answered; operations that nobody asks for are left out. A sudden rise of one " +
				"is a requester that has changed.",
			queries: []query{{expr: active("operation", `crmbridge_requests_total{PROCESS}`),
				legend: "{{operation}}"}}},
		{as: stacked, title: "Errors by code", unit: units.RequestsPerSecond, alert: "CrmbridgeUpstreamErrors",
			about: "Answers other than ok. invalid_request, not_found and the like are mistakes of " +
				"requesters; internal is one of crmbridge; upstream_error and unavailable come from an " +
				"environment, Entra, NATS or Redis; throttled from Dataverse's limits.",
			queries: []query{{expr: active("code", `crmbridge_requests_total{PROCESS, code!="ok"}`),
				legend: "{{code}}"}}},
		{title: "Duration", unit: units.Seconds, alert: "CrmbridgeSlowRequests",
			about: "Percentiles of the time from receipt to the last reply. Points are single requests: " +
				"they lead to their traces where requesters send a traceparent. Rising together with " +
				"\"Duration of calls\" of the dashboard Dataverse: the environment is slow; without it: " +
				"places, memory or tokens.",
			queries: percentiles("crmbridge_request_duration_seconds", true)},
		{title: "p99 by operation", unit: units.Seconds, alert: "CrmbridgeSlowRequests",
			about: "Which operation is slow. An operation that was not asked for has no point.",
			queries: []query{{
				expr:   percentile("0.99", "crmbridge_request_duration_seconds", "operation"),
				legend: "{{operation}}", traces: true,
			}}},
		{as: heat, title: "Durations over time", unit: units.Seconds,
			about: "How many requests took how long. Two bands are two kinds of requests; a band that moves " +
				"up is a change that percentiles hide.",
			queries: []query{{expr: increases("le", `crmbridge_request_duration_seconds_bucket{PROCESS}`),
				legend: "{{le}}", traces: true}}},
		{as: stacked, title: "Rows by operation", unit: units.RowsPerSecond,
			about: "Rows delivered. Many rows for few requests are exports: ask those who make them for " +
				"jobs.",
			queries: []query{{expr: active("operation", `crmbridge_rows_total{PROCESS}`),
				legend: "{{operation}}"}}},
	}
}

func servicePlaces() []panel {
	return []panel{
		{title: "Places in use, and requests that wait", unit: units.Short, alert: "CrmbridgeOverloaded",
			about: "Requests in flight (at most MAX_IN_FLIGHT in each process) and those that wait for a " +
				"place. Waiting while places are in use: more processes. Waiting while few are in use: one " +
				"connection asks for more than its share, or its environment hangs.",
			queries: []query{
				{expr: `sum(crmbridge_requests_in_flight{PROCESS})`, legend: "in flight"},
				{expr: `sum(crmbridge_requests_waiting{PROCESS})`, legend: "waiting"}}},
		{as: stacked, title: "Refused requests by reason", unit: units.RequestsPerSecond,
			alert: "CrmbridgeOverloaded",
			about: "Requests that were not executed. overloaded: too many wait. memory: MEMORY_BUDGET is " +
				"used up. deadline_exceeded: they waited too long. reply_subject: a requester's inbox is " +
				"not among REPLY_SUBJECTS, and it gets no answer. unavailable: the process stops.",
			queries: []query{{
				expr:   rates("reason", `crmbridge_requests_refused_total{PROCESS}`),
				legend: "{{reason}}",
			}}},
		{title: "Requests without an answer", unit: units.RequestsPerSecond, alert: "CrmbridgeRequestsDropped",
			about: "Should be 0. Dropped: they came faster than the process read them. Unanswered: refusals " +
				"came faster than NATS took them. Either way the process has too little CPU for the flood.",
			queries: []query{
				{expr: rates("", `crmbridge_nats_dropped_messages_total{PROCESS}`), legend: "dropped"},
				{expr: rates("", `crmbridge_unanswered_requests_total{PROCESS}`), legend: "unanswered"}}},
		{title: "Memory budget", unit: units.BytesIEC, alert: "CrmbridgeOverloaded",
			about: "What requests in flight hold of the part of MEMORY_BUDGET that is theirs, and what the " +
				"bodies of waiting requests hold. In use close to the budget for long: a larger budget and " +
				"container, or more processes.",
			queries: []query{
				{expr: `sum(crmbridge_memory_budget_bytes{PROCESS})`, legend: "budget"},
				{expr: `sum(crmbridge_memory_used_bytes{PROCESS})`, legend: "in use"},
				{expr: `sum(crmbridge_backlog_bytes{PROCESS})`, legend: "waiting requests"}}},
		{title: "Work that waits for memory", unit: units.Short,
			about: "Pieces of work that wait until others give memory back. Now and then is fine, for " +
				"long is a budget that is too small.",
			queries: []query{{expr: `sum(crmbridge_memory_waiting{PROCESS})`, legend: "waiting"}}},
		{title: "Waits and refusals for memory", unit: units.OpsPerSecond, alert: "CrmbridgeOverloaded",
			about: "How often work had to wait for memory, and how often it was refused: shortly before its " +
				"deadline the answer is overloaded.",
			queries: []query{
				{expr: rates("", `crmbridge_memory_waits_total{PROCESS}`), legend: "waited"},
				{expr: rates("", `crmbridge_memory_refusals_total{PROCESS}`), legend: "refused"}}},
	}
}

func serviceServers() []panel {
	return []panel{
		{as: history, title: "NATS by process", unit: units.Short,
			alert: "CrmbridgeNatsReconnecting", values: truth("connected", "away"),
			about: "Red: the process had no connection to NATS then, and answered nobody. One red: its " +
				"network; all red: NATS.",
			queries: []query{{
				expr:   `min by (instance) (min_over_time(crmbridge_nats_connected{PROCESS}[$__rate_interval]))`,
				legend: "{{instance}}",
			}}},
		{as: history, title: "Redis by process", unit: units.Short,
			alert: "CrmbridgeRedisAway", values: truth("works", "away"),
			about: "Red: Redis did not do what crmbridge needs, a write among it. Requests go on for up to " +
				"5 minutes with tokens that are in memory; nothing new can be connected or renewed.",
			queries: []query{{
				expr:   `min by (instance) (min_over_time(crmbridge_redis_up{PROCESS}[$__rate_interval]))`,
				legend: "{{instance}}",
			}}},
		{title: "Reconnects to NATS", unit: units.Short, alert: "CrmbridgeNatsReconnecting",
			about: "How often the connection was made again. A few at once: NATS was restarted. Again and " +
				"again: a network or a NATS server that is not well.",
			queries: []query{{
				expr:   increases("instance", `crmbridge_nats_reconnects_total{PROCESS}`),
				legend: "{{instance}}",
			}}},
		{title: "Subscriptions that NATS refuses", unit: units.Short, alert: "CrmbridgeSubscriptionRefused",
			about: "Should be 0. Requests on these subjects do not arrive here: /readyz?verbose names the " +
				"subject and the permission to add.",
			queries: []query{{
				expr:   `max by (instance) (crmbridge_nats_refused_subscriptions{PROCESS})`,
				legend: "{{instance}}",
			}}},
		{title: "Errors of Redis", unit: units.OpsPerSecond, alert: "CrmbridgeRedisAway",
			about: "Commands that Redis did not answer, or answered with an error. Single ones are " +
				"repeated; many at once are a Redis that is away or refuses.",
			queries: []query{{
				expr:   rates("instance", `crmbridge_redis_errors_total{PROCESS}`),
				legend: "{{instance}}",
			}}},
		{title: "Clock against Redis's", unit: units.Seconds,
			about: "This machine's clock less that of Redis, either way. More than 5 s: limits and times " +
				"of tokens are wrong; make both follow a time server.",
			queries: []query{{
				expr:   `max by (instance) (abs(crmbridge_clock_offset_seconds{PROCESS}))`,
				legend: "{{instance}}",
			}}},
	}
}

func serviceProcesses() []panel {
	return []panel{
		{as: history, title: "Readiness by check", unit: units.Short,
			alert: "CrmbridgeNotReady", values: truth("ready", "not ready"),
			about: "Each check of /readyz, in the worst of the processes; /readyz?verbose there has the " +
				"reason. draining: a process finishes its requests. streams and jobs: no jobs are run, and " +
				"requests are answered all the same.",
			queries: []query{{
				expr:   `min by (check) (min_over_time(crmbridge_ready{PROCESS}[$__rate_interval]))`,
				legend: "{{check}}",
			}}},
		{as: list, title: "Versions and uptime", unit: units.Seconds, alert: "CrmbridgeVersionsDiffer",
			about: "What runs where, and since when. Two versions for long: a rollout that does not end. An " +
				"uptime that begins anew: a process that was killed.",
			queries: []query{{expr: `max by (instance, version, revision, go) (crmbridge_build_info{PROCESS}) ` +
				`* on (instance) group_left () (time() - max by (instance) (process_start_time_seconds{PROCESS}))`}}},
		{title: "CPU", unit: units.Short,
			about: "Processor cores in use. Close to the container's limit: durations rise and requests " +
				"are dropped.",
			queries: []query{{
				expr:   rates("instance", `process_cpu_seconds_total{PROCESS}`),
				legend: "{{instance}}",
			}}},
		{title: "Memory of the process", unit: units.BytesIEC,
			about: "What the system counts (resident), and what Go's heap has of it. Resident may become " +
				"MEMORY_BUDGET and 80 MiB: a container whose limit is less is killed.",
			queries: []query{
				{expr: `max by (instance) (process_resident_memory_bytes{PROCESS})`, legend: "{{instance}} resident"},
				{expr: `max by (instance) (go_memstats_heap_inuse_bytes{PROCESS})`, legend: "{{instance}} heap"}}},
		{title: "Garbage collection", unit: units.PercentUnit,
			about: "The part of the used processor that the garbage collector takes. More than a quarter: " +
				"too little memory.",
			queries: []query{{expr: part(
				rates("instance", `go_cpu_classes_gc_total_cpu_seconds_total{PROCESS}`),
				"("+rates("instance", `go_cpu_classes_total_cpu_seconds_total{PROCESS}`)+" - "+
					rates("instance", `go_cpu_classes_idle_cpu_seconds_total{PROCESS}`)+")"), legend: "{{instance}}"}}},
		{title: "Goroutines", unit: units.Short,
			about: "Follows requests in flight. One that only rises is a fault of crmbridge: please " +
				"report it with a profile.",
			queries: []query{{expr: `max by (instance) (go_goroutines{PROCESS})`, legend: "{{instance}}"}}},
		{as: stacked, title: "Spans dropped by reason", unit: units.OpsPerSecond,
			about: "Spans that were not exported. queue_full: more than the collector takes, sample fewer; " +
				"export_failed: the collector is away; shutdown: a process ended before it had sent all. " +
				"Requests are not held up by any of it.",
			queries: []query{{
				expr:   rates("reason", `crmbridge_spans_dropped_total{PROCESS}`),
				legend: "{{reason}}",
			}}},
	}
}
