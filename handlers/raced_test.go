//go:build race

package handlers

// raced says that the race detector is on.
const raced = true
