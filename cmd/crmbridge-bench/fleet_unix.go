//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// askToCollect has a crmbridge of the bench collect its garbage and give the memory back.
func askToCollect(pid int) error {
	if pid <= 0 {
		return errors.New("a process has ended") // 0 would be every process of the group
	}
	return syscall.Kill(pid, syscall.SIGUSR1)
}

// collectOnSignal collects on [askToCollect] until the function that it returns is called.
func collectOnSignal() (stop func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range asked {
			debug.FreeOSMemory()
			fmt.Fprintln(os.Stderr, collected)
		}
	}()
	return func() { signal.Stop(asked); close(asked); <-done }
}
