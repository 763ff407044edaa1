//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// lockFile keeps other exports off a file until it is closed or the process ends, however it
// ends.
func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// syncFolder brings a folder's names to the disk.
func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	err = folder.Sync()
	return errors.Join(err, folder.Close())
}
