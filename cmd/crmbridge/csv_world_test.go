package main

import (
	"encoding/csv"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// What is in Dataverse comes back from CSV as it was: commas, quotes, line ends, emoji, formulas and
// every digit, from a search and from an export, as Go and Python read it.
func TestCSVOfADeployment(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it starts a consumer, and runs a job")
	w := bridgetest.New(t, emulator.Options{Accounts: -1})
	w.Bridge(w.Settings(true), nil)
	w.Connect("demo")
	want := [][]string{{"name", "city", "revenue"}}
	revenue := int64(-25_000_000_001)
	for _, name := range []string{"a", `b, "c"`, "d\ne", "f\r\ng", "h 🚀👩‍👩‍👧 Zoë 東京", "=HYPERLINK(\"x\")", "+1", "-1", "@x",
		" i ", "'j", "k;l", "\tm", `""`} {
		w.Emulator.Control().PutAccount(emulator.Account{Name: name, City: "x" + name, Revenue: &revenue})
		want = append(want, []string{name, "x" + name, "-2500000.0001"})
	}
	asSheet := func(line []string) []string { return []string{asText(line[0]), asText(line[1]), line[2]} }
	folder := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		var out, diag strings.Builder
		if status := run(append(args, "--nats-url="+w.NATSURL), &out, &diag); status != 0 {
			t.Fatalf("%q: status %d, %s", args, status, diag.String())
		}
		return out.String()
	}
	fields, order := "--fields=name,city,revenue", "--order-by=created_at"
	texts := map[string]string{
		"search":             run("accounts", "search", "demo", fields, "--csv", "--all"),
		"search spreadsheet": run("accounts", "search", "demo", fields, "--csv", "--spreadsheet"),
	}
	for name, more := range map[string][]string{"export": nil, "export spreadsheet": {"--spreadsheet"},
		"export sequential": {"--sequential", "--total"}} {
		file := filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+".csv")
		run(append([]string{"accounts", "export", "demo", fields, order, "--out", file}, more...)...)
		texts[name] = readFile(t, file)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("not installed: python3, so that only Go reads the CSV")
	}
	for name, text := range texts {
		lines := slices.Clone(want)
		if strings.Contains(name, "spreadsheet") {
			for i, line := range lines {
				lines[i] = asSheet(line)
			}
			if !strings.HasPrefix(text, byteOrderMark) {
				t.Errorf("%s has no byte order mark", name)
			}
		}
		got, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, byteOrderMark))).ReadAll()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		sameLines(t, name, got, lines, func(cell string) string { return strings.ReplaceAll(cell, "\r\n", "\n") })
		if python == "" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", `import csv, io, json, sys
text = sys.stdin.buffer.read().decode("utf-8-sig")
json.dump(list(csv.reader(io.StringIO(text, newline=""), strict=True)), sys.stdout)`)
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err == nil {
			got = nil
			err = json.Unmarshal(out, &got)
		}
		if err != nil {
			t.Errorf("%s by Python: %v", name, err)
			continue
		}
		sameLines(t, name+" by Python", got, lines, func(cell string) string { return cell })
	}
}

// sameLines compares lines but for their order behind the first one, and cells as a reader gives
// them.
func sameLines(t *testing.T, name string, got, want [][]string, read func(string) string) {
	t.Helper()
	var expected [][]string
	for _, line := range want {
		cells := make([]string, len(line))
		for i, cell := range line {
			cells[i] = read(cell)
		}
		expected = append(expected, cells)
	}
	if len(got) == 0 || !slices.Equal(got[0], expected[0]) {
		t.Errorf("%s: the header is %q", name, got)
		return
	}
	got = slices.Clone(got)
	slices.SortFunc(got[1:], slices.Compare)
	slices.SortFunc(expected[1:], slices.Compare)
	if !slices.EqualFunc(got, expected, slices.Equal) {
		t.Errorf("%s:\n%q\nwant\n%q", name, got, expected)
	}
}
