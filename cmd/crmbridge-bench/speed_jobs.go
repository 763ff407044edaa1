package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// What jobs are measured with: pages of 5000 rows, and jobs of one small page.
const (
	jobRows      = 5000
	jobPages     = 8 // of a job
	jobSmallRows = 10
	jobDelay     = 50 * time.Millisecond // of each page
)

// A jobsResult is what a number of processes did, round by round.
type jobsResult struct {
	Processes int          `json:"processes"`
	Pages     []jobsSample `json:"pages"`
	Small     []jobsSample `json:"small"`
}

// A jobsSample is what was done in one round: pages of large jobs, or small jobs.
type jobsSample struct {
	PerSecond float64       `json:"per_second"`
	CPU       time.Duration `json:"cpu"`  // of crmbridge, each
	NATS      time.Duration `json:"nats"` // CPU of the NATS server, each
}

// jobs measures jobs at 1, 2 and 4 processes.
func (s *speed) jobs() error {
	if err := s.running(1); err != nil {
		return err
	}
	if err := s.awaitLane(); err != nil {
		return err
	}
	done, err := s.hearDone()
	if err != nil {
		return err
	}
	defer done.stop()
	for _, n := range []int{1, 2, 4} {
		s.result.Jobs = append(s.result.Jobs, &jobsResult{Processes: n})
	}
	for round := range s.Rounds {
		for _, r := range s.result.Jobs {
			if err := s.running(r.Processes); err != nil {
				return err
			}
			if !sleep(s.ctx, time.Second) { // until what runs has found each other
				return s.ctx.Err()
			}
			name := fmt.Sprintf("r%d-%d", round, r.Processes)
			small := s.scaled(800)
			if err := s.setStub(jobSmallRows, 1, jobDelay); err != nil {
				return err
			}
			one, err := s.runJobs(done, name+"-small", small, small, jobSmallRows)
			if err != nil {
				return err
			}
			if err := s.setStub(jobRows, jobPages, jobDelay); err != nil {
				return err
			}
			large := s.scaled(16)
			pages, err := s.runJobs(done, name+"-large", large, large*jobPages, jobRows*jobPages)
			if err != nil {
				return err
			}
			r.Small, r.Pages = append(r.Small, one), append(r.Pages, pages)
		}
		last := func(r *jobsResult) (small, pages float64) { return r.Small[round].PerSecond, r.Pages[round].PerSecond }
		oneSmall, onePages := last(s.result.Jobs[0])
		manySmall, manyPages := last(s.result.Jobs[2])
		s.progress("jobs", "%.0f small jobs/s, %.0f pages/s; %.2f × and %.2f × with 4 processes", oneSmall, onePages, manySmall/oneSmall, manyPages/onePages)
	}
	return s.running(1)
}

// rates are how much was done a second, round by round.
func rates(of []jobsSample) spread {
	var all []float64
	for _, one := range of {
		all = append(all, one.PerSecond)
	}
	return spreadOf(all)
}

// times are the ratios of what was done to what one process did in the same round.
func times(one, of []jobsSample) spread {
	var all []float64
	for i := range of {
		all = append(all, of[i].PerSecond/one[i].PerSecond)
	}
	return spreadOf(all)
}

// cpuOf is crmbridge's CPU time, each, by the median round.
func cpuOf(of []jobsSample) time.Duration {
	var all []time.Duration
	for _, one := range of {
		all = append(all, one.CPU)
	}
	return median(all)
}

// scaled is a number of jobs, for as long as a round is to take.
func (s *speed) scaled(in3Seconds int) int { return max(int(float64(in3Seconds)*s.Seconds/3), 1) }

// runJobs runs jobs of which each has a filter of its own, and waits until all have ended.
func (s *speed) runJobs(done *doneJobs, name string, n, units, rows int) (sample jobsSample, err error) {
	ended := done.expect(name+"-", n, int64(rows))
	before := s.cost()
	begun := time.Now()
	if err := s.fill(n, func(i int) job {
		return newJob(accountsSearch, s.connections[i%len(s.connections)], fmt.Sprintf("%s-%d", name, i), map[string]any{
			"fields": speedFields, "parallel": false, "page_size": jobRows,
			"where": map[string]any{"field": "name", "op": "eq", "value": fmt.Sprintf("%s %d", name, i)}})
	}); err != nil {
		return sample, err
	}
	select {
	case err = <-ended:
	case <-s.ctx.Done():
		err = s.ctx.Err()
	case <-time.After(5 * time.Minute):
		err = fmt.Errorf("%s: the ends of all jobs are missing after 5 min", name)
	}
	took, after := time.Since(begun), s.cost()
	if err != nil {
		return sample, err
	}
	results, err := s.js.Stream(s.ctx, messages.ResultsStream)
	if err == nil {
		err = results.Purge(s.ctx)
	}
	if err != nil {
		return sample, fmt.Errorf("clear %s: %w", messages.ResultsStream, err)
	}
	each := time.Duration(units)
	return jobsSample{PerSecond: float64(units) / took.Seconds(), CPU: (after.fleet - before.fleet) / each,
		NATS: (after.nats - before.nats) / each}, nil
}

// doneJobs hears of the ends of jobs by their records, which are small.
type doneJobs struct {
	sub *nats.Subscription

	mu    sync.Mutex
	rows  int64 // that each has in the end
	left  map[string]bool
	ended chan error
}

func (s *speed) hearDone() (*doneJobs, error) {
	d := &doneJobs{}
	var err error
	if d.sub, err = s.nc.Subscribe(messages.StateSubjects, d.heard); err != nil {
		return nil, fmt.Errorf("subscribe to records: %w", err)
	}
	return d, errors.Join(d.sub.SetPendingLimits(-1, -1), s.nc.Flush())
}

func (d *doneJobs) stop() { _ = d.sub.Unsubscribe() }

// expect returns a channel that gets nil once as many jobs are done, or the first error.
func (d *doneJobs) expect(prefix string, n int, rows int64) <-chan error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows, d.left, d.ended = rows, map[string]bool{}, make(chan error, 1)
	for i := range n {
		d.left[prefix+strconv.Itoa(i)] = true
	}
	return d.ended
}

func (d *doneJobs) heard(m *nats.Msg) {
	var record struct {
		ID    string
		State messages.JobState
		Rows  int64
		Error json.RawMessage
	}
	if bytes.Contains(m.Data, []byte(`"state":"running"`)) || json.Unmarshal(m.Data, &record) != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.left[record.ID] {
		return
	}
	switch record.State {
	case messages.JobDone:
		if record.Rows != d.rows {
			d.end(fmt.Errorf("job %s has %d rows instead of %d", record.ID, record.Rows, d.rows))
		}
	case messages.JobFailed, messages.JobCancelled:
		d.end(fmt.Errorf("job %s: %s %s", record.ID, record.State, record.Error))
	default:
		return
	}
	if delete(d.left, record.ID); len(d.left) == 0 {
		d.end(nil)
	}
}

// end says how it ended, once.
func (d *doneJobs) end(err error) {
	select {
	case d.ended <- err:
	default:
	}
}
