// Package e2e holds the tests of the whole system, as its requesters, operators
// and attackers meet it: over NATS, Redis and HTTP, in one process or in several.
// It has no code of its own. Tests of the command line are with the command line,
// in cmd/crmbridge; what tests share is in cmd/internal/bridgetest.
package e2e
