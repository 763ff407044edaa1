package main

import (
	"context"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// askedForWaits is what is asked to say why a job waits. A user who may not ask it is not told.
const askedForWaits = "crm.connections.limits.request."

const (
	// waitsPatience is how long a command waits for the reasons.
	waitsPatience = 2 * time.Second
	// waitsEvery is how often an export asks for them.
	waitsEvery = 10 * time.Second
	// mostReasons is of how many connections a list asks for them.
	mostReasons = 20
)

// waitsFor says in a few words what a job that does not run waits for; "" where it runs. Its record has
// the reason where the job has met it; limits, nil where they are not known, where the job has not
// begun.
func waitsFor(std *stdio, job *messages.Job, limits *messages.LimitsReply) string {
	if job.State != messages.JobQueued {
		return ""
	}
	if until := waitsUntil(std, job, limits); until != "" {
		return "waits " + until
	}
	return "waits for its turn"
}

// waitsUntil says until when a job waits and why, "" where that is not known.
func waitsUntil(std *stdio, job *messages.Job, limits *messages.LimitsReply) string {
	now := time.Now()
	switch {
	case job.State != messages.JobQueued:
	case isLater(job.RetryAt, now) && job.Error != nil:
		return "until " + std.when(job.RetryAt) + ": " + term.Safe(strings.ToLower(string(job.Error.Code)))
	case isLater(job.RetryAt, now):
		return "until " + std.when(job.RetryAt)
	case limits == nil:
	case isLater(limits.BlockedUntil, now):
		why := string(messages.Throttled)
		if by := blockedByWords[limits.BlockedBy]; by != "" {
			why += ", by its limit of " + by
		}
		return "until " + std.when(limits.BlockedUntil) + ": " + why
	case limits.DailyCalls > 0 && limits.CallsToday >= limits.DailyCalls:
		return "until midnight UTC: " + string(messages.Throttled) + ", by the customer's --daily-calls"
	case limits.Breaker == messages.BreakerOpen:
		return "until its environment answers again: " + string(messages.Unavailable)
	}
	return ""
}

func isLater(at *time.Time, now time.Time) bool { return at != nil && at.After(now) }

// waitsUnsaid reports whether a job waits and its record does not say what for.
func waitsUnsaid(job *messages.Job) bool {
	return job.State == messages.JobQueued && !isLater(job.RetryAt, time.Now())
}

// reasons are the limits of the connections whose jobs wait and do not say what for, as far as they
// are told.
func reasons(ctx context.Context, client *messages.Client, jobs ...messages.Job) map[string]*messages.LimitsReply {
	ctx, cancel := context.WithTimeout(ctx, waitsPatience)
	defer cancel()
	found := map[string]*messages.LimitsReply{}
	for i := range jobs {
		connection := jobs[i].Connection
		if _, asked := found[connection]; asked || !waitsUnsaid(&jobs[i]) {
			continue
		}
		if len(found) == mostReasons || ctx.Err() != nil {
			break
		}
		limits, err := client.Limits(ctx, connection)
		if err != nil {
			limits = nil // the list is there without it
		}
		found[connection] = limits
	}
	return found
}
