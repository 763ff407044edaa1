package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// Who reads while two write sees one file or the other, whole, and both writes count.
func TestFilesAreReplacedAsAWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keyset")
	text := bytes.Repeat([]byte("k"), 600)
	if err := replaceFile(name, text); err != nil {
		t.Fatal(err)
	}
	var writers, reader sync.WaitGroup
	ended := make(chan struct{})
	reader.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
			}
			if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, text) {
				t.Errorf("%d bytes, %v", len(have), err)
				return
			}
		}
	})
	for range 2 {
		writers.Go(func() {
			for range 50 {
				if err := replaceFile(name, text); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(ended)
	reader.Wait()
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A file that others may read keeps its mode; any other, and one that was not there, is its owner's only.
func TestModesOfReplacedFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keyset")
	for _, mode := range []fs.FileMode{0, 0o640, 0o644, 0o400} {
		for _, c := range []struct {
			replace func(string, []byte) error
			want    fs.FileMode
		}{{replaceShared, mode}, {replaceFile, 0o600}} {
			if mode == 0 { // there is none
				c.want = 0o600
				_ = os.Remove(name)
			} else if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			if err := c.replace(name, []byte("k")); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(name); err != nil || info.Mode() != c.want {
				t.Errorf("%v, %v, want %v", info.Mode(), err, c.want)
			}
		}
	}
}

// A cursor, the place of a watch and the side file of an export are their owner's only, whatever the
// mode of what they replace.
func TestFilesOfOneUserAreTheirs(t *testing.T) {
	folder := t.TempDir()
	for name, write := range map[string]func(name string) error{
		"a.cursor": func(name string) error { return writeCursor(name, messages.Accounts, "c1") },
		"place": func(name string) error {
			return (&eventPlace{name: name, state: eventState{Form: eventForm}}).begin(time.Now(), 1)
		},
		"a.csv.job": func(name string) error { return (&exportFile{name: strings.TrimSuffix(name, ".job")}).save() },
	} {
		name = filepath.Join(folder, name)
		err := os.WriteFile(name, nil, 0o600)
		if err = errors.Join(err, os.Chmod(name, 0o644)); err == nil {
			err = write(name)
		}
		if info, failed := os.Stat(name); err != nil || failed != nil || info.Mode() != 0o600 || info.Size() == 0 {
			t.Errorf("%s: %v, %v, %v", name, info, err, failed)
		}
	}
}

// What a crash left of a write goes once the file is locked; what others have named alike stays.
func TestLeftoversGo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.cursor")
	others := []string{name + ".new", name + ".new-", name + ".new-2", name + ".new-20261130",
		name + newEnding, name + newEnding + "x1", name + newEnding + "7x",
		filepath.Join(filepath.Dir(name), "b.cursor"+newEnding+"7")}
	for _, file := range append([]string{name + newEnding + "1234567890", name + newEnding + "7"}, others...) {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := lockBeside(name)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := lockBeside(name); !errors.Is(err, errLocked) {
		t.Errorf("locked twice: %v, %v", second, err)
	}
	lock.unlock()
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != len(others) {
		t.Errorf("%d of %d files: %v, %v", len(left), len(others), left, err)
	}
}

// With the side file of an export goes what crashes have left of it, also in the release before.
func TestLeftoversOfExportsGo(t *testing.T) {
	folder := t.TempDir()
	for _, end := range []func(*exportFile) error{(*exportFile).finish, func(f *exportFile) error { f.forget(); return nil }} {
		f := &exportFile{name: filepath.Join(folder, "a.csv")}
		others := sideFile(f.name) + ".new-2"
		for _, file := range []string{sideFile(f.name), sideFile(f.name) + newEnding + "7", sideFile(f.name) + ".new", others} {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := end(f); err != nil {
			t.Error(err)
		}
		onlyFile(t, others)
	}
}

// One of many has the lock at a time, however often it is let go, and no file of it stays.
func TestOneHasTheLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keyset")
	var all sync.WaitGroup
	var held sync.Mutex
	taken := 0
	for range 4 {
		all.Go(func() {
			for range 50 {
				lock, err := lockBeside(name)
				if errors.Is(err, errLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if !held.TryLock() {
					t.Error("two have it")
					return
				}
				taken++
				held.Unlock()
				lock.unlock()
			}
		})
	}
	all.Wait()
	if left, err := os.ReadDir(filepath.Dir(name)); taken == 0 || err != nil || len(left) != 0 {
		t.Errorf("taken %d times, left %v, %v", taken, left, err)
	}
}

// A lock is never what a link leads to, nor a pipe.
func TestLocksAreFiles(t *testing.T) {
	folder := t.TempDir()
	target, name := filepath.Join(folder, "target"), filepath.Join(folder, "keyset")
	if err := os.Symlink(target, name+".lock"); err != nil {
		t.Fatal(err)
	}
	if lock, err := lockBeside(name); err == nil {
		t.Errorf("locked %v", lock.file.Name())
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link's target was made: %v", err)
	}
	if strings.Contains(target, newEnding) {
		t.Fatal("the folder's name is that of a leftover")
	}
}
