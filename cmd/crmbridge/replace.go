package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// replaceFile writes a file of this user's, of mode 0600, in the place of another one. After a crash
// there is the old one or the new one, also after one of the whole machine, and whoever reads meanwhile
// sees one or the other, however many write. What a crash leaves is named as [leftover] says, and goes
// with [removeLeftovers]: where [lockBeside] keeps others off the file, with the next lock.
func replaceFile(name string, text []byte) error { return replaceBy(name, text, nil) }

// replaceShared is replaceFile for a file that others may be meant to read: the new one has the owner,
// group and mode of the old one, where there is one.
func replaceShared(name string, text []byte) error { return replaceBy(name, text, keepAccess) }

func replaceBy(name string, text []byte, keep func(file *os.File, old fs.FileInfo) error) error {
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+newEnding+"*") // of mode 0600
	if err != nil {
		return err
	}
	if keep != nil {
		old, missing := os.Lstat(name)
		switch {
		case missing == nil && old.Mode().IsRegular():
			err = keep(file, old)
		case missing != nil && !errors.Is(missing, fs.ErrNotExist):
			err = missing
		}
	}
	if err == nil {
		_, err = file.Write(text)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error is the one that counts
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// keepAccess lets the same users read and write a new file as the old one.
func keepAccess(file *os.File, old fs.FileInfo) error {
	if err := keepOwner(file, old); err != nil {
		return fmt.Errorf("it belongs to another user or group, whom this user cannot give it back to (%w); write it "+
			"as its owner, or as root", err)
	}
	return file.Chmod(old.Mode().Perm())
}

// newEnding stands between the name of a file and a number while it is written, before it takes its
// place. Nobody names a copy of one's own like this: what is named so is removed.
const newEnding = ".crmbridge-new-"

// leftover reports whether a name is that of a file that was to take the place of another one.
func leftover(name, of string) bool {
	number, is := strings.CutPrefix(name, of+newEnding)
	return is && number != "" && strings.Trim(number, "0123456789") == ""
}

// removeLeftovers removes what crashes have left of writes to a file. Nobody else may write to it.
func removeLeftovers(of string) {
	entries, err := os.ReadDir(filepath.Dir(of))
	if err != nil {
		return // they are in nobody's way
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() && leftover(entry.Name(), filepath.Base(of)) {
			_ = os.Remove(filepath.Join(filepath.Dir(of), entry.Name()))
		}
	}
}
