package rules

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// commentWidth is that of the text of comments.
const commentWidth = 92

// Render makes the file of rules, with every time multiplied by scale: "for", windows, offsets
// and durations in comparisons. At 1 it is what is shipped; at 1/60 an hour lasts a minute.
func Render(scale float64) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# Rules for Prometheus; deploy/kubernetes/components/alerts has the same for its operator.\n" +
		"# Made from the table in deploy/check/rules by \"go generate ./...\" in deploy/check.\n" +
		"# " + Runbook + " says of each what it means and what to do.\ngroups:\n  - name: crmbridge\n    rules:\n")
	for _, a := range table {
		expr, err := scaled(a.Expr, scale)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		wait, err := times(a.For, scale)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		for _, line := range wrap(a.Reason, commentWidth) {
			fmt.Fprintf(&out, "      # %s\n", line)
		}
		fmt.Fprintf(&out, "      - alert: %s\n        expr: %s\n        for: %s\n        labels:\n          severity: %s\n"+
			"        annotations:\n          summary: %s\n          runbook_url: %s\n",
			a.Name, block(expr), model.Duration(wait), a.Severity, quoted(a.Summary), a.RunbookURL())
	}
	return out.Bytes(), nil
}

// scaled writes an expression anew. Durations in comparisons become seconds, which every
// Prometheus reads; the newest alone knows them as numbers.
func scaled(expr string, scale float64) (string, error) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return "", err
	}
	set := func(d *time.Duration) {
		var bad error
		if *d, bad = times(*d, scale); bad != nil && err == nil {
			err = bad
		}
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			set(&n.OriginalOffset)
		case *parser.MatrixSelector:
			set(&n.Range)
		case *parser.SubqueryExpr:
			set(&n.Range)
			set(&n.Step)
			set(&n.OriginalOffset)
		case *parser.NumberLiteral:
			if n.Duration {
				n.Val, n.Duration = n.Val*scale, false
			}
		case *parser.DurationExpr:
			err = fmt.Errorf("%s is computed: write it as a duration", n)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return parser.Prettify(parsed), nil
}

// times scales a duration. Prometheus counts in milliseconds: one below is an error.
func times(d time.Duration, scale float64) (time.Duration, error) {
	scaled := time.Duration(math.Round(float64(d)*scale/1e6)) * time.Millisecond
	if d != 0 && scaled < time.Millisecond {
		return 0, fmt.Errorf("%s times %g is shorter than a millisecond", d, scale)
	}
	return scaled, nil
}

// quoted is a text of one line in YAML.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// block is an expression of one or several lines in YAML. The first may be indented more than
// others, so that it is said how much of that belongs to the file.
func block(expr string) string {
	if !strings.Contains(expr, "\n") {
		return quoted(expr)
	}
	return "|2-\n          " + strings.ReplaceAll(expr, "\n", "\n          ")
}

// wrap breaks a text into lines of at most width characters, where no word is longer.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
