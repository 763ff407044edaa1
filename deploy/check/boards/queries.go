package boards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Folder is where the files of the dashboards lie, from the root of the repository.
const Folder = "deploy/observe/grafana/dashboards"

// A Query is one question of a dashboard, as Grafana would send it to Prometheus.
type Query struct {
	Dashboard string // its title
	Panel     string // the title of the panel, or the name of the variable or annotation
	Kind      Kind
	Expr      string
}

// Kind is what asks a query.
type Kind string

const (
	Panel      Kind = "panel"
	Variable   Kind = "variable"
	Annotation Kind = "annotation"
)

// file is what [Queries] reads of a dashboard.
type file struct {
	Title  string
	Panels []struct {
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

// Queries are those of all files in [Folder], with a window in place of the intervals that Grafana
// computes, and with every series chosen where a reader could choose some.
func Queries(window time.Duration) ([]Query, error) {
	var all []Query
	for _, b := range All() {
		read, err := b.read()
		if err != nil {
			return nil, err
		}
		var found []Query
		for _, p := range read.Panels {
			for _, target := range p.Targets {
				found = append(found, Query{read.Title, p.Title, Panel, target.Expr})
			}
		}
		for _, v := range read.Templating.List {
			if v.Type != "query" {
				continue
			}
			match := labelValues.FindStringSubmatch(v.Query)
			if match == nil {
				return nil, fmt.Errorf("%s: the variable %s asks %s", b.File, v.Name, v.Query)
			}
			found = append(found, Query{read.Title, v.Name, Variable, match[1]})
		}
		for _, a := range read.Annotations.List {
			found = append(found, Query{read.Title, a.Name, Annotation, a.Expr})
		}
		for i := range found {
			if found[i].Expr, err = filled(found[i].Expr, window); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", b.File, found[i].Panel, err)
			}
		}
		all = append(all, found...)
	}
	return all, nil
}

// labelValues is how a variable asks for the values that a label has in some series.
var labelValues = regexp.MustCompile(`^label_values\((.+), \w+\)$`)

var inserted = regexp.MustCompile(`\$(?:\{\w+(?::\w+)?\}|\w+)`)

// filled is an expression without variables.
func filled(expr string, window time.Duration) (string, error) {
	var err error
	text := inserted.ReplaceAllStringFunc(expr, func(name string) string {
		switch name {
		case "$__rate_interval", "$__interval", "$__range":
			return fmt.Sprintf("%dms", window.Milliseconds())
		case "$job", "$instance":
			return ".*"
		}
		err = fmt.Errorf("%s in %s is no variable of the dashboard", name, expr)
		return name
	})
	return text, err
}

// read is the file of a dashboard.
func (b Board) read() (file, error) {
	var read file
	root, err := repository()
	if err != nil {
		return read, err
	}
	text, err := os.ReadFile(filepath.Join(root, Folder, b.File))
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	return read, err
}

// repository is the root of the repository that the working directory lies in.
func repository() (string, error) {
	at, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(at, Folder)); missing == nil {
			return at, nil
		}
		if filepath.Dir(at) == at {
			return "", fmt.Errorf("there is no folder %s above the working directory", Folder)
		}
		at = filepath.Dir(at)
	}
	return "", err
}
