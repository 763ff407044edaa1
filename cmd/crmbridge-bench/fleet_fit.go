package main

import (
	"math"
)

// A fleetFit is a figure as a + b·P + c·C + d·P·C.
type fleetFit struct {
	A float64 `json:"a"`
	B float64 `json:"b_each_process"`
	C float64 `json:"c_each_connection"`
	D float64 `json:"d_each_process_and_connection"`
	// Noise is the standard error of D; 0 where there are no more figures than coefficients.
	Noise float64 `json:"d_standard_error"`
}

// A fleetPoint is one figure. C is what the third coefficient belongs to: connections, or what
// there is one of for some of them.
type fleetPoint struct{ p, c, pc, y float64 }

func (p fleetPoint) terms() [4]float64 { return [4]float64{1, p.p, p.c, p.pc} }

// leastSquares finds the coefficients with the least squares. It reports false where the points leave
// them open: it takes two numbers of processes and two of connections.
func leastSquares(points []fleetPoint) (fleetFit, bool) {
	// Each term is scaled to 1, so that a million connections do no harm.
	var scale [4]float64
	for _, p := range points {
		for i, t := range p.terms() {
			scale[i] = max(scale[i], math.Abs(t))
		}
	}
	var normal [4][4]float64
	var right [4]float64
	for _, p := range points {
		t := p.terms()
		for i := range 4 {
			for j := range 4 {
				normal[i][j] += t[i] / scale[i] * t[j] / scale[j]
			}
			right[i] += t[i] / scale[i] * p.y
		}
	}
	inverse, ok := invert(normal)
	if !ok {
		return fleetFit{}, false
	}
	var found [4]float64
	for i := range 4 {
		for j := range 4 {
			found[i] += inverse[i][j] * right[j]
		}
		found[i] /= scale[i]
	}
	f := fleetFit{A: found[0], B: found[1], C: found[2], D: found[3]}
	if free := len(points) - 4; free > 0 {
		rest := 0.0
		for _, p := range points {
			off := p.y - f.at(p)
			rest += off * off
		}
		f.Noise = math.Sqrt(rest/float64(free)*inverse[3][3]) / scale[3]
	}
	return f, true
}

func (f fleetFit) at(p fleetPoint) float64 { return f.A + f.B*p.p + f.C*p.c + f.D*p.pc }

// invert inverts a matrix by Gauss and Jordan.
func invert(m [4][4]float64) (inverse [4][4]float64, ok bool) {
	for i := range 4 {
		inverse[i][i] = 1
	}
	for col := range 4 {
		pivot := col
		for row := col + 1; row < 4; row++ {
			if math.Abs(m[row][col]) > math.Abs(m[pivot][col]) {
				pivot = row
			}
		}
		if math.Abs(m[pivot][col]) < 1e-12 {
			return inverse, false
		}
		m[col], m[pivot] = m[pivot], m[col]
		inverse[col], inverse[pivot] = inverse[pivot], inverse[col]
		by := m[col][col]
		for j := range 4 {
			m[col][j] /= by
			inverse[col][j] /= by
		}
		for row := range 4 {
			if row == col {
				continue
			}
			times := m[row][col]
			for j := range 4 {
				m[row][j] -= times * m[col][j]
				inverse[row][j] -= times * inverse[col][j]
			}
		}
	}
	return inverse, true
}

// A fleetFigure is one of those that may not grow with processes × connections.
type fleetFigure struct {
	name, unit string
	share      float64 // of the largest figure: what d may make of it as noise
	least      float64 // so much is noise in any case, however small the figure is
	of         func(*fleetCell) float64
	copies     bool // the third coefficient is of copies of tokens that are kept
}

const (
	countNoise = 0.05
	cpuNoise   = 0.25 // processes share the machine with whatever else runs
)

// tokenInterval is how long a token of an hour is used before it is renewed: until 5 to 6.25
// minutes before its end.
const tokenInterval = 3600 - 337.5

// aSecond is the part of a second that falls on all renewals.
func aSecond(c *fleetCell, each float64) float64 {
	return each * float64(c.Connections) / tokenInterval
}

var fleetFigures = []fleetFigure{
	{"idle: Redis commands", "/s", countNoise, 5, func(c *fleetCell) float64 { return c.Idle.Commands }, false},
	{"idle: Redis bytes", "B/s", countNoise, 1000,
		func(c *fleetCell) float64 { return c.Idle.RedisIn + c.Idle.RedisOut }, false},
	{"idle: NATS messages", "/s", countNoise, 0.5, func(c *fleetCell) float64 { return c.Idle.Messages }, false},
	{"idle: CPU of crmbridge", "µs/s", cpuNoise, 20_000, func(c *fleetCell) float64 { return c.Idle.CPU }, false},
	{"idle: CPU of Redis and NATS", "µs/s", cpuNoise, 20_000,
		func(c *fleetCell) float64 { return c.Idle.RedisCPU + c.Idle.NATSCPU }, false},
	{"memory, each connection asked once", "B", countNoise, 8 << 20,
		func(c *fleetCell) float64 { return float64(c.Memory) }, true},
	{"renewals of hourly tokens: Redis commands", "/s", countNoise, 2,
		func(c *fleetCell) float64 { return aSecond(c, c.Renewal.Commands) }, false},
	{"a first request: Redis commands", "", countNoise, 5, func(c *fleetCell) float64 { return c.First.Commands }, false},
	{"a request: Redis commands", "", countNoise, 5, func(c *fleetCell) float64 { return c.Request.Commands }, false},
	{"a request: NATS messages", "", countNoise, 0.2, func(c *fleetCell) float64 { return c.Request.Messages }, false},
	{"a page of a job: NATS messages", "", countNoise, 1, func(c *fleetCell) float64 { return c.Page.Messages }, false},
}

// A fleetVerdict is what is found of one figure.
type fleetVerdict struct {
	Figure string `json:"figure"`
	Unit   string `json:"unit,omitempty"`
	fleetFit
	// Share is what the fitted d makes at the largest fleet, as a part of the largest figure.
	Share float64 `json:"d_share_of_the_largest"`
	Grows bool    `json:"grows"`
}

// judge fits one figure. It reports false where the cells do not say enough.
func (g fleetFigure) judge(cells []*fleetCell) (fleetVerdict, bool) {
	var points []fleetPoint
	largest, most := 0.0, 0.0
	for _, c := range cells {
		p := fleetPoint{p: float64(c.Processes), c: float64(c.Connections), y: g.of(c)}
		p.pc = p.p * p.c
		if g.copies {
			p.c = float64(c.Copies)
		}
		points = append(points, p)
		largest, most = max(largest, math.Abs(p.y)), max(most, p.pc)
	}
	v := fleetVerdict{Figure: g.name, Unit: g.unit}
	var ok bool
	if v.fleetFit, ok = leastSquares(points); !ok {
		return v, false
	}
	if largest > 0 {
		v.Share = v.D * most / largest
	}
	v.Grows = v.Share > g.share && v.D > 3*v.Noise && v.D*most > g.least
	return v, true
}
