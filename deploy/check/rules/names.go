package rules

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// A Selector is one place of an expression that reads series, such as
// crmbridge_requests_total{code="internal"} in a rate.
type Selector struct {
	Metric   string            // the name of the series, as written: with _bucket, _sum or _count of a histogram
	Matchers []*labels.Matcher // those of labels, in the order in which they are written
	// Grouped are the labels that the operators around it name, sorted: those of "by", "on" and
	// group_left or group_right. Labels of "without" and "ignoring" are left out: they name what
	// need not be there.
	Grouped []string
}

// Labels are those that the selector needs of its series, sorted, each once.
func (s Selector) Labels() []string {
	names := slices.Clone(s.Grouped)
	for _, m := range s.Matchers {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Names lists what an expression reads, in the order in which it stands there. The error is that
// of Prometheus's own parser, or says that a selector names no metric, or names it by a pattern.
func Names(expr string) ([]Selector, error) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var found []Selector
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		series, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		selector := Selector{Grouped: grouped(path)}
		for _, m := range series.LabelMatchers {
			switch {
			case m.Name != model.MetricNameLabel:
				selector.Matchers = append(selector.Matchers, m)
			case m.Type == labels.MatchEqual:
				selector.Metric = m.Value
			}
		}
		if selector.Metric == "" && err == nil {
			err = fmt.Errorf("%s: %s names no metric", expr, series)
		}
		found = append(found, selector)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// grouped are the labels that the operators around a selector name.
func grouped(path []parser.Node) []string {
	var names []string
	for _, node := range path {
		switch around := node.(type) {
		case *parser.AggregateExpr:
			if !around.Without {
				names = append(names, around.Grouping...)
			}
		case *parser.BinaryExpr:
			if around.VectorMatching != nil && around.VectorMatching.On {
				names = append(names, around.VectorMatching.MatchingLabels...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
