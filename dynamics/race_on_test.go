//go:build race

package dynamics_test

// raceDetector is on: it drops what is pooled, and slows some code more than other.
const raceDetector = true
