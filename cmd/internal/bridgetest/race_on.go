//go:build race

package bridgetest

// Raced says that the tests run with the race detector. It makes code several times as slow, takes
// several times the memory, and drops what is pooled: tests that are long for the number of their
// cases have fewer then, which pass the same code.
const Raced = true
