package interactive

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// Pending limits of a subscription: what the NATS client keeps for receive, which
// takes microseconds a message. They fill up only where the process gets no CPU. How long
// a message has waited there is not known, so it must be short. The bytes are as many as
// the backlog may have, and at least burstMessages of the server's max_payload: a burst of
// long requests arrives faster than receive runs on a busy machine.
const (
	pendingMessages = 32_768
	burstMessages   = 16
)

// manyPending is from how many messages in the NATS client's queue of one subscription the
// process counts as not keeping up.
const manyPending = 4096

// readingLate reports whether messages arrive faster than they are read.
func (c *Consumer) readingLate() bool {
	for _, sub := range c.subscriptions.present() {
		if waiting, _, err := sub.Pending(); err == nil && waiting > manyPending {
			return true
		}
	}
	return false
}

// bounded sets the pending limits of a subscription that was made.
func (c *Consumer) bounded() func(*nats.Subscription, error) (*nats.Subscription, error) {
	return func(sub *nats.Subscription, err error) (*nats.Subscription, error) {
		if err != nil {
			return nil, err
		}
		return sub, sub.SetPendingLimits(pendingMessages, max(c.pendingBytes, burstMessages*int(c.nc.MaxPayload())))
	}
}

const (
	sweepEvery = 50 * time.Millisecond
	countEvery = time.Second
)

// tend sweeps the backlog and writes the log's counts, until stopTending.
func (c *Consumer) tend() {
	ctx, cancel := context.WithCancel(context.Background())
	c.untend = cancel
	c.tending.Go(func() {
		sweep, count := time.NewTicker(sweepEvery), time.NewTicker(countEvery)
		defer sweep.Stop()
		defer count.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-count.C:
				c.everySecond()
			case now := <-sweep.C:
				c.sweep(now)
			}
		}
	})
}

func (c *Consumer) everySecond() {
	defer c.survive("counting")
	c.countLosses()
	c.journal.flush()
	c.workers.trim()
}

func (c *Consumer) sweep(now time.Time) {
	defer c.survive("sweeping")
	c.admission.sweep(now)
	c.journal.first()
}

// stopTending ends what tend began and writes the log's last counts. The requests must
// have been answered.
func (c *Consumer) stopTending() {
	c.refuser.stop()
	c.untend()
	c.tending.Wait()
	c.countLosses()
	c.journal.flush()
}

// countLosses counts the messages that the NATS client dropped since the last count.
func (c *Consumer) countLosses() {
	now := c.Dropped()
	if more := now - c.losses; more > 0 {
		c.metrics.dropped.Add(float64(more))
		c.journal.notes(slog.LevelWarn, "requests lost: they came faster than they were read", "", "", dropped,
			int(more))
		c.losses = now
	}
}
