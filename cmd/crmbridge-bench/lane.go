package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// replicated has streams made with as many copies.
func replicated(n int) string { return "NATS_REPLICAS=" + strconv.Itoa(n) }

// laneStreams are those without which there is no lane.
func laneStreams() []string {
	return []string{messages.JobsStream, messages.ResultsStream, messages.StateStream, messages.DeadStream}
}

// awaitLane waits for the streams of the lane, and for leaders of them.
func (w *world) awaitLane() error {
	return await(w.ctx, time.Minute, "the streams of the lane", func(ctx context.Context) error {
		for _, name := range laneStreams() {
			stream, err := w.js.Stream(ctx, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if info := stream.CachedInfo(); info.Cluster != nil && len(w.cluster.servers) > 1 && info.Cluster.Leader == "" {
				return fmt.Errorf("%s has no leader", name)
			}
		}
		return nil
	})
}

// widenDuplicates sets the window in which CRM_RESULTS knows an id again, as somebody would
// who relies on ids.
func (w *world) widenDuplicates() error {
	stream, err := w.js.Stream(w.ctx, messages.ResultsStream)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	config.Duplicates = 2 * time.Minute
	_, err = w.js.UpdateStream(w.ctx, config)
	return err
}

// forget removes the results of a job, so that runs do not fill the disk.
func (w *world) forget(j job) error {
	stream, err := w.js.Stream(w.ctx, messages.ResultsStream)
	if err != nil {
		return err
	}
	return stream.Purge(w.ctx, jetstream.WithPurgeSubject(j.results()))
}

// consumers are how many consumers all streams have.
func (w *world) consumers(ctx context.Context) (int, error) {
	n := 0
	for _, name := range laneStreams() {
		stream, err := w.js.Stream(ctx, name)
		if err != nil {
			return 0, err
		}
		n += stream.CachedInfo().State.Consumers
	}
	return n, nil
}
