package boards

import "github.com/grafana/grafana-foundation-sdk/go/units"

// dataverse is what crmbridge asks of Dataverse and Entra, and what they allow.
func dataverse() Board {
	return Board{
		File: "dataverse.json", uid: "crmbridge-dataverse", title: "crmbridge: Dataverse",
		about: "Calls to Dataverse, its limits, tokens of Entra, and what caches save.",
		rows: []row{
			{"At a glance", dataverseGlance()},
			{"Calls", dataverseCalls()},
			{"Limits", dataverseLimits()},
			{"Tokens and caches", dataverseTokens()},
		},
	}
}

func dataverseGlance() []panel {
	return []panel{
		{as: number, title: "Calls", unit: units.RequestsPerSecond,
			about:   "HTTP requests to Dataverse, each attempt counted.",
			queries: []query{{expr: rates("", `crmbridge_dataverse_calls_total{PROCESS}`)}}},
		{as: number, title: "Failed calls", unit: units.PercentUnit, steps: steps{0.02, 0.1},
			alert: "CrmbridgeUpstreamErrors",
			about: "The part of all calls that were throttled, did not come through (unavailable) or failed " +
				"over there (upstream). Most are tried again.",
			queries: []query{{expr: share(
				rates("", `crmbridge_dataverse_calls_total{PROCESS, outcome=~"throttled|unavailable|upstream"}`),
				rates("", `crmbridge_dataverse_calls_total{PROCESS}`))}}},
		{as: number, title: "Duration of calls, p99", unit: units.Seconds, alert: "CrmbridgeSlowRequests",
			about:   "99 of 100 calls took less, with their body.",
			queries: []query{{expr: percentile("0.99", "crmbridge_dataverse_call_duration_seconds", "")}}},
		{as: number, title: "Users kept out", unit: units.Short, steps: steps{1}, alert: "CrmbridgeThrottled",
			about: "Users of active connections to whom Dataverse's limits let nothing through now, in the " +
				"whole fleet. `crmbridge status` names them with limit and time.",
			queries: []query{{expr: `max(crmbridge_users_blocked{FLEET})`}}},
		{as: number, title: "Circuit breakers open", unit: units.Short, steps: steps{1},
			alert: "CrmbridgeUpstreamErrors",
			about: "Connections whose environment does not answer, in the process that has most: it lets " +
				"one call through every two seconds. Nothing to do here: that environment is away.",
			queries: []query{{expr: `max(crmbridge_breakers_open{PROCESS})`}}},
		{as: number, title: "Received", unit: units.BytesPerSecondIEC,
			about: "Bytes of bodies received from Dataverse, after decompression.",
			queries: []query{{
				expr: rates("", `crmbridge_dataverse_received_bytes_total{PROCESS}`),
			}}},
	}
}

func dataverseCalls() []panel {
	return []panel{
		{as: stacked, title: "Calls by kind", unit: units.RequestsPerSecond,
			about: "What Dataverse is asked; kinds that are not asked are left out. Many calls of metadata: " +
				"see \"Hits of caches\".",
			queries: []query{{expr: active("call", `crmbridge_dataverse_calls_total{PROCESS}`),
				legend: "{{call}}"}}},
		{as: stacked, title: "Calls by outcome", unit: units.RequestsPerSecond,
			about: "What became of them. unauthorized once in a while is a token that was taken back and " +
				"renewed; the outcome of challenge always is.",
			queries: []query{{expr: active("outcome", `crmbridge_dataverse_calls_total{PROCESS}`),
				legend: "{{outcome}}"}}},
		{as: stacked, title: "Reasons why calls failed", unit: units.RequestsPerSecond,
			alert: "CrmbridgeUpstreamErrors",
			about: "Calls that did not end well, by kind and outcome, most first; cancelled ones have lost " +
				"their requester. One kind alone is a query or a privilege; all kinds are the environment.",
			queries: []query{{
				expr: named("topk(10, "+
					rates("outcome, call", `crmbridge_dataverse_calls_total{PROCESS, outcome!="ok"}`)+
					" > 0)", "outcome"),
				legend: "{{call}} {{outcome}}"}}},
		{title: "Duration of calls", unit: units.Seconds, alert: "CrmbridgeSlowRequests",
			about: "Percentiles of one HTTP request with its body. Rising for all kinds: the environment, " +
				"or the way to it.",
			queries: percentiles("crmbridge_dataverse_call_duration_seconds", false)},
		{title: "p99 by kind of call", unit: units.Seconds,
			about: "Which call is slow. Pages of wide rows, and filters within texts, are slow by nature: " +
				"ask for fewer fields.",
			queries: []query{{
				expr:   percentile("0.99", "crmbridge_dataverse_call_duration_seconds", "call"),
				legend: "{{call}}",
			}}},
		{title: "Received bytes", unit: units.BytesPerSecondIEC,
			about: "Bytes of bodies received from Dataverse, after decompression, by process.",
			queries: []query{{
				expr:   rates("instance", `crmbridge_dataverse_received_bytes_total{PROCESS}`),
				legend: "{{instance}}",
			}}},
	}
}

func dataverseLimits() []panel {
	return []panel{
		{as: stacked, title: "Throttles by limit", unit: units.RequestsPerSecond, alert: "CrmbridgeThrottled",
			about: "Refusals by a service protection limit: requests and time (of 5 minutes) and " +
				"concurrency (at once), of one user each. After the first one nothing is sent for that user " +
				"until Dataverse's time is over, so that each point is one user at one moment.",
			queries: []query{{
				expr:   rates("limit", `crmbridge_dataverse_limits_total{PROCESS}`),
				legend: "{{limit}}",
			}}},
		{as: history, title: "Hot windows", unit: units.Short, steps: steps{0.5, 5}, least: "5m",
			alert: "CrmbridgeThrottled",
			about: "Refusals in each window of 5 minutes, in which Dataverse counts (longer ones where the " +
				"chosen time is long): green none, yellow some, red five and more. A pattern over hours is " +
				"a job or a campaign that runs then: move it, or connect another user.",
			queries: []query{{
				expr:   `sum by (limit) (increase(crmbridge_dataverse_limits_total{PROCESS}[$__interval]))`,
				legend: "{{limit}}",
			}}},
		{title: "Users kept out", unit: units.Short, alert: "CrmbridgeThrottled",
			about: "Users whom Dataverse's limits keep out now, in the whole fleet. Their requests are " +
				"throttled, their jobs wait.",
			queries: []query{{expr: `max(crmbridge_users_blocked{FLEET})`, legend: "users"}}},
		{as: stacked, title: "Throttled answers by operation", unit: units.RequestsPerSecond,
			alert: "CrmbridgeThrottled",
			about: "Requests that were answered with throttled: Dataverse's limits of the user, or the " +
				"customer's own daily_calls (`crmbridge connections limits ID` says which).",
			queries: []query{{expr: active("operation", `crmbridge_requests_total{PROCESS, code="throttled"}`),
				legend: "{{operation}}"}}},
		{title: "Requests that remain", unit: units.Short,
			about: "What Dataverse said last was left of a user's 6,000 requests in 5 minutes: the least of " +
				"all processes, for whichever user they asked for last. Close to 0: throttles come.",
			queries: []query{{
				expr:   `min by (limit) (crmbridge_dataverse_limit_remaining{PROCESS, limit="requests"} >= 0)`,
				legend: "{{limit}}",
			}}},
		{title: "Execution time that remains", unit: units.Seconds,
			about: "The same for a user's 20 minutes of execution in 5 minutes. Close to 0 while requests " +
				"remain: few, expensive queries.",
			queries: []query{{
				expr:   `min by (limit) (crmbridge_dataverse_limit_remaining{PROCESS, limit="seconds"} >= 0)`,
				legend: "{{limit}}",
			}}},
		{title: "Waits for a slot", unit: units.Seconds,
			about: "How long calls waited for one of their user's USER_CONCURRENCY slots, of those that had " +
				"to wait; 0 where none did. Long waits: one user is asked for more than USER_CONCURRENCY " +
				"lets through at once.",
			queries: orZero(percentiles("crmbridge_dataverse_queue_seconds", false))},
		{as: heat, title: "Waits for a slot over time", unit: units.Seconds,
			about: "How many calls waited how long: the hours in which slots are short.",
			queries: []query{{
				expr:   increases("le", `crmbridge_dataverse_queue_seconds_bucket{PROCESS}`),
				legend: "{{le}}",
			}}},
	}
}

func dataverseTokens() []panel {
	return []panel{
		{as: stacked, title: "Token requests by grant and code", unit: units.RequestsPerSecond,
			alert: "CrmbridgeConfigurationError",
			about: "What Entra was asked for, and what it said. configuration_error: the secret or " +
				"certificate has ended, or the registration is wrong; throttled and unavailable: Entra, for " +
				"all connections of a directory.",
			queries: []query{{expr: active("code, grant", `crmbridge_token_requests_total{PROCESS}`),
				legend: "{{grant}} {{code}}"}}},
		{as: stacked, title: "Refreshes by verdict", unit: units.OpsPerSecond,
			alert: "CrmbridgeReauthorizationRequired",
			about: "What came of renewing access tokens. reauthorization_required and consent_required: a " +
				"person has to connect again; unavailable and throttled are tried again by themselves.",
			queries: []query{{
				expr:   rates("verdict", `crmbridge_refreshes_total{PROCESS}`),
				legend: "{{verdict}}",
			}}},
		{title: "Waits for a token", unit: units.Seconds, alert: "CrmbridgeRefreshOverdue",
			about: "How long requests waited for a new access token, of those that had to; 0 where none " +
				"did, which is the rule: tokens are renewed before they end.",
			queries: orZero(percentiles("crmbridge_token_wait_seconds", false))},
		{title: "Hits of caches", unit: units.PercentUnit,
			about: "The part of looks that a cache answered: token (close to 100 %), metadata (close to 100 " +
				"% after a start), coalesced (pages that a call under way for the same page served; 0 % " +
				"where no two ask for the same). A cache that nobody looked into has no point.",
			queries: []query{{expr: part(
				rates("cache", `crmbridge_cache_requests_total{PROCESS, outcome="hit"}`),
				rates("cache", `crmbridge_cache_requests_total{PROCESS}`)), legend: "{{cache}}"}}},
		{as: stacked, title: "Looks into caches", unit: units.OpsPerSecond,
			about: "What the percentages beside are of. Misses of metadata that go on: many environments, " +
				"or too little memory to keep them.",
			queries: []query{{expr: rates("cache, outcome", `crmbridge_cache_requests_total{PROCESS}`),
				legend: "{{cache}} {{outcome}}"}}},
		{title: "Circuit breakers open", unit: units.Short, alert: "CrmbridgeUpstreamErrors",
			about: "Connections whose environment does not answer, by process. One process alone: its way " +
				"to that environment.",
			queries: []query{{expr: `max by (instance) (crmbridge_breakers_open{PROCESS})`, legend: "{{instance}}"}}},
	}
}
