//go:build !race

package dynamics_test

// raceDetector is off.
const raceDetector = false
