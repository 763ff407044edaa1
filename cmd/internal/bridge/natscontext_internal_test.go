//go:build unix

package bridge

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
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
	if s, err := (NATS{URLFile: file}).read(); err != nil || s.URL != "nats://a:b@127.0.0.1:4222" || s.URLFile != "" || !namesUser(s) {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct {
		given NATS
		says  string // "" where nothing is wrong
	}{
		{NATS{URL: "nats://c:4222"}, ""},
		{NATS{URLFile: file, URL: "nats://c:4222"}, "NATS_URL: is set, and NATS_URL_FILE too"},
		{NATS{URLFile: file + ".none"}, "NATS_URL_FILE: "},
	} {
		s, err := c.given.read()
		if s != c.given || (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v became %+v: %v", c.given, s, err)
		}
	}
}
