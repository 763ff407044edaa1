//go:build !unix

package main

import "os"

// lockFile does nothing where there are no advisory locks: whoever runs two exports to one
// file at once there spoils it.
func lockFile(*os.File) error { return nil }

// syncFolder does nothing where a folder cannot be opened.
func syncFolder(string) error { return nil }
