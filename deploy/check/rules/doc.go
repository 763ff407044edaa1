// Package rules has the alerts of crmbridge as one table, and what is made of it: the file of
// rules that Prometheus reads, with its true times or with all of them scaled, so that an hour
// can be tried within a minute. Names reads any PromQL expression, for whoever checks that the
// metrics and labels in it are there.
package rules
