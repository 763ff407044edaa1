//go:build unix

package files

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	folder := t.TempDir()
	file, pipe := filepath.Join(folder, "file"), filepath.Join(folder, "pipe")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	readEnd, writeEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer readEnd.Close()
	defer writeEnd.Close()
	silent := fmt.Sprintf("/dev/fd/%d", readEnd.Fd())
	for _, test := range []struct {
		name  string
		most  int64
		wait  time.Duration
		wants string // content, or what the error says
	}{
		{file, 7, 0, "content"}, {file, 7, time.Hour, "content"}, {file, 6, 0, "larger than 6 bytes"},
		{filepath.Join(folder, "none"), 9, 0, "open " + folder}, {folder, 9, 0, "no regular file"},
		{folder, 9, time.Hour, "no regular file"}, {pipe, 9, 0, "no regular file"},
		{pipe, 9, time.Hour, "a pipe that nobody writes to"}, {"/dev/zero", 9, time.Hour, "larger than 9 bytes"},
		{"/dev/null", 9, 0, "no regular file"}, {silent, 9, 0, "no regular file"},
		{silent, 9, time.Millisecond, "has not come to its end within 1ms"},
	} {
		content, err := read(test.name, test.most, test.wait)
		if said := string(content) + fmt.Sprint(err); !strings.Contains(said, test.wants) || err != nil && content != nil {
			t.Errorf("%s: %s, want %s", test.name, said, test.wants)
		}
	}
	// As a shell has it for <(command).
	if _, err := writeEnd.WriteString("secret"); err != nil {
		t.Fatal(err)
	}
	_ = writeEnd.Close()
	if content, err := read(silent, 9, time.Hour); err != nil || string(content) != "secret" {
		t.Errorf("a pipe: %q, %v", content, err)
	}
	if Check(pipe) == nil || Check(folder) == nil || Check(file) != nil || Check(filepath.Join(folder, "none")) != nil {
		t.Error("Check takes a pipe or a folder, or a file for one")
	}
}
