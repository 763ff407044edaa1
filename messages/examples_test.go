package messages_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An example is read at a glance, says how it is run, and is named in the list of them.
func TestExamplesAreShortAndListed(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("examples", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	programs := 0
	err = filepath.WalkDir("examples", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Base(path) == "README.md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if lines := bytes.Count(text, []byte("\n")); lines > 80 {
			t.Errorf("%s has %d lines, want at most 80", path, lines)
		}
		switch ending := filepath.Ext(path); ending {
		case ".go", ".mjs", ".py", ".sh":
			programs++
			shared := filepath.Base(path) == "crmbridge"+ending
			if !shared && !bytes.Contains(text, []byte("CONNECTION=")) {
				t.Errorf("%s does not say how it is run", path)
			}
			name := strings.TrimPrefix(filepath.ToSlash(path), "examples/")
			if !strings.Contains(string(list), "("+name+")") {
				t.Errorf("examples/README.md has no link to %s", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob("example_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var written []byte
	for _, name := range tests {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines > 80 {
			t.Errorf("%s has %d lines, want at most 80", name, lines)
		}
		written = append(written, text...)
	}
	named := regexp.MustCompile(`\bExample[A-Z]\w+`).FindAllString(string(list), -1)
	for _, name := range named {
		if !bytes.Contains(written, []byte("func "+name+"()")) {
			t.Errorf("examples/README.md names %s, which is not there", name)
		}
	}
	if len(named) < 8 {
		t.Errorf("examples/README.md names %d examples in Go", len(named))
	}
	if programs != 4*8 {
		t.Errorf("there are %d programs, want eight files in four languages", programs)
	}
}

// The types of crmbridge.d.ts fit what the JavaScript examples send and read.
func TestJavaScriptExamplesFitTheTypes(t *testing.T) {
	node, packages := nodeTools(t)
	folder := filepath.Join(t.TempDir(), "messages")
	examples := filepath.Join(folder, "examples", "javascript")
	if err := os.CopyFS(examples, os.DirFS(filepath.Join("examples", "javascript"))); err != nil {
		t.Fatal(err)
	}
	types, err := os.ReadFile("crmbridge.d.ts")
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "crmbridge.d.ts"), types, 0o600)
	}
	if err == nil {
		err = os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(folder, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	check := func() (string, error) {
		programs, err := filepath.Glob(filepath.Join(examples, "*.mjs"))
		if err != nil {
			t.Fatal(err)
		}
		args := []string{filepath.Join(packages, "node_modules", "typescript", "bin", "tsc"), "--noEmit", "--strict",
			"--checkJs", "--module", "nodenext", "--target", "es2024", "--types", "node", "--allowImportingTsExtensions"}
		command := exec.CommandContext(t.Context(), node, append(args, programs...)...)
		command.Dir = folder
		said, err := command.CombinedOutput()
		return string(said), err
	}
	if said, err := check(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	// That would pass too where nothing was checked: members and values that there are not must be found.
	wrong := "// @ts-check\nimport { ask } from \"./crmbridge.mjs\";\n" +
		"/** @param {import(\"@nats-io/transport-node\").NatsConnection} nc */\n" +
		"export async function wrong(nc) {\n" +
		"  await ask(nc, \"accounts.search\", { mode: \"pages\" });\n" +
		"  const [row] = (await ask(nc, \"accounts.search\", {})).accounts;\n" +
		"  console.log(row.industry?.text, row.owner.name, row.new_column);\n" +
		"  console.log((await ask(nc, \"accounts.count\", {})).total);\n" +
		"  return (await ask(nc, \"accounts.count\", {})).count.toUpperCase();\n}\n"
	if err := os.WriteFile(filepath.Join(examples, "wrong.mjs"), []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := check()
	for _, fault := range []string{`'"pages"' is not assignable`, "'toUpperCase' does not exist on type 'number'",
		"'text' does not exist on type 'Choice'", "'row.owner' is possibly 'null' or 'undefined'",
		"'total' does not exist on type 'AccountsCountReply'"} {
		if err == nil || !strings.Contains(said, fault) {
			t.Errorf("%s: an example that does not fit is not refused: %v\n%s", fault, err, said)
		}
	}
	if strings.Contains(said, "new_column") {
		t.Errorf("a column of the environment's own is refused:\n%s", said)
	}
}

// Python where there is one, and the shell: what is shown parses.
func TestExamplesParse(t *testing.T) {
	for ending, program := range map[string][]string{
		"py": {"python3", "-c", "import sys\nfor name in sys.argv[1:]: compile(open(name).read(), name, 'exec')"},
		"sh": {"sh", "-c", `for name; do sh -n "$name" || exit 1; done`, "sh"},
	} {
		t.Run(ending, func(t *testing.T) {
			if _, err := exec.LookPath(program[0]); err != nil {
				t.Skip(err)
			}
			programs, err := filepath.Glob(filepath.Join("examples", "*", "*."+ending))
			if err != nil || len(programs) == 0 {
				t.Fatal(programs, err)
			}
			command := exec.CommandContext(t.Context(), program[0], append(program[1:], programs...)...)
			if said, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, said)
			}
		})
	}
}
