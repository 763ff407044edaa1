package check

import "fmt"

// A fleet gathers the series of three processes. The first is there for two hours, the second for
// one, and the third comes after that. A sample is every 15 s, so that 240 are an hour.
type fleet struct{ samples samples }

// each gives each process its own samples of a metric.
func (f fleet) each(metric, first, second, third string, labels ...string) {
	f.samples[series(metric, "a", labels)] = first + " stale"
	f.samples[series(metric, "b", labels)] = second + " stale"
	f.samples[series(metric, "c", labels)] = "_x240 " + third
}

// first gives samples to the first process alone; for the others the metric stands still.
func (f fleet) first(metric, first string, labels ...string) {
	f.each(metric, first, "0x239", "0x481", labels...)
}

// still gives all the same value from beginning to end.
func (f fleet) still(metric, value string, labels ...string) {
	f.each(metric, value+"x479", value+"x239", value+"x481", labels...)
}

// calm is a fleet that is well for three hours: two processes, of which one is replaced after an
// hour and the other after two, a Redis and three NATS servers that fail over, a burst that is
// refused in part, a user who is kept out for ten minutes, connections that needed their person
// yesterday already and that nobody knows of for ten minutes, one error on a quiet day, and
// nothing to do at all in the last hour. Of its hundreds of users some are always kept out, and one
// customer has taken back what it allowed the application.
func calm() samples {
	f := fleet{samples{}}
	const first, second, third = "1x479", "1x239", "0x1 1x479" // gauges of what starts are 0 at first
	f.each("up", first, second, third)
	for _, check := range []string{"nats", "subscriptions", "jetstream", "streams", "jobs", "redis"} {
		f.each("crmbridge_ready", first, second, third, fmt.Sprintf("check=%q", check))
	}
	f.each("crmbridge_ready", "1x475 0x3", "1x235 0x3", "1x481", `check="draining"`)
	f.still("crmbridge_nats_refused_subscriptions", "0")
	f.each("crmbridge_nats_connected", "1x20 0 1x30 0 1x30 0 1x394", second, third)
	f.first("crmbridge_nats_reconnects_total", "0x20 1x31 2x31 3x395")
	f.each("crmbridge_redis_up", "1x99 0x2 1x376", "1x99 0x2 1x136", third)
	for code, count := range map[string]string{"ok": "0+15x239 3585x239", "upstream_error": "0x349 1x129",
		"throttled": "0x79 1+1x39 40x359", "overloaded": "0x159 20x1 40x317",
		"internal": "0x479", "unavailable": "0x479", "configuration_error": "0x479"} {
		f.first("crmbridge_requests_total", count, fmt.Sprintf(`operation="accounts.search", code=%q`, code))
	}
	for bound, count := range map[string]string{"2.5": "0+15x239 3584x239", "10": "0+15x239 3584x239",
		"+Inf": "0+15x239 3585x239"} { // one of all is slow
		f.first("crmbridge_request_duration_seconds_bucket", count,
			fmt.Sprintf(`operation="accounts.search", le=%q`, bound))
	}
	f.still("crmbridge_nats_dropped_messages_total", "0")
	f.still("crmbridge_unanswered_requests_total", "0")
	f.each("crmbridge_users_blocked", "2x79 20x39 2x359", "2x79 20x39 2x119", "0x1 2x479")
	f.first("crmbridge_refreshes_total", "0+1x479", `verdict="ok"`)
	f.first("crmbridge_refreshes_total", "0x99 1+0.02x379", `verdict="configuration_error"`)
	f.first("crmbridge_refresh_overdue_seconds", "0x19 80000 12 0x457") // one is asked for after a day
	for status, n := range map[string]string{"active": "900", "reauthorization_required": "2"} {
		f.each("crmbridge_connections", n+"x99 0x39 "+n+"x339", n+"x99 0x39 "+n+"x99", "0x1 "+n+"x479",
			fmt.Sprintf("status=%q", status))
	}
	f.still("crmbridge_certificate_expires_seconds", "2600000")
	f.each("crmbridge_jobs_oldest_seconds", "0+15x239 0x239", "0+15x239", "0x481")
	f.each("crmbridge_jobs_runnable", "4x239 0x239", "4x239", "0x481")
	f.still("crmbridge_dead_jobs", "0")
	f.each("crmbridge_build_info", first, second, "_x481", `version="1.12.0", revision="11", go="go1.26.8"`)
	f.each("crmbridge_build_info", "_x479", "_x239", "_x240 1x240", `version="1.12.1", revision="12", go="go1.26.8"`)
	return f.samples
}

// withoutJetStream is the same fleet at a NATS that has none: requests are answered, and jobs were
// never run.
func withoutJetStream() samples {
	f := fleet{calm()}
	for _, check := range []string{"streams", "jobs"} {
		f.still("crmbridge_ready", "0", fmt.Sprintf("check=%q", check))
	}
	return f.samples
}
