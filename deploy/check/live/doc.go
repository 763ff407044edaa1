// Package live runs crmbridge with everything that it needs, has Debian's Prometheus scrape it under
// the rules of deploy/observe, and lets one thing after another go wrong: every alert must fire under
// the fault that it is for and be silent without, and every query of a dashboard must find something.
// Whatever takes minutes takes seconds here (rules.Render). It is all in tests; .ci/deploy runs them.
package live
