package check

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A fault is what Prometheus reads when something goes wrong, for promtool: series by name with
// samples every 15 s ("0x39 1x200": forty times 0, then 1), and when the alert's expression
// begins to hold.
type fault struct {
	alert   string
	series  samples
	onset   time.Duration
	summary string            // the one of the alert at the first moment at which it fires
	labels  map[string]string // besides the severity
	over    time.Duration     // when it is silent again, if it ends by itself
}

// tenMinutes is when a fault begins with the fortieth sample.
const tenMinutes = 10 * time.Minute

// samples are what promtool gives to series, by name.
type samples map[string]string

// onA are the labels of the process that most faults are of, in an alert.
var onA = map[string]string{"instance": "a:8081", "job": "crmbridge"}

// of is a series of that process, and onB one of another.
func of(name string, labels ...string) string  { return series(name, "a", labels) }
func onB(name string, labels ...string) string { return series(name, "b", labels) }

func series(name, process string, labels []string) string {
	labels = append(slices.Clone(labels), fmt.Sprintf(`instance="%s:8081"`, process), `job="crmbridge"`)
	return name + "{" + strings.Join(labels, ", ") + "}"
}

func requests(operation, code string) string {
	return of("crmbridge_requests_total", fmt.Sprintf("operation=%q, code=%q", operation, code))
}

func took(operation, bound string) string {
	return of("crmbridge_request_duration_seconds_bucket", fmt.Sprintf("operation=%q, le=%q", operation, bound))
}

// faultsOfAlerts has at least one for each alert. Beside what goes wrong most have a process or a
// label that is well.
func faultsOfAlerts() []fault {
	return []fault{
		{alert: "CrmbridgeDown", onset: tenMinutes, labels: onA,
			series: samples{
				of("up"):  "1x39 0x200",
				onB("up"): "1x240",
			},
			summary: "Prometheus reads no metrics of crmbridge a:8081"},
		{alert: "CrmbridgeDown", onset: 0, labels: map[string]string{"job": "crmbridge"},
			series:  samples{`up{instance="n:8222", job="nats"}`: "1x240"},
			summary: "Prometheus reads no metrics of crmbridge "},
		{alert: "CrmbridgeNotReady", onset: tenMinutes,
			labels: map[string]string{"instance": "a:8081", "job": "crmbridge", "check": "redis"},
			series: samples{
				of("crmbridge_ready", `check="redis"`):    "1x39 0x200",
				of("crmbridge_ready", `check="draining"`): "0x240",
				of("crmbridge_ready", `check="nats"`):     "1x240",
				of("crmbridge_ready", `check="jobs"`):     "0x240", // from the beginning: there is no JetStream
				of("crmbridge_ready", `check="streams"`):  "0x240",
			},
			summary: "crmbridge a:8081 is not ready: redis"},
		{alert: "CrmbridgeNoJobs", onset: tenMinutes,
			labels: map[string]string{"job": "crmbridge", "check": "streams"},
			series: samples{
				of("crmbridge_ready", `check="streams"`):  "1x39 0x200",
				of("crmbridge_ready", `check="jobs"`):     "1x240",
				onB("crmbridge_ready", `check="streams"`): "1x240",
				onB("crmbridge_ready", `check="jobs"`):    "1x240",
			},
			summary: "crmbridge runs no jobs, or not in every process: streams"},
		{alert: "CrmbridgeSubscriptionRefused", onset: tenMinutes, labels: onA,
			series:  samples{of("crmbridge_nats_refused_subscriptions"): "0x39 2x200"},
			summary: "NATS refuses subscriptions of crmbridge a:8081: 2"},
		{alert: "CrmbridgeNatsReconnecting", onset: tenMinutes, labels: onA,
			series: samples{
				of("crmbridge_nats_connected"):        "1x39 0x200",
				of("crmbridge_nats_reconnects_total"): "0x240",
			},
			summary: "crmbridge a:8081 has no lasting connection to NATS"},
		{alert: "CrmbridgeNatsReconnecting", onset: 20 * time.Minute, labels: onA, // six within 15 minutes, no more
			series: samples{
				of("crmbridge_nats_connected"):        "1x240",
				of("crmbridge_nats_reconnects_total"): "0x59 1x3 2x3 3x3 4x3 5x3 6x200",
			},
			summary: "crmbridge a:8081 has no lasting connection to NATS", over: 36 * time.Minute},
		{alert: "CrmbridgeRedisAway", onset: tenMinutes, labels: onA,
			series:  samples{of("crmbridge_redis_up"): "1x39 0x200"},
			summary: "Redis does not do what crmbridge a:8081 needs"},
		{alert: "CrmbridgeInternalErrors", onset: tenMinutes,
			labels: map[string]string{"job": "crmbridge", "operation": "accounts.get"},
			series: samples{
				requests("accounts.get", "internal"): "0x39 1x200",
				requests("leads.get", "internal"):    "7x240",
				requests("accounts.get", "ok"):       "0+15x240",
			},
			summary: "crmbridge answers accounts.get with internal errors", over: 25*time.Minute + every},
		{alert: "CrmbridgeUpstreamErrors", onset: tenMinutes,
			series: samples{
				requests("accounts.get", "upstream_error"): "0x39 15+15x200",
				requests("leads.get", "unavailable"):       "0x39 15+15x200",
				requests("accounts.get", "ok"):             "0+15x240",
			},
			summary: "66.67% of all requests fail because of Dataverse or Entra ID"},
		{alert: "CrmbridgeSlowRequests", onset: tenMinutes,
			labels: map[string]string{"job": "crmbridge", "operation": "accounts.search"},
			series: samples{
				took("accounts.search", "2.5"):    "0+10x39 390x200",
				took("accounts.search", "10"):     "0+10x39 390x200",
				took("accounts.search", "60"):     "0+10x240",
				took("accounts.search", "+Inf"):   "0+10x240",
				took("connections.check", "10"):   "0x240",
				took("connections.check", "+Inf"): "0+10x240",
			},
			summary: "one in a hundred accounts.search takes more than 10 s"},
		{alert: "CrmbridgeOverloaded", onset: tenMinutes,
			series: samples{
				requests("accounts.get", "overloaded"): "0x39 15+15x200",
				requests("accounts.get", "ok"):         "0+15x240",
			},
			summary: "crmbridge refuses 50% of all requests: too many wait, or memory is short"},
		{alert: "CrmbridgeRequestsDropped", onset: tenMinutes, labels: onA,
			series: samples{
				of("crmbridge_nats_dropped_messages_total"): "0x39 3x200",
				of("crmbridge_unanswered_requests_total"):   "0x240",
			},
			summary: "requests to crmbridge a:8081 got no answer at all", over: 20*time.Minute + every},
		{alert: "CrmbridgeThrottled", onset: tenMinutes,
			series: samples{
				of("crmbridge_users_blocked"):                      "2x39 3x200", // of 100 active ones, two always are
				onB("crmbridge_users_blocked"):                     "0x240",
				of("crmbridge_connections", `status="active"`):     "100x240",
				of("crmbridge_connections", `status="unreadable"`): "1x240",
				onB("crmbridge_connections", `status="active"`):    "0x240",
			},
			summary: "limits of Dataverse, or daily_calls, keep out 3% of users or requests"},
		{alert: "CrmbridgeThrottled", onset: tenMinutes,
			series: samples{
				requests("accounts.get", "throttled"): "0x39 30+30x200",
				requests("accounts.get", "ok"):        "0+15x240",
				of("crmbridge_users_blocked"):         "0x240",
			},
			summary: "limits of Dataverse, or daily_calls, keep out 66.67% of users or requests"},
		{alert: "CrmbridgeConfigurationError", onset: tenMinutes,
			series: samples{
				of("crmbridge_refreshes_total", `verdict="configuration_error"`): "0x39 1x200",
				of("crmbridge_refreshes_total", `verdict="ok"`):                  "100x240",
				requests("accounts.get", "configuration_error"):                  "4x240",
				requests("accounts.get", "ok"):                                   "100x240",
			},
			summary: "Entra ID or Dataverse refuses crmbridge's own set-up: 100% of refreshes or requests",
			over:    25*time.Minute + every},
		{alert: "CrmbridgeConfigurationError", onset: tenMinutes,
			series: samples{
				requests("accounts.get", "configuration_error"): "0x39 40+10x200",
				requests("accounts.get", "ok"):                  "0+15x39 585+5x200",
			},
			summary: "Entra ID or Dataverse refuses crmbridge's own set-up: 16.11% of refreshes or requests"},
		{alert: "CrmbridgeRefreshOverdue", onset: tenMinutes,
			series:  samples{of("crmbridge_refresh_overdue_seconds"): "0x39 615+15x200"},
			summary: "tokens are not renewed: the oldest is 15m 15s late"},
		{alert: "CrmbridgeReauthorizationRequired", onset: 70 * time.Minute,
			series: samples{
				of("crmbridge_connections", `status="reauthorization_required"`):  "2x279 3x300",
				of("crmbridge_connections", `status="active"`):                    "100x600",
				onB("crmbridge_connections", `status="reauthorization_required"`): "0x600",
				onB("crmbridge_connections", `status="active"`):                   "0x600",
			},
			summary: "connections that wait for a person to sign in again: 3, more than an hour ago", over: 130 * time.Minute},
		{alert: "CrmbridgeCertificateEnds", onset: tenMinutes,
			series: samples{
				of("crmbridge_certificate_expires_seconds"):  "2592585-15x240",
				onB("crmbridge_certificate_expires_seconds"): strings.Repeat("Inf ", 100),
			},
			summary: "the client certificate ends in 29d 23h 49m 45s"},
		{alert: "CrmbridgeJobsStuck", onset: tenMinutes,
			series: samples{
				of("crmbridge_jobs_oldest_seconds"): "3015+15x240",
				of("crmbridge_jobs_runnable"):       "4x240",
			},
			summary: "a job has waited for 1h 10m 15s, although jobs could run"},
		{alert: "CrmbridgeDeadJobs", onset: tenMinutes,
			series:  samples{of("crmbridge_dead_jobs"): "0x39 1x200"},
			summary: "jobs that failed and that somebody has to retry or delete: 1"},
		{alert: "CrmbridgeVersionsDiffer", onset: tenMinutes,
			series: samples{
				of("crmbridge_build_info", `version="1.12.0", revision="11", go="go1.26.8"`):  "1x400",
				onB("crmbridge_build_info", `version="1.13.0", revision="12", go="go1.26.8"`): "_x40 1x400",
			},
			summary: "versions of crmbridge that have run side by side for an hour: 2"},
	}
}
