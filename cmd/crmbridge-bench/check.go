package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/crmbridge/crmbridge/messages"
)

// A report is what was found in the stored results of one job.
type report struct {
	job
	pages, rows int
	ends        int
	code        string // of the end's error; "" is none
	faults      []string
}

// mostFaults is how many faults of a job are told one by one.
const mostFaults = 12

func (r *report) fault(format string, args ...any) {
	if len(r.faults) < mostFaults {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	} else if len(r.faults) == mostFaults {
		r.faults = append(r.faults, "and more")
	}
}

// check reads all results of a job from the stream's leader and compares them with the rows
// that there are: every one exactly once, pages without gaps, one end, and a record that says
// the same.
func (w *world) check(ctx context.Context, j job, want map[string]bool) (*report, error) {
	r := &report{job: j}
	seen := make(map[string]int, len(want))
	incarnation := ""
	for from := uint64(1); ; {
		var msg stored
		err := await(ctx, time.Minute, "read a page", func(ctx context.Context) (err error) {
			if msg, err = w.next(ctx, messages.ResultsStream, j.results(), from); errors.Is(err, errNoMessage) {
				return nil
			}
			return err
		})
		if err != nil {
			return r, err
		}
		if msg.Sequence == 0 {
			break
		}
		from = msg.Sequence + 1
		r.page(msg, want, seen)
		if of := msg.Header.Get(messages.HeaderIncarnation); incarnation == "" {
			incarnation = of
		} else if of != incarnation {
			r.fault("page %d is of another incarnation", r.pages)
		}
	}
	if r.ends != 1 {
		r.fault("%d ends, want 1", r.ends)
	}
	if missing := len(want) - len(seen); missing > 0 {
		r.fault("%d of %d rows are missing", missing, len(want))
	}
	return r, w.checkRecord(ctx, r)
}

// page looks at one stored message.
func (r *report) page(msg stored, want map[string]bool, seen map[string]int) {
	r.pages++
	if r.ends > 0 {
		r.fault("sequence %d comes after the end", msg.Sequence)
	}
	if number := msg.Header.Get(messages.HeaderPage); number != strconv.Itoa(r.pages) {
		r.fault("message %d of the subject (sequence %d) has %s %q", r.pages, msg.Sequence, messages.HeaderPage, number)
	}
	if msg.Header.Get(messages.HeaderLast) == "true" {
		r.ends++
		r.code = msg.Header.Get(messages.HeaderErrorCode)
	}
	ids, err := rowsOf(msg)
	if err != nil {
		r.fault("page %d: %v", r.pages, err)
		return
	}
	r.rows += len(ids)
	for _, id := range ids {
		switch before, again := seen[id]; {
		case again:
			r.fault("row %s is on page %d and on page %d", id, before, r.pages)
		case !want[id]:
			r.fault("row %s of page %d is none of the environment's", id, r.pages)
		default:
			seen[id] = r.pages
		}
	}
	if rows := msg.Header.Get(messages.HeaderRows); rows != strconv.Itoa(r.rows) {
		r.fault("page %d has %s %q, the rows up to it are %d", r.pages, messages.HeaderRows, rows, r.rows)
	}
}

// rowsOf are the ids of a page's rows.
func rowsOf(msg stored) ([]string, error) {
	body := io.Reader(bytes.NewReader(msg.Data))
	if msg.Header.Get(messages.HeaderContentEncoding) == messages.EncodingZstd {
		reader, err := zstd.NewReader(body)
		if err != nil {
			return nil, err
		}
		defer reader.Close()
		body = reader
	}
	var reply struct {
		Accounts []struct {
			ID string `json:"id"`
		} `json:"accounts"`
	}
	if err := json.NewDecoder(body).Decode(&reply); err != nil {
		return nil, fmt.Errorf("the body cannot be read: %w", err)
	}
	ids := make([]string, 0, len(reply.Accounts))
	for _, account := range reply.Accounts {
		ids = append(ids, account.ID)
	}
	return ids, nil
}

// checkRecord compares the job's record with its results.
func (w *world) checkRecord(ctx context.Context, r *report) error {
	return await(ctx, time.Minute, "read a record", func(ctx context.Context) error {
		msg, err := w.last(ctx, messages.StateStream, messages.StateSubject(r.connection, r.id))
		if errors.Is(err, errNoMessage) {
			r.fault("the job has no record")
			return nil
		}
		if err != nil {
			return err
		}
		var record messages.JobRecord
		if err := json.Unmarshal(msg.Data, &record); err != nil {
			r.fault("the record cannot be read: %v", err)
			return nil
		}
		want := messages.JobDone
		switch r.code {
		case "":
		case string(messages.Cancelled):
			want = messages.JobCancelled
		default:
			want = messages.JobFailed
		}
		if record.State != want || record.Pages != r.pages || record.Rows != int64(r.rows) {
			r.fault("the record says %s with %d pages and %d rows, the results say %s with %d and %d", record.State,
				record.Pages, record.Rows, want, r.pages, r.rows)
		}
		return nil
	})
}

// left is how many jobs CRM_JOBS still has.
func (w *world) left(ctx context.Context) (uint64, error) {
	stream, err := w.js.Stream(ctx, messages.JobsStream)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

// accountIDs are the ids of all accounts of the environment.
func (w *world) accountIDs() map[string]bool {
	ids := make(map[string]bool, w.options.Accounts)
	for account := range w.emulator.Control().Accounts() {
		ids[account.ID] = true
	}
	return ids
}
