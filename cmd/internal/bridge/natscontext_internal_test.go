//go:build unix

package bridge

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What names the selected context is a file, and not waited for.
func TestAPipeSelectsNoContext(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	err := errors.Join(os.Mkdir(filepath.Join(home, "nats"), 0o700),
		syscall.Mkfifo(filepath.Join(home, "nats", "context.txt"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if name := selectedContext(); name != "" {
		t.Errorf("%q is selected", name)
	}
}

// The URLs of a file are read once: of a pipe nothing would be left.
func TestURLsAreReadOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("nats://a:b@127.0.0.1:4222\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := (NATS{URLFile: file}).read(); s.URL != "nats://a:b@127.0.0.1:4222" || s.URLFile != "" || !namesUser(s) {
		t.Errorf("%+v", s)
	}
	for _, s := range []NATS{{URLFile: file, URL: "nats://c:4222"}, {URLFile: file + ".none"}, {URL: "nats://c:4222"}} {
		if s.read() != s { // its own check finds the fault, if it is one
			t.Errorf("%+v became %+v", s, s.read())
		}
	}
}
