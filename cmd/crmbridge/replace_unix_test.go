//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/program"
)

// accessOf is a file's owner, group and mode.
func accessOf(t *testing.T, name string) (uid, gid uint32, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Uid, stat.Gid, info.Mode()
}

// A key set that the service may read by its group, as the unit for systemd has it, is one that the
// service may read afterwards too.
func TestKeysKeepTheirOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("takes root: another user's file")
	}
	file := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(file, []byte(keys(t, "", "generate")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, access := range []struct {
		uid, gid int
		mode     os.FileMode
	}{{0, 65534, 0o640}, {65534, 65534, 0o600}, {1234, 0, 0o644}} {
		if err := os.Chown(file, access.uid, access.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, access.mode); err != nil {
			t.Fatal(err)
		}
		var out, diag strings.Builder
		status := run([]string{"keys", "rotate", "--write", "--token-keyset-file", file}, &out, &diag)
		uid, gid, mode := accessOf(t, file)
		if status != 0 || int(uid) != access.uid || int(gid) != access.gid || mode != access.mode {
			t.Errorf("status %d: %d:%d %v, want %+v; %s", status, uid, gid, mode, access, diag.String())
		}
	}
}

// Where the owner cannot be kept nothing is written.
func TestOwnersThatCannotBeKept(t *testing.T) {
	old, err := os.Stat("/")
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.Create(filepath.Join(t.TempDir(), "made"))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if os.Getuid() == 0 { // who may give files to anybody, but no closed one
		if err := errors.Join(made.Chown(65534, 65534), made.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := keepAccess(made, old); err == nil || !strings.Contains(err.Error(), "as its owner, or as root") {
		t.Error(err)
	}
}

// What is no file is not replaced by one.
func TestDevicesAreNotReplaced(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "keyset")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, diag strings.Builder
	status := run([]string{"keys", "rotate", "--write", "--token-keyset-file", pipe}, &out, &diag)
	info, err := os.Lstat(pipe)
	if status != program.ExitUsage || err != nil || info.Mode().Type() != os.ModeNamedPipe ||
		!strings.Contains(diag.String(), "no file") {
		t.Errorf("status %d, %v, %v: %s", status, info.Mode(), err, diag.String())
	}
}

// One run at a time keeps its cursor in a file.
func TestCursorFilesAreLocked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.cursor")
	lock, err := lockCursor(file)
	if err != nil {
		t.Fatal(err)
	}
	a := newAnswers(t)
	status, _, diag := a.run("accounts", "changes", "acme", "--cursor-file", file)
	if status != program.ExitUsage || !strings.Contains(diag, "another run keeps its cursor in") {
		t.Errorf("status %d, %s", status, diag)
	}
	lock.unlock()
	a.give(changesSubject, `{"accounts":[],"deleted":[],"next_cursor":"c2","has_more":false}`)
	if status, _, diag = a.run("accounts", "changes", "acme", "--cursor-file", file); status != 0 {
		t.Errorf("status %d, %s", status, diag)
	}
	holds(t, file, "c2\n")
	onlyFile(t, file)
}

// Of two who change a key set at once one is refused: it would undo what the other does.
func TestKeysAreChangedOneAfterTheOther(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(file, []byte(keys(t, "", "generate")), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := lockBeside(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{program.ExitUsage, 0} {
		var out, diag strings.Builder
		status := run([]string{"keys", "rotate", "--write", "--token-keyset-file", file}, &out, &diag)
		if status != want || status != 0 && !strings.Contains(diag.String(), "another command works on it") {
			t.Errorf("status %d, %s", status, diag.String())
		}
		lock.unlock()
		lock = nil
	}
}
