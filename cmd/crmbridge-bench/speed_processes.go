package main

import (
	"fmt"
	"time"
)

// manyProcesses is how many are compared with one.
const manyProcesses = 4

// processesRow is the work of one process; many have as many times as much in flight.
var processesRow = speedRow{Name: "processes", Rows: 10, Delay: 50 * time.Millisecond, InFlight: 32}

// A processesResult compares one process with many, of both sides, in each round.
type processesResult struct {
	Processes     int      `json:"processes"`
	Bare          []sample `json:"bare"` // of one
	BareMany      []sample `json:"many_bare"`
	Crmbridge     []sample `json:"crmbridge"`
	CrmbridgeMany []sample `json:"many_crmbridge"`
}

// processes measures what many processes do beside one.
func (s *speed) processes() error {
	row, r := processesRow, &processesResult{Processes: manyProcesses}
	s.result.Processes = r
	if err := s.setStub(row.Rows, 1, row.Delay); err != nil {
		return err
	}
	for range s.Rounds {
		one, err := s.both(row, 1)
		if err != nil {
			return err
		}
		many := row
		many.InFlight *= manyProcesses
		all, err := s.both(many, manyProcesses)
		if err != nil {
			return err
		}
		r.Bare, r.Crmbridge = append(r.Bare, one[0]), append(r.Crmbridge, one[1])
		r.BareMany, r.CrmbridgeMany = append(r.BareMany, all[0]), append(r.CrmbridgeMany, all[1])
		s.progress(row.Name, "%d processes do %.2f × what one does; the bare loop's %.2f ×", manyProcesses,
			all[1].PerSecond/one[1].PerSecond, all[0].PerSecond/one[0].PerSecond)
	}
	return s.running(1)
}

// both measures both sides with as many processes.
func (s *speed) both(row speedRow, processes int) (both [2]sample, err error) {
	if err := s.running(processes); err != nil {
		return both, err
	}
	for i, one := range s.sides(processes) {
		if err := s.lookClosely(one, row); err != nil {
			return both, fmt.Errorf("%s: %w", one.name, err)
		}
		if both[i], err = s.sample(one, row); err != nil {
			return both, fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return both, nil
}

// factors are how many times as much as one process many do, round by round.
func factors(one, many []sample) spread {
	var all []float64
	for i := range one {
		all = append(all, many[i].PerSecond/one[i].PerSecond)
	}
	return spreadOf(all)
}

func (r *processesResult) missed() string {
	wanted := min(3.6, factors(r.Bare, r.BareMany).Median)
	if factors(r.Crmbridge, r.CrmbridgeMany).Median < 0.97*wanted {
		return fmt.Sprintf("%d processes ≥ %.2f ×", manyProcesses, wanted)
	}
	return ""
}
