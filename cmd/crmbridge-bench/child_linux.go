package main

import "syscall"

// endsWithBench has the kernel kill a child when the bench is gone.
func endsWithBench() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
