package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/messages"
)

// Columns with names of one's own, parts, and a form for spreadsheets.
func TestExportShapes(t *testing.T) {
	t.Parallel()
	const hostile = `{"accounts":[{"name":"=1+1","website":"+49, 30","revenue":-2.5000},{"name":"b","website":null,"revenue":1.0}]}`
	for _, test := range []struct {
		args  []string
		out   string
		files map[string]string
		says  string
	}{
		{[]string{"--columns=companyname=name,companywebsite=website"}, "a.csv",
			map[string]string{"a.csv": "companyname,companywebsite\n\"A, \"\"B\"\"\nC\",\nZoë,https://x\n東京,\n" +
				"=1+1,\"+49, 30\"\nb,\n"}, "5 accounts in a.csv\n"},
		{[]string{"--columns=n=name", "--split=2"}, "a.b.csv",
			map[string]string{"a.b-001.csv": "n\n\"A, \"\"B\"\"\nC\"\nZoë\n", "a.b-002.csv": "n\n東京\n=1+1\n",
				"a.b-003.csv": "n\nb\n"}, "5 accounts in 3 files, a.b-001.csv to a.b-003.csv\n"},
		{[]string{"--fields=id", "--split=5"}, "a.jsonl", map[string]string{"a-001.jsonl": lineWhole +
			`{"name":"=1+1","website":"+49, 30","revenue":-2.5000}` + "\n" +
			`{"name":"b","website":null,"revenue":1.0}` + "\n"}, "5 accounts in a-001.jsonl\n"},
		{[]string{"--columns=name,phone=website,revenue", "--spreadsheet", "--split=3"}, "a.csv",
			map[string]string{
				"a-001.csv": byteOrderMark + "\"name\",\"phone\",\"revenue\"\r\n\"A, \"\"B\"\"\nC\",\"\",\"\"\r\n" +
					"\"Zoë\",\"https://x\",\"\"\r\n\"東京\",\"\",\"\"\r\n",
				"a-002.csv": byteOrderMark + "\"name\",\"phone\",\"revenue\"\r\n\"'=1+1\",\"'+49, 30\",-2.5000\r\n" +
					"\"b\",\"\",1.0\r\n"}, "5 accounts in a-001.csv and a-002.csv\n"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			e := newExporting(t, []string{firstPage, `{"accounts":[]}`, lastPage, hostile}, messages.JobDone)
			folder := t.TempDir()
			args := append([]string{"accounts", "export", "acme", "--out", filepath.Join(folder, test.out)}, test.args...)
			status, _, stderr := e.run(args...)
			if said := strings.ReplaceAll(stderr, folder+"/", ""); status != 0 || said != test.says {
				t.Fatalf("status %d: %s", status, stderr)
			}
			for name, want := range test.files {
				holds(t, filepath.Join(folder, name), want)
			}
			if entries, err := os.ReadDir(folder); err != nil || len(entries) != len(test.files) {
				t.Errorf("%v, %v", entries, err)
			}
			if status, _, stderr := e.run(args...); status != program.ExitUsage ||
				!strings.Contains(stderr, "is there already") {
				t.Errorf("again: status %d: %s", status, stderr)
			}
		})
	}
}

// Parts in --json have their names, and nothing else is there for one file.
func TestExportNamesItsParts(t *testing.T) {
	e := newExporting(t, []string{firstPage, lastPage}, messages.JobDone)
	out := filepath.Join(t.TempDir(), "a.csv")
	status, stdout, stderr := e.run("accounts", "export", "acme", "--json", "--split=1", "--out", out)
	if status != 0 || strings.Count(stdout, "/a-00") != 3 || strings.Contains(stdout, `"file"`) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// A side file of the version before is gone on with, and one of another shape has a form that such a
// version refuses.
func TestExportForms(t *testing.T) {
	t.Parallel()
	e := newExporting(t, []string{firstPage, lastPage}, messages.JobRunning)
	out := filepath.Join(t.TempDir(), "a.csv")
	interruptExport(t, e, out, 2)
	side := readFile(t, sideFile(out))
	_, _, id, _ := messages.ParseJobSubject(strings.Fields(e.published()[0])[0])
	whole := readFile(t, out)
	begun := strings.Index(whole, "3,")
	before := fmt.Sprintf(`{
  "form": 1,
  "job_id": "%s",
  "published": true,
  "page": 1,
  "offset": %d,
  "rows": 2,
  "request": {
    "table": "accounts",
    "search": {
      "connection": "acme"
    },
    "options": {}
  }
}
`, id, begun)
	if !strings.Contains(side, `"form": 1,`) || strings.Contains(side, "shape") || strings.Contains(side, "part") {
		t.Errorf("the side file of a usual export is not what it was: %s", side)
	}
	if err := os.WriteFile(sideFile(out), []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Result("acme", id, 3, `{"accounts":[{"id":"4"}]}`, messages.HeaderIncarnation, "i", messages.HeaderLast, "true")
	if status, _, stderr := e.run("accounts", "export", "acme", "--out", out); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	holds(t, out, csvWhole+"4,,,,\n")
	if state := newExportState(exportRequest{Shape: exportShape{Split: 1}}); state.Form != 2 {
		t.Errorf("a new shape has form %d", state.Form)
	}
}

// An export in parts that was killed at any moment goes on without losing, doubling or overwriting
// anything.
func TestPartsAfterACrash(t *testing.T) {
	request := exportRequest{Table: "accounts", Shape: exportShape{Split: 3}}
	pageOf := func(from, to int) *exportPage {
		p := &exportPage{header: []byte("n\n")}
		for row := from; row < to; row++ {
			p.lines = fmt.Appendf(p.lines, "%d\n", row)
			p.ends = append(p.ends, len(p.lines))
		}
		return p
	}
	folder := t.TempDir()
	out := filepath.Join(folder, "a.csv")
	open := func() *exportFile {
		t.Helper()
		f, err := openExport(out, request)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	f.state.JobID = "j"
	for page := range 2 {
		if err := f.append(pageOf(4*page, 4*page+4), &messages.Result{Page: page + 1}); err != nil {
			t.Fatal(err)
		}
	}
	f.close()
	side := readFile(t, sideFile(out))
	// The third page fills what is left and makes two more parts; the side file does not get to know.
	f = open()
	if err := f.append(pageOf(8, 14), &messages.Result{Page: 3}); err != nil {
		t.Fatal(err)
	}
	f.close()
	intent := strings.Replace(side, `"begun": 2`, `"begun": 4`, 1)
	if intent == side {
		t.Fatalf("the side file does not say which parts there may be: %s", side)
	}
	if err := os.WriteFile(sideFile(out), []byte(intent), 0o600); err != nil {
		t.Fatal(err)
	}
	f = open()
	if _, err := os.Stat(filepath.Join(folder, "a-004.csv")); err == nil {
		t.Error("a part that the side file does not count is left")
	}
	holds(t, filepath.Join(folder, "a-003.csv"), "n\n6\n7\n")
	// Somebody's own file is in the way.
	mine := filepath.Join(folder, "a-004.csv")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.close()
	if err := os.WriteFile(sideFile(out), []byte(side), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f = open()
		err := f.append(pageOf(8, 14), &messages.Result{Page: 3})
		if err == nil || !strings.Contains(err.Error(), "a-004.csv is in the way of the next part") {
			t.Errorf("%v", err)
		}
		f.close()
		holds(t, mine, "mine")
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	f = open()
	if err := f.append(pageOf(8, 14), &messages.Result{Page: 3, Last: true}); err != nil {
		t.Fatal(err)
	}
	f.close()
	for i, want := range []string{"n\n0\n1\n2\n", "n\n3\n4\n5\n", "n\n6\n7\n8\n", "n\n9\n10\n11\n", "n\n12\n13\n"} {
		holds(t, filepath.Join(folder, fmt.Sprintf("a-%03d.csv", i+1)), want)
	}
	// A part that is gone cannot be gone on without.
	if err := os.Remove(filepath.Join(folder, "a-001.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := openExport(out, request); err == nil ||
		!strings.Contains(err.Error(), "a-001.csv is not there any more") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "a-001.csv")); err == nil {
		t.Error("the missing part was made")
	}
}

// A column of which there is no field costs no job, and leaves no file.
func TestExportLooksForItsColumns(t *testing.T) {
	e := newExporting(t, []string{firstPage, lastPage}, messages.JobDone)
	nc := e.Connect()
	if _, err := nc.Subscribe("crm.accounts.fields.request.acme", func(msg *nats.Msg) {
		if err := msg.Respond([]byte(`{"request_id":"r","fields":[{"name":"cb_tier","logical_name":"cb_tier"}]}`)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "a.csv")
	for _, test := range []struct {
		columns, says string
		status        int
	}{
		{"n=nmae", `usage: --columns: there is no field "nmae"; did you mean name?`, program.ExitUsage},
		{"id,n=cb_teir", `there is no field "cb_teir"; did you mean cb_tier?`, program.ExitUsage},
		{"n=createdon,id,cb_tier", "", 0},
	} {
		status, _, stderr := e.run("accounts", "export", "acme", "--out", out, "--columns="+test.columns)
		if status != test.status || !strings.Contains(stderr, test.says) {
			t.Errorf("status %d: %s", status, stderr)
		}
		if _, err := os.Stat(out); (err == nil) != (test.status == 0) {
			t.Errorf("%s: the file is there: %v", test.columns, err)
		}
	}
	if jobs := e.published(); len(jobs) != 1 {
		t.Errorf("published %q", jobs)
	}
}

// Somebody who edits a file before it is whole is told, and nothing of it is lost; a side file from
// before that was looked at is still read.
func TestEditedFilesAreNotGoneOnWith(t *testing.T) {
	const rows = 3000 // more than the end that is looked at
	for _, split := range []int64{0, 2 * rows / 3} {
		request := exportRequest{Table: "accounts", Shape: exportShape{Split: split}}
		page := &exportPage{header: []byte("n\n")}
		for row := range rows {
			page.lines = fmt.Appendf(page.lines, "%d\n", row%10)
			page.ends = append(page.ends, len(page.lines))
		}
		out := filepath.Join(t.TempDir(), "a.csv")
		open := func() (*exportFile, error) { return openExport(out, request) }
		f, err := open()
		if err != nil {
			t.Fatal(err)
		}
		f.state.JobID = "j"
		if err := f.append(page, &messages.Result{Page: 1}); err != nil {
			t.Fatal(err)
		}
		f.close()
		side, name := readFile(t, sideFile(out)), f.part(f.state.Part)
		before := readFile(t, name)
		old := regexp.MustCompile(`  "tail_crc32c": [0-9]+,\n`).ReplaceAllString(side, "")
		if old == side {
			t.Fatalf("the side file does not say what the file ends with: %s", side)
		}
		for _, test := range []struct {
			side, file string
			good       bool
		}{
			{side, "a line on top\n" + before, false}, {side, "x\n" + before[2:], len(before) > mostTail+2},
			{side, before[:len(before)-2] + "x\n", false},
			{side, strings.Replace(before, "\n7\n", "\n\n", 1) + "7\n", false},
			{old, "odd" + before, false}, {old, before, true}, {side, before + "3,half a", true}, {side, before, true},
		} {
			for name, text := range map[string]string{sideFile(out): test.side, name: test.file} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := open()
			if test.good != (err == nil) || err != nil && !strings.Contains(err.Error(), name+" was changed after") {
				t.Errorf("split %d, %.20q… (%d bytes): %v", split, test.file, len(test.file), err)
			}
			if err == nil {
				f.close()
			} else {
				holds(t, name, test.file)
			}
		}
	}
}

// A file is not written by way of a link, and what the link leads to stays as it is.
func TestExportsFollowNoLinks(t *testing.T) {
	folder := t.TempDir()
	target, out := filepath.Join(folder, "target"), filepath.Join(folder, "a.csv")
	if err := os.Symlink(target, out); err != nil {
		t.Fatal(err)
	}
	request := exportRequest{Table: "accounts"}
	if _, err := openExport(out, request); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("nothing behind the link: %v", err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target was made: %v", err)
	}
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openExport(out, request); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("an empty file behind the link: %v", err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := os.Lstat(out); err != nil {
		t.Errorf("the link is gone: %v", err)
	}
}
