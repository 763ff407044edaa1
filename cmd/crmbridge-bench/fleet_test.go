package main

import (
	"encoding/json"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

// One small fleet: every figure is there, and nothing that was not asked of it.
func TestFleet(t *testing.T) {
	bridgetest.Long(t, "a process looks for renewals each 5 s")
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	var out strings.Builder
	c := &fleetCommand{Processes: []int{1}, Connections: []int{20}, Seconds: 1, JSON: true, quick: true}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context(), &printer{to: &out, begun: time.Now()}); err != nil {
		t.Fatal(err)
	}
	var r fleetReport
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if len(r.Cells) != 1 || len(r.Verdicts) != 0 {
		t.Fatalf("%s", out.String())
	}
	cell := r.Cells[0]
	for name, v := range map[string]float64{
		"a connection in Redis": float64(r.Grant), "idle commands": cell.Idle.Commands, "memory": float64(cell.Memory),
		"a first request": cell.First.Commands, "a job": cell.Job.Messages, "a page": cell.Page.NATSBytes,
		"files": float64(cell.Files), "Redis links": float64(cell.RedisLinks),
		"subscriptions": float64(cell.Subs),
	} {
		if v <= 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
	// A request is a message to a process and one from it.
	if math.Abs(cell.Request.Messages-2) > 0.5 || cell.Renewed != 2 {
		t.Errorf("%.2f messages a request, %d renewals", cell.Request.Messages, cell.Renewed)
	}
}

func TestFleetUsage(t *testing.T) {
	for _, args := range [][]string{
		{"fleet", "--processes=0"}, {"fleet", "--connections=10,-1"}, {"fleet", "--processes=65"}, {"fleet", "--seconds=0"},
	} {
		var stdout, stderr strings.Builder
		if status := run(args, &stdout, &stderr); status != 2 {
			t.Errorf("%v: status %d: %s", args, status, stderr.String())
		}
	}
}

// cellsOf are fleets whose idle commands are a formula.
func cellsOf(commands func(p, c float64) float64) (cells []*fleetCell) {
	for _, p := range []int{1, 2, 4, 8} {
		for _, c := range []int{100, 1000, 10_000} {
			cells = append(cells, &fleetCell{Processes: p, Connections: c,
				Idle: fleetCost{Commands: commands(float64(p), float64(c))}})
		}
	}
	return cells
}

// The fit finds what was put in, and what grows with processes × connections is found where it
// is more than noise.
func TestFleetVerdict(t *testing.T) {
	figure := fleetFigures[0]
	for name, c := range map[string]struct {
		of    func(p, c float64) float64
		d     float64
		grows bool
	}{
		"constant":         {func(_, _ float64) float64 { return 20 }, 0, false},
		"processes":        {func(p, _ float64) float64 { return 3 + 20*p }, 0, false},
		"both, apart":      {func(p, c float64) float64 { return 20*p + 0.01*c }, 0, false},
		"each heartbeats":  {func(p, c float64) float64 { return 20*p + 0.01*c + p*c/1000 }, 0.001, true},
		"too little":       {func(p, c float64) float64 { return 20*p + p*c/100_000 }, 0.00001, false},
		"noise of a fifth": {func(p, c float64) float64 { return 20 * p * (1 + 0.2*math.Sin(7*p+c)) }, math.NaN(), false},
	} {
		v, ok := figure.judge(cellsOf(c.of))
		if !ok || v.Grows != c.grows {
			t.Errorf("%s: %+v, %v", name, v, ok)
		}
		if !math.IsNaN(c.d) && math.Abs(v.D-c.d) > 1e-9 {
			t.Errorf("%s: d is %g, want %g", name, v.D, c.d)
		}
	}
	for _, cells := range [][]*fleetCell{nil, cellsOf(func(_, _ float64) float64 { return 1 })[:3]} {
		if v, ok := figure.judge(cells); ok {
			t.Errorf("%d fleets: %+v", len(cells), v)
		}
	}
}
