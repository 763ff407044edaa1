// Package files reads the files that flags and settings name, whatever they are: what is no file, or
// never ends, is an error and not a wait.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Read is the content of a regular file, of at most so many bytes. Errors: those of [os.Open]; it is
// something else, such as a pipe; it is larger.
func Read(name string, most int64) ([]byte, error) { return read(name, most, 0) }

// secretWait is how long the content of a pipe is waited for: a person may have to unlock what it
// comes from.
const secretWait = 30 * time.Second

// ReadSecret is Read, and takes pipes that somebody writes to, as shells make them for <(command).
func ReadSecret(name string, most int64) ([]byte, error) { return read(name, most, secretWait) }

// Check finds out before somebody else opens a file that this would wait. A file that is not there is
// theirs to report.
func Check(name string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return irregular(name)
	}
	return nil
}

func irregular(name string) error { return fmt.Errorf("%s is no regular file", name) }

// read waits so long for what is no regular file, and takes none where it may not wait.
func read(name string, most int64, wait time.Duration) ([]byte, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|withoutWaiting, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	regular := info.Mode().IsRegular()
	switch {
	case info.IsDir(), !regular && wait == 0:
		return nil, irregular(name)
	case !regular:
		_ = file.SetReadDeadline(time.Now().Add(wait)) // what cannot wait needs none
	}
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("%s has not come to its end within %s", name, wait)
	case err != nil:
		return nil, err
	case int64(len(content)) > most:
		return nil, fmt.Errorf("%s is larger than %d bytes", name, most)
	case len(content) == 0 && info.Mode().Type() == fs.ModeNamedPipe:
		return nil, fmt.Errorf("%s is a pipe that nobody writes to", name)
	}
	return content, nil
}
