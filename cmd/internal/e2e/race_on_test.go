//go:build race

package e2e

// raceDetector is on: it needs several times the memory.
const raceDetector = true
