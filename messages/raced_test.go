//go:build race

package messages_test

// raced says that the race detector is on.
const raced = true
