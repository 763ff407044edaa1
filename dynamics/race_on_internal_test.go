//go:build race

package dynamics

// RaceDetector is on: it drops what is pooled, and slows some code more than other.
const RaceDetector = true
