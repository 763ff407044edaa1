package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// replaceFile writes a file of mode 0600 in the place of another one: after a crash there is
// the old one or the new one, also after one of the whole machine. What a crash leaves of the
// new one has a name of its own, and goes with the next write.
func replaceFile(name string, text []byte) error {
	written := newFile(name)
	if err := os.Remove(written); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(written, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(written) // the first error is the one that counts
		return err
	}
	if err := os.Rename(written, name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// newFile is where a file is written before it takes its place.
func newFile(name string) string { return name + ".new" }
