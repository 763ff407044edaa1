package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the repository's folder.
const root = "../.."

// built are the programs under test, as the image has them; each is built when it is asked for.
var built struct {
	folder         string
	crmbridge, dev program
}

// A program is built by the command of a stage of the image.
type program struct {
	stage string
	once  sync.Once
	path  string
	err   error
}

func TestMain(m *testing.M) {
	built.crmbridge.stage, built.dev.stage = "build", "build-dev"
	var err error
	if built.folder, err = os.MkdirTemp("", "crmbridge-check-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(built.folder) // the system's folder of temporary files is emptied anyway
	os.Exit(status)
}

// crmbridge is the program that serves.
func crmbridge(t testing.TB) string { return built.crmbridge.get(t) }

// dev is crmbridge-dev.
func dev(t testing.TB) string { return built.dev.get(t) }

func (p *program) get(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		p.path = filepath.Join(built.folder, p.stage)
		source, err := filepath.Abs(root)
		if err == nil {
			err = readDockerfile(t).build(p.stage, source, p.path, "amd64", os.Environ())
		}
		p.err = err
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.path
}

// file is the text of a file of the repository, named from its root.
func file(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// output is what a program prints; the test ends where it fails.
func output(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// skip says that something cannot be looked at on this machine, in a line that .ci/deploy
// repeats at its end.
func skip(t testing.TB, what string) {
	t.Helper()
	t.Skip("NOT RUN: " + what)
}
