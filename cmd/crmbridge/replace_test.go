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

// A file keeps its mode; one that was not there is its owner's only.
func TestReplacedFilesKeepTheirMode(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keyset")
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644, 0o400} {
		if mode != 0o600 {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := replaceFile(name, []byte("k")); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode() != mode {
			t.Errorf("%v, %v, want %v", info.Mode(), err, mode)
		}
	}
}

// What a crash left of a write goes once the file is locked; what others have named alike stays.
func TestLeftoversGo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.cursor")
	others := []string{name + ".new", name + ".new-", name + ".new-x1", name + ".new-7x",
		filepath.Join(filepath.Dir(name), "b.cursor.new-7")}
	for _, file := range append([]string{name + ".new-1234567890", name + ".new-7"}, others...) {
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
