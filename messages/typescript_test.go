package messages_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nodeTools is node and the folder that the packages of testdata/typescript are installed in
// (.ci/run makes it); the test is skipped where one is missing, unless CRMBRIDGE_TEST_NODE=required.
func nodeTools(t *testing.T) (node, folder string) {
	t.Helper()
	if raced {
		t.Skip("not with the race detector: node is another program")
	}
	missing := t.Skipf
	if os.Getenv("CRMBRIDGE_TEST_NODE") == "required" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node is not installed")
	}
	if folder = os.Getenv("CRMBRIDGE_TEST_TYPESCRIPT_FOLDER"); folder == "" {
		missing("CRMBRIDGE_TEST_TYPESCRIPT_FOLDER does not name the folder in which the packages of " +
			"testdata/typescript are installed")
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "typescript", "package.json")); err != nil {
		missing("typescript is not installed in CRMBRIDGE_TEST_TYPESCRIPT_FOLDER: %v", err)
	}
	return node, folder
}

const (
	typesFile      = "crmbridge.d.ts"
	typesGenerator = "testdata/typescript"
)

// Without node: the types say of what they were made. With -update they are made anew, by node.
func TestTypesAreMadeOfTheDocument(t *testing.T) {
	sum := sha256.New()
	for _, name := range []string{documentFile, typesGenerator + "/generate.mjs", typesGenerator + "/package-lock.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(text)
	}
	want := "\n// sha256 of asyncapi.json, generate.mjs, package-lock.json: " + hex.EncodeToString(sum.Sum(nil)) + "\n"
	fresh := func() bool {
		types, err := os.ReadFile(typesFile)
		return err == nil && strings.Contains(string(types), want)
	}
	if folder := os.Getenv("CRMBRIDGE_TEST_TYPESCRIPT_FOLDER"); *update && (folder != "" || !fresh()) {
		here, err := filepath.Abs(".")
		if err == nil {
			err = inFolder(t, generator(t, folder), "node", "generate.mjs", here)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !fresh() {
		t.Errorf("%s is stale: go generate ./messages", typesFile)
	}
}

// generator is a folder with the generator and its packages: those of the folder packages, or of npm
// where that is "".
func generator(t *testing.T, packages string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	var err error
	for _, name := range []string{"generate.mjs", "package.json", "package-lock.json"} {
		var text []byte
		if text, err = os.ReadFile(filepath.Join(typesGenerator, name)); err == nil {
			err = os.WriteFile(filepath.Join(folder, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if packages != "" {
		err = os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(folder, "node_modules"))
	} else {
		err = inFolder(t, folder, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	}
	if err != nil {
		t.Fatalf("the generator of %s needs node (20 or later) and npm, or CRMBRIDGE_TEST_TYPESCRIPT_FOLDER: %v", typesFile, err)
	}
	return folder
}

// inFolder runs a program; its error holds what it said.
func inFolder(t *testing.T, folder, name string, args ...string) error {
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// With node: AsyncAPI's own parser finds neither an error nor a warning, and the types are what the
// generator makes.
func TestTheParserOfAsyncAPI(t *testing.T) {
	node, folder := nodeTools(t)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := inFolder(t, generator(t, folder), node, "generate.mjs", here, "--check"); err != nil {
		t.Error(err)
	}
}
