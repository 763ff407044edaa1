package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// showState prints it for people.
func showState(std *stdio, s *state, connection string) error {
	rows := make([][]string, len(s.Processes))
	for i, p := range s.Processes {
		rows[i] = []string{p.ID, p.Version, s.At.Sub(p.Started).Truncate(time.Second).String(),
			strconv.FormatInt(p.InFlight, 10), strconv.Itoa(p.Requests), strconv.Itoa(p.Errors)}
	}
	header := []string{"process", "version", "up for", "in flight", "requests", "errors"}
	if err := term.Table(std.out, header, rows); err != nil {
		return err
	}
	var counts []string
	for _, status := range messages.Statuses() {
		if n := s.Connections[status]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if counts == nil {
		counts = []string{"none"}
	}
	jobs := fmt.Sprintf("%d waiting, %d running", s.Jobs.Queued, s.Jobs.Running)
	if s.Jobs.Oldest != nil {
		jobs += ", the oldest since " + std.when(s.Jobs.Oldest)
	}
	pairs := [][2]string{{"", ""}, {"connections", strings.Join(counts, ", ")}, {"jobs", jobs},
		{"blocked users", strconv.Itoa(len(s.Blocked))}}
	if s.Limits != nil {
		pairs = append(pairs, [2]string{connection + " in flight", ofMost(s.Limits.InFlight, s.Limits.Limit)},
			[2]string{connection + " calls today", ofMost(s.Limits.CallsToday, s.Limits.DailyCalls)},
			[2]string{connection + " circuit breaker", s.Limits.Breaker})
	}
	if err := term.Pairs(std.out, pairs); err != nil {
		return err
	}
	if err := showBlocked(std, s); err != nil {
		return err
	}
	for _, unknown := range s.Unknown {
		fmt.Fprintf(std.err, "not known: %s\n", term.Safe(unknown))
	}
	return nil
}

func showBlocked(std *stdio, s *state) error {
	if len(s.Blocked) == 0 {
		return nil
	}
	rows := make([][]string, len(s.Blocked))
	for i, b := range s.Blocked {
		rows[i] = []string{b.User, b.By, std.when(&b.Until), strings.Join(b.Connections, ", ")}
	}
	fmt.Fprintln(std.out)
	return term.Table(std.out, []string{"blocked user", "by", "until", "connections"}, rows)
}
