package emulator

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The package comment lists the paths of the control endpoint as they are.
func TestThePackageCommentListsTheControlPaths(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&want, "//\t%-4s /_emulator/%-*s %s\n", c.Method, docWidth, c.Path+c.Args, c.Help)
	}
	if !strings.Contains(string(doc), "//\n"+want.String()+"//\n") {
		t.Errorf("doc.go does not have this list:\n%s", want.String())
	}
}

const docWidth = 25
