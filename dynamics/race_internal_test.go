package dynamics

// Fewer is how many of many random cases a test has: a tenth under the race detector, which
// makes each some ten times as slow and sees the same code in few.
func Fewer(n int) int {
	if RaceDetector {
		return n / 10
	}
	return n
}
