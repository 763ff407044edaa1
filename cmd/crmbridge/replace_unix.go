//go:build unix

package main

import (
	"io/fs"
	"os"
	"syscall"
)

// openPlain opens a file and not what a link leads to, and does not wait for what it is.
const openPlain = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// keepOwner gives a new file the owner and the group of an old one. A group that may do nothing is of
// no account.
func keepOwner(file *os.File, old fs.FileInfo) error {
	made, err := file.Stat()
	if err != nil {
		return err
	}
	was, known := old.Sys().(*syscall.Stat_t)
	is, known2 := made.Sys().(*syscall.Stat_t)
	if !known || !known2 || was.Uid == is.Uid && was.Gid == is.Gid {
		return nil
	}
	err = file.Chown(int(was.Uid), int(was.Gid))
	if err != nil && was.Uid == is.Uid && old.Mode().Perm()&0o070 == 0 {
		return nil
	}
	return err
}
