package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Only web pages are opened: the address is a reply's, and an opener runs what else it is given.
func TestOnlyWebPagesAreOpened(t *testing.T) {
	folder := t.TempDir()
	opened := filepath.Join(folder, "opened")
	if err := os.WriteFile(filepath.Join(folder, "xdg-open"), []byte("#!/bin/sh\n: > "+opened+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	t.Setenv("DISPLAY", ":0")
	for address, want := range map[string]bool{"https://login.example.com/connect?a=b": true, "http://localhost:8080/c": true,
		"file:///etc/passwd": false, `\\share\program.exe`: false, "/usr/bin/true": false, "https:program": false,
		"javascript:alert(1)": false, "": false, "-h": false, "http://a b": false} {
		_ = os.Remove(opened)
		failed := false
		openPage(address, func() { failed = true })
		if _, err := os.Stat(opened); (err == nil) != want || failed == want {
			t.Errorf("%q: opened: %t, said that it was not: %t", address, err == nil, failed)
		}
	}
}
