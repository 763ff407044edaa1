package rules

import (
	"slices"
	"strings"
	"time"
)

// An Alert is one rule.
type Alert struct {
	Name string
	// Expr is PromQL in which every time is written as a duration, thresholds too: "> 1h" for
	// 3600 s. These are what Render scales; plain numbers stay as they are.
	Expr     string
	For      time.Duration // how long Expr must hold
	Severity Severity
	Summary  string // may name labels of the result: {{ $labels.instance }}
	// Reason says why the thresholds are what they are. It becomes a comment in the file of rules.
	Reason string
}

// A Severity says how soon somebody must look.
type Severity string

// Critical alerts are for the night: requests are not answered, or soon will not be. Warnings
// are for the next morning.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

// Runbook is the file with a section for each alert.
const Runbook = "deploy/RUNBOOK.md"

// RunbookURL is the address of the alert's section.
func (a Alert) RunbookURL() string {
	return "https://github.com/crmbridge/crmbridge/blob/main/" + Runbook + "#" + a.Anchor()
}

// Anchor is the alert's section in the runbook: its heading, which is its name, as an address.
func (a Alert) Anchor() string { return strings.ToLower(a.Name) }

// Alerts lists every alert, most of them in the order in which they explain one another: what
// stands above is looked at first.
func Alerts() []Alert { return slices.Clone(table) }

// What holds for all of it:
//
//   - What every process shows alike is read with max, so that a process that does not know it
//     yet, or no more, and shows 0, changes nothing. Of what each process has of its own those
//     that tell of one process keep its labels: somebody has to find it.
//   - What is added up is one fleet's: the processes of a job, and of a namespace where the
//     targets have one, so that a trial beside it under another job or in another namespace is
//     no second version of it.
//   - Nothing fires because a process starts, or because all are replaced one after the other:
//     gauges begin with 0 there until the first look, which takes seconds, so that "for" is
//     minutes. Counters begin with 0 before the first event, so that the first error counts.
//   - A part of all requests is looked at over less time than "for": one error on a quiet day is
//     a large part of few requests, and is past before the alert fires. Where there are no
//     requests the part is NaN, which is above nothing.
var table = []Alert{
	{
		Name: "CrmbridgeDown",
		Expr: `up{job="crmbridge"} == 0 or absent(up{job="crmbridge"})`,
		For:  5 * time.Minute, Severity: Critical,
		Summary: "Prometheus reads no metrics of crmbridge {{ $labels.instance }}",
		Reason: "A restart takes seconds, and a replaced process is no target any more. Five minutes are a process " +
			"that does not come back, one whose restarts Kubernetes spaces out because they fail, or a monitoring that " +
			"sees none at all.",
	},
	{
		Name: "CrmbridgeNotReady",
		Expr: `crmbridge_ready{check!~"draining|streams|jobs"} == 0`,
		For:  5 * time.Minute, Severity: Critical,
		Summary: "crmbridge {{ $labels.instance }} is not ready: {{ $labels.check }}",
		Reason: "A process that starts is not ready for seconds, and a fail-over of NATS or Redis takes less than a " +
			"minute. One that stops is not ready on purpose. Without streams and jobs requests are answered: that is " +
			"the next alert.",
	},
	{
		Name: "CrmbridgeNoJobs",
		Expr: `min by (job, namespace, check) (crmbridge_ready{check=~"streams|jobs"}) == 0 and on (job, namespace) ` +
			`max by (job, namespace) (max_over_time(crmbridge_ready{check="jobs"}[1w])) == 1`,
		For: 5 * time.Minute, Severity: Warning,
		Summary: "crmbridge runs no jobs, or not in every process: {{ $labels.check }}",
		Reason: "Requests are answered meanwhile, and a job that was accepted waits. An election of JetStream's " +
			"leaders takes seconds. A fleet that has run no jobs for a week has no JetStream, which is allowed, or was " +
			"never set up for them, which doctor says.",
	},
	{
		Name: "CrmbridgeSubscriptionRefused",
		Expr: `crmbridge_nats_refused_subscriptions > 0`,
		For:  2 * time.Minute, Severity: Critical,
		Summary: "NATS refuses subscriptions of crmbridge {{ $labels.instance }}: {{ $value }}",
		Reason: "A refused subscription is made again until it holds, so that two minutes outlast a reload of the " +
			"server's permissions. Requests on its subjects get no answer from this process meanwhile.",
	},
	{
		Name: "CrmbridgeNatsReconnecting",
		Expr: `crmbridge_nats_connected == 0 or increase(crmbridge_nats_reconnects_total[15m]) > 5`,
		For:  2 * time.Minute, Severity: Warning,
		Summary: "crmbridge {{ $labels.instance }} has no lasting connection to NATS",
		Reason: "Replacing the servers of a cluster one after the other costs each client a reconnect a server, " +
			"three as a rule and within seconds. More than five in a quarter of an hour are a network or a server " +
			"that does not hold.",
	},
	{
		Name: "CrmbridgeRedisAway",
		Expr: `crmbridge_redis_up == 0`,
		For:  2 * time.Minute, Severity: Critical,
		Summary: "Redis does not do what crmbridge {{ $labels.instance }} needs",
		Reason: "Redis is tried every 15 s, and a fail-over by Sentinel or a cluster takes about half a minute. " +
			"Requests whose token a process holds go on for five minutes, so that this comes before the worst.",
	},
	{
		Name: "CrmbridgeInternalErrors",
		Expr: `sum by (job, namespace, operation) (increase(crmbridge_requests_total{code="internal"}[15m])) > 0`,
		For:  time.Minute, Severity: Warning,
		Summary: "crmbridge answers {{ $labels.operation }} with internal errors",
		Reason: "An internal error is a defect of crmbridge, so that one is enough. It is shown for a quarter of an " +
			"hour, which is long enough to be noticed.",
	},
	{
		Name: "CrmbridgeUpstreamErrors",
		Expr: `sum by (job, namespace) (rate(crmbridge_requests_total{code=~"upstream_error|unavailable"}[5m])) / ` +
			`sum by (job, namespace) (rate(crmbridge_requests_total[5m])) > 0.05`,
		For: 10 * time.Minute, Severity: Warning,
		Summary: "{{ $value | humanizePercentage }} of all requests fail because of Dataverse or Entra ID",
		Reason: "Dataverse answers a call in some thousands with an error, and each is tried again before the " +
			"requester hears of it. One request in twenty for ten minutes is an outage, of one large tenant at the " +
			"least; Microsoft's maintenance restarts are shorter.",
	},
	{
		Name: "CrmbridgeSlowRequests",
		Expr: `histogram_quantile(0.99, sum by (job, namespace, operation, le) ` +
			`(rate(crmbridge_request_duration_seconds_bucket{operation!~"connections[.].*"}[10m]))) > 10`,
		For: 15 * time.Minute, Severity: Warning,
		Summary: "one in a hundred {{ $labels.operation }} takes more than 10 s",
		Reason: "10 s are a third of the time that a request has unless its requester gives it more, and a bound of " +
			"the histogram, so that the figure is exact. They stay 10 s where times are scaled: answers do not get " +
			"faster. Operations on connections wait for people and try permissions one by one; they may take long.",
	},
	{
		Name: "CrmbridgeOverloaded",
		Expr: `sum by (job, namespace) (rate(crmbridge_requests_total{code="overloaded"}[5m])) / ` +
			`sum by (job, namespace) (rate(crmbridge_requests_total[5m])) > 0.01`,
		For: 10 * time.Minute, Severity: Warning,
		Summary: "crmbridge refuses {{ $value | humanizePercentage }} of all requests: too many wait, or memory is short",
		Reason: "A burst of one requester is refused in part, and should be. One request in a hundred for ten minutes " +
			"is more work than there are slots or memory for.",
	},
	{
		Name: "CrmbridgeRequestsDropped",
		Expr: `increase(crmbridge_nats_dropped_messages_total[10m]) + ` +
			`increase(crmbridge_unanswered_requests_total[10m]) > 0`,
		For: time.Minute, Severity: Warning,
		Summary: "requests to crmbridge {{ $labels.instance }} got no answer at all",
		Reason: "A requester who gets no answer waits until its own deadline, so that one such request is too many. " +
			"None is dropped while the process gets the CPU that it asks for.",
	},
	{
		Name: "CrmbridgeThrottled",
		Expr: `max by (job, namespace) (crmbridge_users_blocked) / ` +
			`max by (job, namespace) (crmbridge_connections{status="active"}) > 0.02 or ` +
			`sum by (job, namespace) (rate(crmbridge_requests_total{code="throttled"}[5m])) / ` +
			`sum by (job, namespace) (rate(crmbridge_requests_total[5m])) > 0.05`,
		For: 30 * time.Minute, Severity: Warning,
		Summary: "limits of Dataverse, or daily_calls, keep out {{ $value | humanizePercentage }} of users or requests",
		Reason: "Dataverse's windows are five minutes, and after ten at the most one call is tried. Half an hour is " +
			"somebody who asks for more than the limits allow, again and again. Of thousands of connections one or " +
			"another always does, and its requesters are told: two in a hundred are more than that, and in a fleet of " +
			"up to fifty one is.",
	},
	{
		Name: "CrmbridgeConfigurationError",
		Expr: `sum by (job, namespace) (increase(crmbridge_refreshes_total{verdict="configuration_error"}[15m])) / ` +
			`sum by (job, namespace) (increase(crmbridge_refreshes_total[15m])) > 0.2 or ` +
			`sum by (job, namespace) (increase(crmbridge_requests_total{code="configuration_error"}[15m])) / ` +
			`sum by (job, namespace) (increase(crmbridge_requests_total[15m])) > 0.05`,
		For: 2 * time.Minute, Severity: Critical,
		Summary: "Entra ID or Dataverse refuses crmbridge's own set-up: " +
			"{{ $value | humanizePercentage }} of refreshes or requests",
		Reason: "It does not mend itself: the client secret or certificate has ended, or the application is disabled, " +
			"and within an hour each connection needs a token. Where one customer of many has removed the application, " +
			"requests of that connection say so, and nobody has to get up: one refresh in five, or one request in " +
			"twenty, is the set-up of all, or of a large part.",
	},
	{
		Name: "CrmbridgeRefreshOverdue",
		Expr: `max by (job, namespace) (crmbridge_refresh_overdue_seconds) > 10m`,
		For:  5 * time.Minute, Severity: Warning,
		Summary: "tokens are not renewed: the oldest is {{ $value | humanizeDuration }} late",
		Reason: "The token of a connection in use is renewed five minutes before its end at the latest. Ten minutes " +
			"late is one that has ended, and requests wait for it. A connection that is asked for the first time in " +
			"a day is late for seconds.",
	},
	{
		Name: "CrmbridgeReauthorizationRequired",
		Expr: `max by (job, namespace) (crmbridge_connections{status="reauthorization_required"}) > ` +
			`(max by (job, namespace) (crmbridge_connections{status="reauthorization_required"} offset 1h) and ` +
			`sum by (job, namespace) (crmbridge_connections offset 1h) > 0)`,
		For: 5 * time.Minute, Severity: Warning,
		Summary: "connections that wait for a person to sign in again: {{ $value }}, more than an hour ago",
		Reason: "One that stays so is known; one more is news, for an hour. A moment at which no process knew of any " +
			"connection, because it had just begun or Redis was away, is nothing to compare with.",
	},
	{
		Name: "CrmbridgeCertificateEnds",
		Expr: `min by (job, namespace) (crmbridge_certificate_expires_seconds) < 30d`,
		For:  10 * time.Minute, Severity: Warning,
		Summary: "the client certificate ends in {{ $value | humanizeDuration }}",
		Reason: "Thirty days are time to have a certificate made and registered in two organizations, and are when " +
			"the log begins to warn. Without a certificate the figure is +Inf.",
	},
	{
		Name: "CrmbridgeJobsStuck",
		Expr: `max by (job, namespace) (crmbridge_jobs_oldest_seconds) > 1h and ` +
			`max by (job, namespace) (crmbridge_jobs_runnable) > 0`,
		For: 10 * time.Minute, Severity: Warning,
		Summary: "a job has waited for {{ $value | humanizeDuration }}, although jobs could run",
		Reason: "A job begins within seconds where there is a slot. After an hour either slots are missing or no " +
			"process takes jobs; jobs of users whom Dataverse keeps out are not runnable and are none of it.",
	},
	{
		Name: "CrmbridgeDeadJobs",
		Expr: `max by (job, namespace) (crmbridge_dead_jobs) > 0`,
		For:  5 * time.Minute, Severity: Warning,
		Summary: "jobs that failed and that somebody has to retry or delete: {{ $value }}",
		Reason: "A job is tried again by itself for as long as that can help. What is dead needs a decision, and the " +
			"alert lasts until it is made.",
	},
	{
		Name: "CrmbridgeVersionsDiffer",
		Expr: `count by (job, namespace) (count by (job, namespace, version, revision) (crmbridge_build_info)) > 1`,
		For:  time.Hour, Severity: Warning,
		Summary: "versions of crmbridge that have run side by side for an hour: {{ $value }}",
		Reason: "Replacing a fleet process by process takes minutes; an hour is a rollout that stands still. Versions " +
			"understand one another, but what the newer one brings is not there for all.",
	},
}
