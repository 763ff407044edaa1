package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A sample is what one side did in one round.
type sample struct {
	PerSecond float64        `json:"per_second"` // answers
	P50       time.Duration  `json:"p50"`
	P99       time.Duration  `json:"p99"`
	CPU       time.Duration  `json:"cpu"`    // a request, of the side's process only
	Others    time.Duration  `json:"others"` // CPU a request of NATS, the stub and the requester
	Peak      int64          `json:"peak"`   // bytes of memory, of those processes
	Answers   int            `json:"answers"`
	Refused   map[string]int `json:"refused,omitempty"`
	Calls     float64        `json:"calls"` // of the upstream, a request
}

// A measured is a row with its rounds: what both sides did one after the other.
type measured struct {
	Row       speedRow `json:"row"`
	Bare      []sample `json:"bare"`
	Crmbridge []sample `json:"crmbridge"`
}

// measure measures one row. The processes are started anew, so that their peaks are this
// row's.
func (s *speed) measure(row speedRow) (err error) {
	m := &measured{Row: row}
	s.result.Rows = append(s.result.Rows, m)
	if err := errors.Join(s.setStub(row.Rows, 1, row.Delay), s.running(0)); err != nil {
		return err
	}
	for _, c := range []*child{s.bares[0], s.fleet[0].child} {
		if err := s.profileItself(c, row); err != nil {
			return err
		}
	}
	if err := s.running(1); err != nil {
		return err
	}
	sides := s.sides(1)
	for _, one := range sides {
		if err := s.look(one, row); err != nil {
			return fmt.Errorf("%s: %s: %w; its log ends with:\n%s", row.Name, one.name, err, one.processes[0].tail(2000))
		}
	}
	defer s.profileRow(row)()
	for round := range s.Rounds {
		var both [2]sample
		for turn := range sides {
			i := (turn + round) % 2 // who begins changes
			if both[i], err = s.sample(sides[i], row); err != nil {
				return fmt.Errorf("%s: %s: %w; its log ends with:\n%s", row.Name, sides[i].name, err, sides[i].processes[0].tail(2000))
			}
		}
		m.Bare, m.Crmbridge = append(m.Bare, both[0]), append(m.Crmbridge, both[1])
		s.progress(row.Name, "throughput %.2f ×, CPU %.2f × (%d → %d µs), p99 %.2f ×%s",
			both[1].PerSecond/both[0].PerSecond, ratio(both[1].CPU, both[0].CPU), both[0].CPU.Microseconds(), both[1].CPU.Microseconds(),
			ratio(both[1].P99, both[0].P99), brackets(refusals(both[1].Refused)))
	}
	return nil
}

// sides are both, each with as many processes, which run.
func (s *speed) sides(n int) []side {
	crmbridges := make([]*child, n)
	for i := range crmbridges {
		crmbridges[i] = s.fleet[i].child
	}
	return []side{
		{name: "bare", subject: bareSubject, bare: true, processes: s.bares[:n]},
		{name: "crmbridge", subject: accountsSearch.Subject() + ".", processes: crmbridges},
	}
}

// running has as many processes of both sides run, and not one more.
func (s *speed) running(n int) error {
	for len(s.bares) < n {
		c, err := itself("bare"+strconv.Itoa(len(s.bares)+1), s.folder, nil, "bare", "--nats="+s.cluster.url(), "--upstream="+s.emulatorURL,
			"--token="+strings.Repeat("a", 1500)) // as long as Microsoft's are
		if err != nil {
			return err
		}
		s.onStop(func() error { c.kill(); return nil })
		s.bares = append(s.bares, c)
	}
	for len(s.fleet) < n {
		if _, err := s.addCrmbridge(nil); err != nil {
			return err
		}
	}
	for i, c := range s.bares {
		if err := running(c, i < n); err != nil {
			return err
		}
	}
	for i, c := range s.fleet {
		if err := running(c.child, i < n); err != nil {
			return err
		}
	}
	for _, c := range s.fleet[:n] {
		if err := await(s.ctx, 2*time.Minute, c.name, c.ready); err != nil {
			return fmt.Errorf("%w; its log ends with:\n%s", err, c.tail(2000))
		}
	}
	return nil
}

// running has one process run, or end; its log ends with it, or logs would fill the disk.
func running(c *child, runs bool) error {
	if runs {
		return c.start()
	}
	c.end(interrupt)
	if err := os.Remove(c.logFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a log: %w", err)
	}
	return nil
}

func brackets(s string) string {
	if s == "" {
		return ""
	}
	return "; REFUSED: " + s
}

// warm is how long a side works at least before it is measured.
const warm = 400 * time.Millisecond

// sample has one side work and measures it.
func (s *speed) sample(one side, row speedRow) (sample, error) {
	if err := s.load.begin(one, row); err != nil {
		return sample{}, err
	}
	// In steady state, and long enough for its figures to mean something: on a busy machine a
	// second may be too short for an answer of each slot.
	if err := s.work(warm, row.InFlight); err != nil {
		return sample{}, err
	}
	for _, c := range one.processes {
		resetPeak(c.pid())
	}
	before, err := s.used(one)
	if err != nil {
		return sample{}, err
	}
	s.load.take()
	begun := time.Now()
	if err := s.work(time.Duration(s.Seconds*float64(time.Second)), 2*row.InFlight); err != nil {
		return sample{}, err
	}
	counted, took := s.load.take(), time.Since(begun)
	after, err := s.used(one)
	var peak int64
	for _, c := range one.processes {
		peak += peakMemory(c.pid())
	}
	if err := errors.Join(err, s.load.end(s.ctx)); err != nil {
		return sample{}, err
	}
	n := len(counted.took)
	all := n
	for _, refused := range counted.refused {
		all += refused
	}
	switch {
	case counted.wrong != nil:
		return sample{}, counted.wrong
	case n == 0:
		return sample{}, fmt.Errorf("nothing was answered in %.1f s; refused: %s", took.Seconds(), refusals(counted.refused))
	}
	return sample{PerSecond: float64(n) / took.Seconds(), P50: quantile(counted.took, 0.5), P99: quantile(counted.took, 0.99),
		CPU: (after.cpu - before.cpu) / time.Duration(n), Others: (after.others - before.others) / time.Duration(n), Peak: peak,
		Answers: n, Refused: counted.refused, Calls: float64(after.pages-before.pages) / float64(all)}, nil
}

// longest is how much longer than it should a side may work for its answers.
const longest = 20 * time.Second

// work waits for a time and, where that was too short, for a number of answers.
func (s *speed) work(atLeast time.Duration, answers int) error {
	if !sleep(s.ctx, atLeast) {
		return s.ctx.Err()
	}
	for late := time.Duration(0); s.load.answers() < answers; late += 20 * time.Millisecond {
		if late > longest {
			return fmt.Errorf("%d answers in %s", s.load.answers(), atLeast+longest)
		}
		if !sleep(s.ctx, 20*time.Millisecond) {
			return s.ctx.Err()
		}
	}
	return nil
}

// A state is what was used up to a moment.
type state struct {
	cpu    time.Duration // of the processes that are measured
	others time.Duration // of NATS, the stub, and this process
	pages  int64         // that the stub has sent
}

func (s *speed) used(one side) (now state, err error) {
	for _, c := range one.processes {
		took, err := cpuTime(c.pid())
		if err != nil {
			return now, err
		}
		now.cpu += took
	}
	for _, other := range []int{os.Getpid(), s.stub.pid(), s.cluster.servers[0].pid()} {
		took, err := cpuTime(other)
		if err != nil {
			return now, err
		}
		now.others += took
	}
	now.pages, err = s.stubSays(s.ctx, nil)
	return now, err
}

// look asks once over each connection, and reads every row of the first answer.
func (s *speed) look(one side, row speedRow) error {
	err := s.lookClosely(one, row)
	for _, connection := range s.connections[1:] {
		if err == nil {
			err = s.lookAt(one, row, connection, false)
		}
	}
	return err
}

// lookClosely waits for an answer and reads every row of it.
func (s *speed) lookClosely(one side, row speedRow) error {
	return await(s.ctx, 20*time.Second, "an answer", func(context.Context) error {
		return s.lookAt(one, row, s.connections[0], true)
	})
}

func (s *speed) lookAt(one side, row speedRow, connection string, closely bool) error {
	inbox := nats.NewInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	head, tail := row.body()
	body := bytes.Join([][]byte{head, tail}, []byte(connection))
	if err := s.nc.PublishRequest(one.subject+connection, inbox, body); err != nil {
		return err
	}
	for at := 0; at < row.Rows; {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			return err
		}
		if text := m.Header.Get("Status") + m.Header.Get(messages.HeaderErrorCode); text != "" {
			return fmt.Errorf("%s: %.500s", text, m.Data)
		}
		n := bytes.Count(m.Data, []byte{rowMark})
		if closely {
			if n, err = rightRows(m.Data, at, one.bare); err != nil {
				return err
			}
		}
		if at += n; n == 0 {
			return fmt.Errorf("%d rows instead of %d", at, row.Rows)
		}
	}
	return nil
}

// rightRows reads rows of an answer, which begin with a number, and compares every one with
// the stub's.
func rightRows(data []byte, from int, bare bool) (int, error) {
	var answer struct{ Accounts, Value []map[string]any }
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		return 0, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("something follows on the answer")
	}
	rows := append(answer.Accounts, answer.Value...)
	for i, row := range rows {
		i += from
		value, label := json.Number(strconv.Itoa(1+i%(len(speedIndustries)-1))), speedIndustries[1+i%(len(speedIndustries)-1)]
		if bare {
			row["industry"] = map[string]any{"value": row["industry"], "label": row["industry_label"]}
		}
		industry, _ := row["industry"].(map[string]any)
		if row["id"] != speedID(i) || row["name"] != fmt.Sprintf("Jansen & Müller %c%d AG", rowMark, i) ||
			row["revenue"] != json.Number(speedRevenue(i)) || industry["value"] != value || industry["label"] != label {
			return 0, fmt.Errorf("row %d is %v", i, row)
		}
	}
	return len(rows), nil
}

// resetPeak has the kernel forget the largest memory of a process, where it does that.
func resetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // else the peak is that since the row began
}

// peakMemory is the largest memory that a process has had, from Linux's /proc; 0 elsewhere.
func peakMemory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
