package main

import (
	"errors"
	"fmt"
	"os"
)

// A besideLock keeps other commands off a file that is replaced as a whole: a lock on the file itself
// would be one on what is no longer there. It is a file beside it, which is there while it is locked.
type besideLock struct{ file *os.File }

// errLocked says that another command has the lock.
var errLocked = errors.New("another command works on it at the moment")

// lockBeside locks a file, which need not be there, until unlock or the end of the process, however
// it ends; it does not wait. What crashes have left of writes to the file is removed.
func lockBeside(name string) (*besideLock, error) {
	const tries = 16 // each but the last one met the end of another lock
	for range tries {
		file, err := os.OpenFile(name+".lock", os.O_RDWR|os.O_CREATE|openPlain, 0o600)
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		switch {
		case err == nil && !info.Mode().IsRegular():
			err = fmt.Errorf("%s is no file", file.Name())
		case err == nil && lockFile(file) != nil:
			err = errLocked
		}
		if err != nil {
			_ = file.Close()
			return nil, err
		}
		if named, err := os.Lstat(file.Name()); err == nil && os.SameFile(info, named) {
			removeLeftovers(name)
			return &besideLock{file}, nil
		}
		_ = file.Close() // whoever had it before has removed it
	}
	return nil, errLocked
}

// unlock lets others have the file.
func (l *besideLock) unlock() {
	if l != nil {
		_ = os.Remove(l.file.Name()) // before others can have it, who find out
		_ = l.file.Close()           // it has no content
	}
}
