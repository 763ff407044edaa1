package bridge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/handlers/interactive"
)

// A Process is one crmbridge as it describes itself to NATS's services API.
type Process = status.Process

const (
	// fleetWait bounds the wait for processes, and fleetQuiet for another one: the API does
	// not say how many there are.
	fleetWait  = 2 * time.Second
	fleetQuiet = 400 * time.Millisecond
	mostFleet  = 1000 // processes that are listed
	mostStats  = 1 << 20
)

// Fleet asks every crmbridge for its statistics, in the order in which they started. None is
// no error. Where there should be so many, 0 for not known, it waits longer for them.
func Fleet(ctx context.Context, nc *nats.Conn, expected int) ([]Process, error) {
	ctx, cancel := context.WithTimeout(ctx, fleetWait)
	defer cancel()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where the connection is gone
	subject, err := micro.ControlSubject(micro.StatsVerb, interactive.ServiceName, "")
	if err == nil {
		err = nc.PublishRequest(subject, inbox, nil)
	}
	if err != nil {
		return nil, err
	}
	found := map[string]Process{}
	for len(found) < mostFleet {
		msg, err := next(ctx, sub, len(found) >= max(expected, 1))
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
			break
		}
		if err != nil {
			return nil, err
		}
		if p, ok := processOf(msg.Data); ok {
			found[p.ID] = p
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Process) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	}), nil
}

// next is the next answer. Once there has been one, another follows soon or not at all.
func next(ctx context.Context, sub *nats.Subscription, soon bool) (*nats.Msg, error) {
	if soon {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, fleetQuiet)
		defer cancel()
	}
	return sub.NextMsgWithContext(ctx)
}

// processOf reads one answer; anybody may have sent it.
func processOf(body []byte) (Process, bool) {
	var stats micro.Stats
	if len(body) > mostStats || json.Unmarshal(body, &stats) != nil ||
		stats.Name != interactive.ServiceName || stats.ID == "" {
		return Process{}, false
	}
	p := Process{ID: stats.ID, Version: stats.Version, Started: stats.Started}
	for _, e := range stats.Endpoints {
		if e == nil {
			continue
		}
		var own interactive.EndpointData
		if json.Unmarshal(e.Data, &own) == nil { // an older version does not say it
			p.InFlight += own.InFlight
		}
		p.Requests, p.Errors = p.Requests+e.NumRequests, p.Errors+e.NumErrors
	}
	return p, true
}

// sortedKeys are a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
