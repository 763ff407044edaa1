package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type connectionsLimits struct {
	client
	shown
	connection
}

// Help shows examples.
func (c *connectionsLimits) Help() string {
	return `Dataverse is not asked: the figures are those of the fleet, for the user whom the connection acts as.
What waits, and the circuit breaker, are of the process that answers.

Examples:
  crmbridge connections limits demo
  crmbridge connections limits demo --json | jq .calls_today
`
}

// Run prints how much of the limits is used.
func (c *connectionsLimits) Run(ctx context.Context, std *stdio) error {
	std.utc = c.UTC
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		limits, err := ask.Limits(ctx, c.Connection)
		if err != nil {
			return err
		}
		return c.print(std, limits, func() error {
			return term.Pairs(std.out, [][2]string{
				{"connection", limits.Connection}, {"in flight", ofMost(limits.InFlight, limits.Limit)},
				{"queued", strconv.Itoa(limits.Queued)}, {"blocked", blockWords(std, limits, time.Now())},
				{"circuit breaker", limits.Breaker}, {"calls today (UTC)", ofMost(limits.CallsToday, limits.DailyCalls)},
			})
		})
	})
}

// ofMost is a number with its bound; 0 is none.
func ofMost(n, most int) string {
	if most == 0 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d of %d", n, most)
}

// blockWords says until when and why Dataverse takes no call; "no" where it takes them.
func blockWords(std *stdio, limits *messages.LimitsReply, now time.Time) string {
	switch {
	case limits.BlockedUntil != nil:
		by := ""
		if limits.BlockedBy != "" {
			by = ", by its limit of " + blockedByWords[limits.BlockedBy]
		}
		return fmt.Sprintf("until %s (%s left)%s", std.when(limits.BlockedUntil),
			max(limits.BlockedUntil.Sub(now), 0).Round(time.Second), by)
	case limits.DailyCalls > 0 && limits.CallsToday >= limits.DailyCalls:
		return "until midnight UTC, by the customer's --daily-calls"
	}
	return "no"
}

var blockedByWords = map[string]string{
	messages.BlockedByRequests:      "requests in five minutes",
	messages.BlockedByExecutionTime: "execution time in five minutes",
	messages.BlockedByConcurrency:   "requests at once",
}
