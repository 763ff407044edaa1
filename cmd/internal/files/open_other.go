//go:build !unix

package files

// withoutWaiting is nothing where files are not pipes.
const withoutWaiting = 0
