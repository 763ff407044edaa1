package dynamics_test

import (
	"bytes"
	"syscall"
	"testing"
	"time"
)

// cpuOf is the CPU time that the process takes for f, the best of some runs: what else runs
// on a machine makes it longer and never shorter.
func cpuOf(t testing.TB, runs int, f func()) time.Duration {
	t.Helper()
	best := time.Duration(1<<63 - 1)
	for range runs {
		before := cpu(t)
		f()
		best = min(best, cpu(t)-before)
	}
	return best
}

func cpu(t testing.TB) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func TestTmpRatio(t *testing.T) {
	body, query := benchPage()
	session, closing := cannedSession(t, body, "t")
	defer closing()
	searched, closing2 := cannedSession(t, body, jwtToken+jwtToken[len(jwtToken)-80:])
	defer closing2()
	read := func(s interface{}) {}
	_ = read
	raw := rawScanner{make([]byte, len(body)+1), make([]byte, 0, len(body))}
	var a, b, c time.Duration = 1 << 62, 1 << 62, 1 << 62
	for range 10 {
		a = min(a, cpuOf(t, 5, func() {
			page, err := firstPage(t.Context(), session, query)
			if err != nil {
				t.Fatal(err)
			}
			page.Release()
		}))
		c = min(c, cpuOf(t, 5, func() {
			page, err := firstPage(t.Context(), searched, query)
			if err != nil {
				t.Fatal(err)
			}
			page.Release()
		}))
		b = min(b, cpuOf(t, 5, func() { raw.read(bytes.NewReader(body)) }))
	}
	t.Logf("page %v searched %v raw %v ratio %.2f searched %.2f", a, c, b, float64(a)/float64(b), float64(c)/float64(b))
}
