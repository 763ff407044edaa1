//go:build !race

package dynamics

// RaceDetector is off.
const RaceDetector = false
