package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const changesSubject = "crm.accounts.changes.request.acme"

// A run that does not get to its end leaves the cursor as it was.
func TestChangesKeepTheCursorOnFailure(t *testing.T) {
	first := `{"accounts":[{"id":"1"}],"deleted":[],"next_cursor":"c2","has_more":true}`
	for _, test := range []struct {
		name, kept string // kept: what the file holds before
		answers    []string
		status     int
		says       string
	}{
		{"empty file", "", []string{first}, 2, "holds no cursor"},
		{"another file", "two words", []string{first}, 2, "holds no cursor"},
		{"a file without end", strings.Repeat("x", 300<<10), []string{first}, 2, "is larger than"},
		{"error on the second page", "c1", []string{first, `{"error":{"code":"throttled","message":"wait"}}`}, 1, "throttled: wait"},
		{"expired", "c1", []string{`{"error":{"code":"cursor_expired","message":"too old"}}`}, 1, "to begin with every account"},
		{"circle", "c2", []string{first}, 1, "internal:"},
		{"no cursor", "c1", []string{`{"accounts":[],"deleted":[],"has_more":false}`}, 1, "internal:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "acme.cursor")
			if err := os.WriteFile(file, []byte(test.kept), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newAnswers(t)
			a.give(changesSubject, test.answers...)
			status, _, stderr := a.run("accounts", "changes", "acme", "--cursor-file", file)
			if status != test.status || !strings.Contains(stderr, test.says) {
				t.Errorf("status %d, want %d; %s", status, test.status, stderr)
			}
			if kept, err := os.ReadFile(file); err != nil || string(kept) != test.kept {
				t.Errorf("the file holds %q, %v", kept[:min(len(kept), 40)], err)
			}
			onlyFile(t, file)
		})
	}
}

func TestChangesGoOnWhereTheyEnded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acme.cursor")
	a := newAnswers(t)
	a.give(changesSubject,
		`{"accounts":[{"id":"1","name":"A. Datum"}],"deleted":["d1"],"next_cursor":"c1","has_more":true}`,
		`{"accounts":[],"deleted":[],"next_cursor":"c2","has_more":true}`,
		`{"accounts":[{"id":"2","name":"Zoë"}],"deleted":[],"next_cursor":"c3","has_more":false}`,
		`{"accounts":[],"deleted":["d2"],"next_cursor":"c4","has_more":false}`)

	status, stdout, stderr := a.run("accounts", "changes", "acme", "--cursor-file", file, "--fields=id,name",
		"--page-size=1")
	if status != 0 || !strings.Contains(stdout, "  1  A. Datum\n deleted  d1\n") ||
		!strings.Contains(stdout, "  2  Zoë\n") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if want := "2 accounts made or changed, 1 deleted; next time: the cursor is in " + file + "\n"; stderr != want {
		t.Errorf("%q, want %q", stderr, want)
	}
	want := changesSubject + ` {"connection":"acme","fields":["id","name"],"page_size":1}
` + changesSubject + ` {"connection":"acme","cursor":"c1","page_size":1}
` + changesSubject + ` {"connection":"acme","cursor":"c2","page_size":1}`
	if asked := a.requests(); asked != want {
		t.Errorf("asked\n%s\nwant\n%s", asked, want)
	}
	holds(t, file, "c3\n")

	if status, stdout, stderr = a.run("accounts", "changes", "acme", "--cursor-file", file, "--fields=id,name"); status != 0 || stdout != " deleted  d2\n" {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if asked := a.requests(); asked != changesSubject+` {"connection":"acme","fields":["id","name"],"cursor":"c3"}` {
		t.Errorf("asked %s", asked)
	}
	holds(t, file, "c4\n")
	onlyFile(t, file)
}

func TestChangesWithoutACursorFile(t *testing.T) {
	a := newAnswers(t)
	a.give(changesSubject, `{"request_id":"r1","accounts":[{"revenue":0.10,"cb_x":null}],"deleted":[],"next_cursor":"c1","has_more":true}`,
		`{"request_id":"r2","accounts":[],"deleted":[],"next_cursor":"c2","has_more":false}`)
	status, stdout, stderr := a.run("accounts", "changes", "acme", "--cursor=c0", "--json")
	if status != 0 || stderr != "" || strings.Count(stdout, `"request_id"`) != 2 ||
		!strings.Contains(stdout, `"revenue": 0.10`) || !strings.Contains(stdout, `"next_cursor": "c2"`) {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	a = newAnswers(t)
	a.give(changesSubject, `{"accounts":[{"revenue":0.10,"cb_x":null}],"deleted":[],"next_cursor":"c2","has_more":false}`)
	status, stdout, stderr = a.run("accounts", "changes", "acme", "--cursor=c0") // the fields are those of c0's run
	if status != 0 || stdout != " cb_x  revenue\n          0.10\n" ||
		stderr != "1 account made or changed, 0 deleted; next time from this cursor on:\nc2\n" {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}

func holds(t *testing.T, file, want string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || string(text) != want {
		t.Errorf("the file holds %q, %v; want %q", text, err, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// onlyFile checks that nothing half written lies beside file.
func onlyFile(t *testing.T, file string) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}
