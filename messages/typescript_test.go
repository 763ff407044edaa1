package messages_test

import (
	"crypto/sha256"
	"encoding/hex"
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

// Without node: the types say of which document they were made.
func TestTypesAreMadeOfTheDocument(t *testing.T) {
	document, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	types, err := os.ReadFile("crmbridge.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(document)
	if !strings.Contains(string(types), "sha256 of asyncapi.json: "+hex.EncodeToString(sum[:])+"\n") {
		t.Error("crmbridge.d.ts is stale: testdata/typescript/generate.mjs makes it")
	}
}

// With node: AsyncAPI's own parser finds neither an error nor a warning, and the types are what the
// generator makes.
func TestTheParserOfAsyncAPI(t *testing.T) {
	node, folder := nodeTools(t)
	script, err := os.ReadFile(filepath.Join("testdata", "typescript", "generate.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	// node looks for packages beside the script.
	beside := filepath.Join(folder, "generate.mjs")
	if err := os.WriteFile(beside, script, 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), node, beside, here, "--check").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
