package main

import (
	"fmt"
	"image/color"
	"os"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chartFigures are the figures of the chart, a bar each, with their colours.
var chartFigures = []struct {
	figure int
	name   string
	colour color.RGBA
}{
	{figureThroughput, "throughput (more is better)", color.RGBA{0x1b, 0x7f, 0x5c, 0xff}},
	{figureCPU, "CPU a request (less is better)", color.RGBA{0xd9, 0x80, 0x1e, 0xff}},
	{figureP99, "p99 (less is better)", color.RGBA{0x5b, 0x6f, 0xb5, 0xff}},
}

// chart draws the ratios of the table's rows, medians with a line from the least to the
// largest, and writes them to a file as SVG.
func (r speedResult) chart(path string) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("crmbridge ÷ bare loop (%d rounds of %g s; %d cores)", r.Rounds, r.Seconds, r.Machine.Cores)
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = "ratio; 1 is the bare loop"
	p.Y.Min = 0
	p.Legend.Top = true
	p.Legend.Left = true
	p.Legend.Padding = vg.Points(3)
	const width = 14 // of a bar, points
	var names []string
	for _, m := range r.Rows {
		names = append(names, strings.Replace(m.Row.title(), ", ", "\n", 2))
	}
	for i, f := range chartFigures {
		var heights plotter.Values
		errors := spreads{}
		offset := vg.Points(float64(width * (i - 1)))
		for x, m := range r.Rows {
			s := m.paired(f.figure)
			heights = append(heights, s.Median)
			errors.XYs = append(errors.XYs, plotter.XY{X: float64(x), Y: s.Median})
			errors.YErrors = append(errors.YErrors, struct{ Low, High float64 }{s.Median - s.Min, s.Max - s.Median})
		}
		bars, err := plotter.NewBarChart(heights, vg.Points(width-1))
		if err != nil {
			return fmt.Errorf("draw the chart: %w", err)
		}
		bars.Color, bars.LineStyle.Width, bars.Offset = f.colour, 0, offset
		whiskers, err := plotter.NewYErrorBars(errors)
		if err != nil {
			return fmt.Errorf("draw the chart: %w", err)
		}
		whiskers.CapWidth = vg.Points(5)
		p.Add(bars, shifted{whiskers, offset})
		p.Legend.Add(f.name, bars)
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(one)
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(r.Rows))-0.4
	p.X.Tick.Label.Font.Size = font.Length(8)
	p.Y.Max *= 1.2 // for the legend
	canvas := vgsvg.New(vg.Points(130*float64(max(len(r.Rows), 3))), vg.Points(330))
	p.Draw(draw.New(canvas))
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	_, err = canvas.WriteTo(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	return nil
}

// spreads are points with how far they reach down and up.
type spreads struct {
	plotter.XYs
	plotter.YErrors
}

// shifted draws beside the places where its plotter would, as bars do.
type shifted struct {
	*plotter.YErrorBars
	by vg.Length
}

// Plot implements [plot.Plotter].
func (s shifted) Plot(c draw.Canvas, p *plot.Plot) {
	c.Min.X += s.by
	c.Max.X += s.by
	s.YErrorBars.Plot(c, p)
}
