//go:build !unix

package main

import "io"

// whenUnread does nothing where a pipe cannot be looked at: the next write finds out.
func whenUnread(io.Writer, func()) (stop func()) { return func() {} }
