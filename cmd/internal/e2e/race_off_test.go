//go:build !race

package e2e

// raceDetector is off.
const raceDetector = false
