package boards

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statushistory"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

type (
	variable   = cog.Builder[dashboard.VariableModel]
	link       = cog.Builder[dashboard.DashboardLink]
	annotation = cog.Builder[dashboard.AnnotationQuery]
)

// A panel is one picture of a dashboard.
type panel struct {
	as      shape
	title   string
	about   string // what to read from it
	unit    string
	queries []query
	wide    uint32 // of 24 columns; without it, what its shape usually has
	least   string // the shortest time that one point or field may stand for
	alert   string // the alert whose section in the runbook it leads to
	steps   steps
	atLeast float64 // below it the value is red
	values  []dashboard.ValueMapping
}

type shape int

const (
	lines   shape = iota
	stacked       // lines, or areas, that add up
	number        // the last value, large
	history       // a coloured field for each series and moment
	heat          // a histogram over time
	list          // a table of what is there now
)

// A query is one question to Prometheus. In it PROCESS stands for the processes that the reader chose,
// FLEET for all of the chosen fleet.
type query struct {
	expr   string
	legend string
	traces bool // the histogram has exemplars: points that lead to traces
}

// steps are where a value turns from green to yellow and from there to red; the last one is red.
type steps []float64

// selected puts the choice of the reader into an expression.
func selected(expr string) string {
	return strings.NewReplacer("{PROCESS", `{job=~"$job", instance=~"$instance"`,
		"{FLEET", `{job=~"$job"`).Replace(expr)
}

// size is the width and the height of a panel on Grafana's grid.
func (p panel) size() (width, height uint32) {
	width, height = 12, 8
	if p.as == number {
		width, height = 4, 4
	}
	if p.wide != 0 {
		width = p.wide
	}
	return width, height
}

func (p panel) build(id uint32) cog.Builder[dashboard.Panel] {
	switch p.as {
	case number:
		return finish(p, id, stat.NewPanelBuilder().Orientation(common.VizOrientationAuto).
			GraphMode(common.BigValueGraphModeArea).ColorMode(common.BigValueColorModeValue).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
			NoValue("none").Mappings(p.values).Thresholds(p.colours()).ColorScheme(byThresholds()))
	case history:
		return finish(p, id, statushistory.NewPanelBuilder().MaxDataPoints(100).
			Mappings(p.values).Thresholds(p.colours()).ColorScheme(byThresholds()).
			ShowValue(common.VisibilityModeNever).RowHeight(0.9).ColWidth(0.9).LineWidth(0).FillOpacity(80).
			Legend(legend().ShowLegend(len(p.values) != 0)).Tooltip(tooltip()))
	case heat:
		return finish(p, id, heatmap.NewPanelBuilder().Calculate(false).CellGap(1).ShowLegend().
			FilterValues(heatmap.NewFilterValueRangeBuilder().Le(1e-9)).
			YAxis(heatmap.NewYAxisConfigBuilder().Unit(p.unit)).
			Color(heatmap.NewHeatmapColorOptionsBuilder().Mode(heatmap.HeatmapColorModeScheme).
				Scheme("Oranges").Steps(64).
				Scale(heatmap.HeatmapColorScaleExponential).Exponent(0.5).Fill("dark-orange").Reverse(false)).
			Tooltip(heatmap.NewHeatmapTooltipBuilder().Mode(common.TooltipDisplayModeSingle)).
			ExemplarsColor("rgba(255,0,255,0.7)"))
	case list:
		return finish(p, id, table.NewPanelBuilder().Footer(common.NewTableFooterOptionsBuilder().Reducer([]string{})).
			WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
				"excludeByName": map[string]bool{"Time": true}, "renameByName": map[string]string{"Value": "uptime"}}}))
	}
	made := timeseries.NewPanelBuilder().Min(0).LineWidth(1).FillOpacity(10).ShowPoints(common.VisibilityModeNever).
		Mappings(p.values).Legend(legend()).Tooltip(tooltip())
	if p.as == stacked {
		made.FillOpacity(60).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
	}
	return finish(p, id, made)
}

// A builder is what those of all shapes share.
type builder[B any] interface {
	cog.Builder[dashboard.Panel]
	Id(uint32) B
	Title(string) B
	Description(string) B
	Unit(string) B
	Datasource(common.DataSourceRef) B
	Height(uint32) B
	Span(uint32) B
	Links([]cog.Builder[dashboard.DashboardLink]) B
	Interval(string) B
	WithTarget(cog.Builder[variants.Dataquery]) B
}

// finish sets what panels of all shapes have.
func finish[B builder[B]](p panel, id uint32, made B) cog.Builder[dashboard.Panel] {
	width, height := p.size()
	made.Id(id).Title(p.title).Description(p.about).Unit(p.unit).Datasource(source()).Span(width).Height(height)
	for _, a := range rules.Alerts() {
		if a.Name == p.alert {
			made.Links([]link{dashboard.NewDashboardLinkBuilder("Runbook: " + a.Name).
				Type(dashboard.DashboardLinkTypeLink).Url(a.RunbookURL()).TargetBlank(true)})
		}
	}
	if p.least != "" {
		made.Interval(p.least)
	}
	for i, q := range p.queries {
		made.WithTarget(q.build(p.as, string(rune('A'+i))))
	}
	return made
}

func (q query) build(as shape, id string) cog.Builder[variants.Dataquery] {
	made := prometheus.NewDataqueryBuilder().RefId(id).Datasource(source()).
		Expr(selected(q.expr)).LegendFormat(q.legend).EditorMode(prometheus.QueryEditorModeCode)
	switch as {
	case list:
		made.Instant().Format(prometheus.PromQueryFormatTable)
	case heat:
		made.Range().Format(prometheus.PromQueryFormatHeatmap)
	default:
		made.Range().Format(prometheus.PromQueryFormatTimeSeries)
	}
	if q.traces {
		made.Exemplar(true)
	}
	return made
}

func legend() *common.VizLegendOptionsBuilder {
	return common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).
		Placement(common.LegendPlacementBottom).Calcs([]string{})
}

func tooltip() *common.VizTooltipOptionsBuilder {
	return common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)
}

func byThresholds() *dashboard.FieldColorBuilder {
	return dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)
}

// colours are where the colour of a value changes.
func (p panel) colours() *dashboard.ThresholdsConfigBuilder {
	all := []dashboard.Threshold{{Color: "green"}}
	if p.atLeast != 0 {
		all = []dashboard.Threshold{{Color: "red"}, {Value: &p.atLeast, Color: "green"}}
	}
	for i := range p.steps {
		colour := "yellow"
		if i == len(p.steps)-1 {
			colour = "red"
		}
		all = append(all, dashboard.Threshold{Value: &p.steps[i], Color: colour})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

// truth shows 1 and 0 as words, green and red.
func truth(yes, no string) []dashboard.ValueMapping {
	green, red := "green", "red"
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText,
		Options: map[string]dashboard.ValueMappingResult{
			"1": {Text: &yes, Color: &green},
			"0": {Text: &no, Color: &red}}}}}
}

// from shows every value from one on as a word.
func from(value float64, word string) []dashboard.ValueMapping {
	return []dashboard.ValueMapping{{RangeMap: &dashboard.RangeMap{Type: dashboard.MappingTypeRangeToText,
		Options: dashboard.DashboardRangeMapOptions{From: &value, Result: dashboard.ValueMappingResult{Text: &word}}}}}
}

// rates are those of a counter's series, such as crmbridge_requests_total{PROCESS}, a second, added up
// for each value of some labels.
func rates(by, series string) string { return total("rate", by, series) }

// increases are the same for the time that one point stands for, as a number of events.
func increases(by, series string) string { return total("increase", by, series) }

func total(function, by, series string) string {
	if by != "" {
		by = " by (" + by + ") "
	}
	return fmt.Sprintf("sum%s(%s(%s[$__rate_interval]))", by, function, series)
}

// percentiles are those of a histogram, of all its series together. Where nothing was measured there
// is no point: a percentile of nothing is not a number.
func percentiles(histogram string, traces bool) []query {
	var all []query
	for _, p := range []string{"50", "90", "99"} {
		all = append(all, query{expr: percentile("0."+p, histogram, ""), legend: "p" + p, traces: traces})
	}
	return all
}

// percentile is one of a histogram, for each value of a label where one is given.
func percentile(p, histogram, label string) string {
	by := "le"
	if label != "" {
		by = label + ", le"
	}
	return fmt.Sprintf("histogram_quantile(%s, %s) >= 0", p, rates(by, histogram+"_bucket{PROCESS}"))
}

// orZero gives 0 where an expression without labels gives nothing.
func orZero(queries []query) []query {
	for i := range queries {
		queries[i].expr = "(" + queries[i].expr + ") or vector(0)"
	}
	return queries
}

// active are rates without those that are 0: lists of operations and codes are long, and most of them
// are idle. Where all are there is one, called "none".
func active(by, series string) string {
	return named(rates(by, series)+" > 0", by)
}

// named gives 0, called "none", where an expression gives nothing.
func named(expr, labels string) string {
	label, _, _ := strings.Cut(labels, ",")
	return fmt.Sprintf(`%s or on () label_replace(vector(0), "%s", "none", "", "")`, expr, label)
}

// part is a part of a whole, and nothing where the whole is 0.
func part(of, whole string) string { return of + " / (" + whole + " > 0)" }

// share is the same, and 0 where the whole is 0, of expressions without labels.
func share(of, whole string) string { return part(of, whole) + " or vector(0)" }
