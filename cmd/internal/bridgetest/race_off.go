//go:build !race

package bridgetest

// Raced says that the tests run with the race detector; see race_on.go.
const Raced = false
