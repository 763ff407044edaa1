//go:build !race

package durable

// raced says that the race detector is on.
const raced = false
