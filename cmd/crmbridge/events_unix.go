//go:build unix

package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// whenUnread calls lost once the reader of a pipe or socket has gone: a command that prints now
// and then would not find out before it prints again. stop ends the looking.
func whenUnread(out io.Writer, lost func()) (stop func()) {
	file, ok := out.(*os.File)
	if !ok {
		return func() {}
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return func() {}
	}
	const look = 200 // ms; also how long stop may take
	ended := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
			}
			fds := []unix.PollFd{{Fd: int32(file.Fd())}}
			if n, err := unix.Poll(fds, look); err == nil && n > 0 &&
				fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
				lost()
				return
			}
		}
	})
	return func() {
		close(ended)
		looking.Wait()
	}
}
