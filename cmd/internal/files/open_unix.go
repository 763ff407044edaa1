//go:build unix

package files

import "syscall"

// withoutWaiting opens a pipe also where nobody writes to it yet.
const withoutWaiting = syscall.O_NONBLOCK
