package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
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
	CPU       time.Duration  `json:"cpu"`  // a request, of the side's process only
	Peak      int64          `json:"peak"` // bytes of memory, of that process
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
func (s *speed) measure(row speedRow, done, of int) (m measured, err error) {
	m.Row = row
	form := url.Values{"rows": {strconv.Itoa(row.Rows)}, "delay": {row.Delay.String()}}
	if _, err := s.stubSays(s.ctx, form); err != nil {
		return m, fmt.Errorf("set the stub: %w", err)
	}
	crmbridge := s.fleet[0]
	for _, c := range []*child{s.bare, crmbridge.child} {
		c.end(interrupt)
		if err := os.Remove(c.logFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return m, err
		}
		if err := c.start(); err != nil {
			return m, err
		}
	}
	if err := s.awaitFleet(); err != nil {
		return m, err
	}
	sides := []side{
		{name: "bare", subject: bareSubject, bare: true, process: func() *child { return s.bare }},
		{name: "crmbridge", subject: accountsSearch.Subject() + ".", process: func() *child { return crmbridge.child }},
	}
	for _, one := range sides {
		if err := s.look(one, row); err != nil {
			return m, fmt.Errorf("%s: %w; its log ends with:\n%s", one.name, err, one.process().tail(2000))
		}
	}
	stop := s.profileRow(row)
	defer stop()
	for round := range s.Rounds {
		var both [2]sample
		for turn := range sides {
			i := (turn + round) % 2 // who begins changes
			if both[i], err = s.sample(sides[i], row); err != nil {
				return m, fmt.Errorf("%s: %w; its log ends with:\n%s", sides[i].name, err, sides[i].process().tail(2000))
			}
		}
		m.Bare, m.Crmbridge = append(m.Bare, both[0]), append(m.Crmbridge, both[1])
		s.say("%3d %%  %-15s throughput %.2f ×, CPU %.2f × (%d → %d µs), p99 %.2f ×%s", 100*(done+round+1)/of, row.Name,
			both[1].PerSecond/both[0].PerSecond, ratio(both[1].CPU, both[0].CPU), both[0].CPU.Microseconds(), both[1].CPU.Microseconds(),
			ratio(both[1].P99, both[0].P99), brackets(refusals(both[1].Refused)))
	}
	return m, nil
}

func brackets(s string) string {
	if s == "" {
		return ""
	}
	return "; REFUSED: " + s
}

// warm is how long a side works before it is measured.
const warm = 400 * time.Millisecond

// sample has one side work and measures it.
func (s *speed) sample(one side, row speedRow) (sample, error) {
	pid := one.process().pid()
	if err := s.load.begin(one, row); err != nil {
		return sample{}, err
	}
	sleep(s.ctx, warm)
	resetPeak(pid)
	pagesBefore, err := s.stubSays(s.ctx, nil)
	if err != nil {
		return sample{}, err
	}
	before, err := cpuTime(pid)
	if err != nil {
		return sample{}, err
	}
	s.load.take()
	begun := time.Now()
	sleep(s.ctx, time.Duration(s.Seconds*float64(time.Second)))
	counted, took := s.load.take(), time.Since(begun)
	after, err := cpuTime(pid)
	if err != nil {
		return sample{}, err
	}
	pages, err := s.stubSays(s.ctx, nil)
	peak := peakMemory(pid)
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
		CPU: (after - before) / time.Duration(n), Peak: peak, Answers: n, Refused: counted.refused,
		Calls: float64(pages-pagesBefore) / float64(all)}, nil
}

// look asks once over each connection, and reads every row of the first answer.
func (s *speed) look(one side, row speedRow) error {
	if err := await(s.ctx, 20*time.Second, "an answer", func(context.Context) error {
		return s.lookAt(one, row, s.connections[0], true)
	}); err != nil {
		return err
	}
	for _, connection := range s.connections[1:] {
		if err := s.lookAt(one, row, connection, false); err != nil {
			return err
		}
	}
	return nil
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
		id, revenue, industry := "id", "revenue", any(map[string]any{"value": json.Number(strconv.Itoa(1 + i%(len(speedIndustries)-1))),
			"label": speedIndustries[1+i%(len(speedIndustries)-1)]})
		if bare {
			id, industry = "accountid", json.Number(strconv.Itoa(1+i%(len(speedIndustries)-1)))
			row["industry"] = row["industrycode"]
		}
		name := fmt.Sprintf("Jansen & Müller %c%d AG", rowMark, i)
		if row[id] != speedID(i) || row["name"] != name || row[revenue] != json.Number(speedRevenue(i)) ||
			fmt.Sprint(row["industry"]) != fmt.Sprint(industry) {
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
