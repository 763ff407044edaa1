package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"os"
	"regexp"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
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

// A chartRow is a row of the table as it is drawn: its title, and the ratios of each of figures.
type chartRow struct {
	title  string
	ratios []spread
}

//go:generate go run . chart --page README.md --chart speed.svg

// chartCommand draws the chart of figures that have been measured already.
type chartCommand struct {
	Page  string `default:"cmd/crmbridge-bench/README.md" help:"The page whose table is drawn: ${default}."`
	Chart string `default:"cmd/crmbridge-bench/speed.svg" help:"Where the chart goes: ${default}."`
}

// Help is the long form.
func (c *chartCommand) Help() string {
	return `The chart is made from the table that stands in the page, and from nothing else: figures that
are written by 'speed --page' and their chart are the same ones. A test fails while the chart of
the repository is not that of its page.`
}

// Run draws it.
func (c *chartCommand) Run(p *printer) error {
	page, err := os.ReadFile(c.Page)
	if err != nil {
		return fmt.Errorf("%w: --page: %w", bridge.ErrUsage, err)
	}
	drawn, err := chartOf(page)
	if err != nil {
		return fmt.Errorf("%w: --page: %w", bridge.ErrUsage, err)
	}
	if err := os.WriteFile(c.Chart, drawn, 0o644); err != nil {
		return fmt.Errorf("%w: --chart: %w", bridge.ErrUsage, err)
	}
	p.say("%s is the chart of %s", c.Chart, c.Page)
	return nil
}

// How markdown writes what the chart shows.
var (
	chartAbout = regexp.MustCompile(`(?m)^Measured with (\d+) rounds of ([0-9.e+-]+) s on: .*?, (\d+) cores, `)
	chartLine  = regexp.MustCompile(`(?m)^\| ([^|]+) \| (\*\*.*) \|$`)
	chartRatio = regexp.MustCompile(`\*\*([0-9.]+)\*\* \(([0-9.]+)–([0-9.]+)\)`)
)

// chartOf draws the table of figures in a page, as SVG.
func chartOf(page []byte) ([]byte, error) {
	about := chartAbout.FindSubmatch(page)
	if about == nil {
		return nil, errors.New("the page has no line that says how its figures were measured")
	}
	title := fmt.Sprintf("crmbridge ÷ bare loop (%s rounds of %s s; %s cores)", about[1], about[2], about[3])
	var rows []chartRow
	for _, line := range chartLine.FindAllSubmatch(page, -1) {
		row := chartRow{title: string(line[1])}
		for _, ratio := range chartRatio.FindAllSubmatch(line[2], -1) {
			var s spread
			for i, to := range []*float64{&s.Median, &s.Min, &s.Max} {
				var err error
				if *to, err = strconv.ParseFloat(string(ratio[i+1]), 64); err != nil {
					return nil, err
				}
			}
			row.ratios = append(row.ratios, s)
		}
		if len(row.ratios) != len(figures) {
			return nil, fmt.Errorf("the row %q has %d figures, not %d", row.title, len(row.ratios), len(figures))
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, errors.New("the page has no table of figures")
	}
	return drawChart(title, rows)
}

// chart draws the ratios of the table's rows and writes them to a file.
func (r speedResult) chart(path string) error {
	var table bytes.Buffer
	r.markdown(&table)
	drawn, err := chartOf(table.Bytes())
	if err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	if err := os.WriteFile(path, drawn, 0o600); err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	return nil
}

// drawChart draws medians as bars, with a line from the least to the largest.
func drawChart(title string, rows []chartRow) ([]byte, error) {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = "ratio; 1 is the bare loop"
	p.Y.Min = 0
	p.Legend.Top = true
	p.Legend.Left = true
	p.Legend.Padding = vg.Points(3)
	const width = 14 // of a bar, points
	var names []string
	for _, row := range rows {
		names = append(names, strings.Replace(row.title, ", ", "\n", 2))
	}
	for i, f := range chartFigures {
		var heights plotter.Values
		errors := spreads{}
		offset := vg.Points(float64(width * (i - 1)))
		for x, row := range rows {
			s := row.ratios[f.figure]
			heights = append(heights, s.Median)
			errors.XYs = append(errors.XYs, plotter.XY{X: float64(x), Y: s.Median})
			errors.YErrors = append(errors.YErrors, struct{ Low, High float64 }{s.Median - s.Min, s.Max - s.Median})
		}
		bars, err := plotter.NewBarChart(heights, vg.Points(width-1))
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width, bars.Offset = f.colour, 0, offset
		whiskers, err := plotter.NewYErrorBars(errors)
		if err != nil {
			return nil, err
		}
		whiskers.CapWidth = vg.Points(5)
		p.Add(bars, shifted{whiskers, offset})
		p.Legend.Add(f.name, bars)
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(one)
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(rows))-0.4
	var ticks plot.ConstantTicks
	for at := 0.0; at <= p.Y.Max; at += 0.5 {
		ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'f', 1, 64)})
	}
	p.Y.Tick.Marker = ticks
	p.X.Tick.Label.Font.Size = font.Length(8)
	p.Y.Max *= 1.2 // for the legend
	canvas := vgsvg.New(vg.Points(130*float64(max(len(rows), 3))), vg.Points(330))
	p.Draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
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
