package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// What is wanted of a process that begins.
const (
	wantedStart = 100 * time.Millisecond
	wantedIdle  = 24 << 20 // bytes
)

// idleFor is how long a process that has answered nothing is left alone. After two seconds
// crmbridge gives back what only its start needed; what its idling needs is in memory again since.
const idleFor = 10 * time.Second

// A startResult is how long processes took from their start to their first answer, and what
// memory others had that were asked nothing.
type startResult struct {
	FirstAnswer []time.Duration `json:"first_answer"`
	// After the machine had nothing to do for idleFor: a virtual one has given its free memory and
	// its processors back to its host by then.
	ColdAnswer []time.Duration `json:"cold_answer"`
	Idle       []int64         `json:"idle"` // bytes
	BareIdle   []int64         `json:"bare_idle"`
}

// begins measures crmbridge's start, which follows another one. The first answer is a search's:
// with NATS, Redis, the grant of a connection that is there, and Dataverse.
func (s *speed) begins() error {
	row, r := speedRow{Name: "start", Rows: 10}, &startResult{}
	s.result.Start = r
	if err := s.setStub(row.Rows, 1, 0); err != nil {
		return err
	}
	for range s.Rounds {
		if err := errors.Join(s.running(0), s.running(1)); err != nil {
			return err
		}
		if !sleep(s.ctx, idleFor) {
			return s.ctx.Err()
		}
		r.Idle = append(r.Idle, resident(s.fleet[0].pid()))
		r.BareIdle = append(r.BareIdle, resident(s.bares[0].pid()))
		if err := s.running(0); err != nil {
			return err
		}
		cold, err := s.firstAnswer(row)
		if err != nil {
			return err
		}
		r.ColdAnswer = append(r.ColdAnswer, cold)
		if err := s.running(0); err != nil {
			return err
		}
		took, err := s.firstAnswer(row)
		if err != nil {
			return err
		}
		r.FirstAnswer = append(r.FirstAnswer, took)
		s.progress(row.Name, "first answer after %d ms (%d ms cold); %.1f MiB idle, the bare loop %.1f MiB",
			took.Milliseconds(), cold.Milliseconds(),
			float64(r.Idle[len(r.Idle)-1])/(1<<20), float64(r.BareIdle[len(r.BareIdle)-1])/(1<<20))
	}
	return s.running(1)
}

// firstAnswer starts crmbridge and asks until it answers.
func (s *speed) firstAnswer(row speedRow) (time.Duration, error) {
	head, tail := row.body()
	body := append(append(head, "first"...), tail...)
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	begun := time.Now()
	if err := s.fleet[0].start(); err != nil {
		return 0, err
	}
	for {
		m, err := s.nc.RequestWithContext(ctx, accountsSearch.Subject()+"."+s.connections[0], body)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			if !sleep(ctx, time.Millisecond) {
				return 0, ctx.Err()
			}
		case err != nil:
			return 0, fmt.Errorf("the first answer: %w", err)
		case m.Header.Get(messages.HeaderErrorCode) != "":
			return 0, fmt.Errorf("the first answer: %.300s", m.Data)
		default:
			return time.Since(begun), nil
		}
	}
}

func (r *startResult) missed() (all []string) {
	if took := median(r.FirstAnswer); took > wantedStart {
		all = append(all, fmt.Sprintf("first answer ≤ %d ms", wantedStart.Milliseconds()))
	}
	if medianOf(r.Idle) > wantedIdle {
		all = append(all, fmt.Sprintf("idle ≤ %d MiB", wantedIdle>>20))
	}
	return all
}

func medianOf(of []int64) float64 {
	all := make([]float64, len(of))
	for i, n := range of {
		all[i] = float64(n)
	}
	return spreadOf(all).Median
}
