package boards

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

//go:generate go test -run ^TestTheFilesAreMade$ -update .

var update = flag.Bool("update", false, "write the files of the dashboards")

// text is the file of a dashboard.
func (b Board) text(t *testing.T) []byte {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, Folder, b.File))
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// The files are what this package makes.
func TestTheFilesAreMade(t *testing.T) {
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{"README.md": true}
	for _, b := range All() {
		text, err := b.JSON()
		if err != nil {
			t.Fatalf("%s: %v", b.File, err)
		}
		made[b.File] = true
		name := filepath.Join(root, Folder, b.File)
		if *update {
			if err := os.WriteFile(name, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, text) {
			t.Errorf("%s is stale (%v): in deploy/check, go generate ./boards", b.File, err)
		}
	}
	files, err := os.ReadDir(filepath.Join(root, Folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !made[f.Name()] {
			t.Errorf("nothing makes %s", f.Name())
		}
	}
}

// Grafana's own types take the files, with every field that stands in them and nothing missing.
func TestGrafanaTakesTheFiles(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, b := range All() {
		text := b.text(t)
		var whole dashboard.Dashboard //lint:ignore SA1019 see board.go
		if err := strictly(whole.UnmarshalJSONStrict(text)); err != nil {
			t.Fatalf("%s: %v", b.File, err)
		}
		if err := whole.Validate(); err != nil {
			t.Errorf("%s: %v", b.File, err)
		}
		for in, out := range map[string]string{
			`"fillOpacity"`: `"fillOpaqueness"`, `"graphMode"`: `"graphMood"`, `"expr"`: `"expression"`,
			`"schemaVersion": 42`: `"schemaVersion": "x"`,
		} {
			var broken dashboard.Dashboard //lint:ignore SA1019 see board.go
			if strictly(broken.UnmarshalJSONStrict(bytes.Replace(text, []byte(in), []byte(out), 1))) == nil {
				t.Errorf("%s: %s is as good as %s", b.File, out, in)
			}
		}
	}
}

// strictly is the error of a strict decoder, which gives a list even where it has found nothing.
func strictly(err error) error {
	var faults cog.BuildErrors
	if errors.As(err, &faults) && len(faults) == 0 {
		return nil
	}
	return err
}

// Every source of data is the one that the reader chose.
func TestNoSourceIsFixed(t *testing.T) {
	for _, b := range All() {
		var whole any
		if err := json.Unmarshal(b.text(t), &whole); err != nil {
			t.Fatalf("%s: %v", b.File, err)
		}
		found := 0
		var walk func(at string, value any)
		walk = func(at string, value any) {
			switch v := value.(type) {
			case []any:
				for _, each := range v {
					walk(at, each)
				}
			case map[string]any:
				for key, each := range v {
					if strings.Contains(strings.ToLower(key), "datasource") {
						source, is := each.(map[string]any)
						if !is || len(source) != 2 || source["type"] != "prometheus" ||
							source["uid"] != "${datasource}" {
							t.Errorf("%s: %s.%s is %v", b.File, at, key, each)
						}
						found++
					}
					walk(at+"."+key, each)
				}
			}
		}
		walk("", whole)
		if found < 20 {
			t.Errorf("%s: only %d sources are named", b.File, found)
		}
	}
}

// Who looks at a panel is told what it shows and what to read from it.
func TestPanelsSayWhatTheyShow(t *testing.T) {
	uids, ids := map[string]bool{}, map[uint32]bool{}
	for _, b := range All() {
		var whole dashboard.Dashboard //lint:ignore SA1019 see board.go
		if err := json.Unmarshal(b.text(t), &whole); err != nil {
			t.Fatal(err)
		}
		if uids[*whole.Uid] || len(*whole.Uid) > 40 || *whole.Title == "" || *whole.Description == "" {
			t.Errorf("%s: %s, %s", b.File, *whole.Uid, *whole.Title)
		}
		uids[*whole.Uid] = true
		clear(ids)
		taken := map[[2]uint32]string{}
		for _, at := range whole.Panels {
			p := at.Panel
			if p == nil {
				continue
			}
			name := b.File + ": " + *p.Title
			if *p.Title == "" || ids[*p.Id] {
				t.Errorf("%s has no title, or no number of its own", name)
			}
			ids[*p.Id] = true
			if len(*p.Description) < 20 || !strings.HasSuffix(*p.Description, ".") {
				t.Errorf("%s: the description is %q", name, *p.Description)
			}
			if p.FieldConfig.Defaults.Unit == nil || *p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s has no unit", name)
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s asks nothing", name)
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]uint32{x, y}]; other != "" || x >= 24 {
						t.Fatalf("%s lies over %s, or beyond the edge", name, other)
					}
					taken[[2]uint32{x, y}] = name
				}
			}
		}
	}
}

// Panels lead to the runbook's sections of the alerts that look at the same; each alert has a panel.
func TestPanelsLeadToTheRunbook(t *testing.T) {
	shown := map[string]bool{}
	for _, b := range All() {
		for _, r := range b.rows {
			for _, p := range r.panels {
				shown[p.alert] = true
			}
		}
	}
	delete(shown, "")
	for _, a := range rules.Alerts() {
		if !shown[a.Name] {
			t.Errorf("no panel leads to %s", a.Name)
		}
		delete(shown, a.Name)
	}
	for name := range shown {
		t.Errorf("there is no alert %s", name)
	}
}

// A reader comes from each dashboard to the others and to the runbook, and takes the choice along.
func TestDashboardsLeadToOneAnother(t *testing.T) {
	for _, b := range All() {
		var whole struct {
			Tags  []string
			Links []struct {
				Type, URL             string
				Tags                  []string
				IncludeVars, KeepTime bool
			}
			Templating struct {
				List []struct {
					Name, Type        string
					Multi, IncludeAll bool
				}
			}
		}
		if err := json.Unmarshal(b.text(t), &whole); err != nil {
			t.Fatal(err)
		}
		others, pages := 0, ""
		for _, l := range whole.Links {
			if l.Type == "dashboards" && l.IncludeVars && l.KeepTime && len(l.Tags) == 1 && l.Tags[0] == tag {
				others++
			}
			pages += l.URL + " "
		}
		if others != 1 || len(whole.Tags) != 1 || whole.Tags[0] != tag ||
			!strings.Contains(pages, "/deploy/RUNBOOK.md ") {
			t.Errorf("%s: tags %v, links %v", b.File, whole.Tags, whole.Links)
		}
		var names []string
		for _, v := range whole.Templating.List {
			names = append(names, v.Name)
			if v.Multi != (v.Name == "instance") || v.IncludeAll != (v.Name == "instance") {
				t.Errorf("%s: of %s many can be chosen: %v, all: %v", b.File, v.Name, v.Multi, v.IncludeAll)
			}
		}
		if strings.Join(names, " ") != "datasource job instance" {
			t.Errorf("%s: the variables are %v", b.File, names)
		}
	}
}
