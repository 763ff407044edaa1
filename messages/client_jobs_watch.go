package messages

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// A JobWatch receives the records of a job as they are written: when it is claimed, every 5 s
// while pages come, and when it ends. What is written while it is not connected is missed, so
// that a program which must know asks [JobsClient.Get] too.
type JobWatch struct{ sub *nats.Subscription }

// watchedRecords is how many records may wait for their reader; those beyond are missed.
const watchedRecords = 64

// Watch watches one job from now on; Close ends it. When it returns, the NATS server has the
// subscription. Errors: invalid_request, unavailable where the server does not answer for 10 s.
func (j *JobsClient) Watch(connection, id string) (*JobWatch, error) {
	return j.watch(context.Background(), connection, id)
}

func (j *JobsClient) watch(ctx context.Context, connection, id string) (*JobWatch, error) {
	if fault := validJob(connection, id); fault != nil {
		return nil, fault
	}
	sub, err := j.client.subscribe(ctx, StateSubject(connection, id), "watch the job")
	if err != nil {
		return nil, err
	}
	if err := sub.SetPendingLimits(watchedRecords, watchedRecords*MaxJobRecord); err != nil {
		return nil, Errorf(Unavailable, "watch the job: %v", err).Because(err)
	}
	return &JobWatch{sub}, nil
}

// Next waits for the next record. Errors: ctx's, or a subscription that ended.
func (w *JobWatch) Next(ctx context.Context) (*JobRecord, error) {
	for {
		msg, err := w.sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			continue // some are missed
		}
		if err != nil {
			return nil, err
		}
		if len(msg.Data) == 0 {
			continue // nothing that crmbridge publishes
		}
		var record JobRecord
		if err := json.Unmarshal(msg.Data, &record); err != nil {
			return nil, fmt.Errorf("the record is not what crmbridge writes: %w", withoutValue(err))
		}
		return &record, nil
	}
}

// Close ends the watch.
func (w *JobWatch) Close() {
	_ = w.sub.Unsubscribe() // fails only where it has ended already
}

// progressAsk is how often [JobsClient.Progress] asks for a job of which nothing is heard.
const progressAsk = 15 * time.Second

// Progress yields a job's records until it has ended: first what the job is now, then each
// record as it is written. What was missed is asked for. It ends after the first error.
func (j *JobsClient) Progress(ctx context.Context, connection, id string) iter.Seq2[*JobRecord, error] {
	return func(yield func(*JobRecord, error) bool) {
		watch, err := j.watch(ctx, connection, id)
		if err != nil {
			yield(nil, err)
			return
		}
		defer watch.Close()
		for heard := false; ; { // it is asked after the subscription, so that nothing falls between
			record := &JobRecord{}
			if heard {
				waiting, cancel := context.WithTimeout(ctx, progressAsk)
				record, err = watch.Next(waiting)
				cancel()
				if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
					heard = false
					continue
				}
			} else if job, failed := j.Get(ctx, connection, id); failed == nil {
				record.Job, heard = *job, true
			} else {
				err = failed
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(record, nil) || record.State.Ended() {
				return
			}
		}
	}
}
