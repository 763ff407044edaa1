package boards

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the files of the dashboards")

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
			t.Errorf("%s is stale (%v): in deploy/check, go test ./boards -run TheFilesAreMade -update", b.File, err)
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
