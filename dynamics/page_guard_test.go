package dynamics_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// passOf is a page's pass over an answer, without a call.
func passOf(t testing.TB, rows int) (pass func(), answer []byte) {
	t.Helper()
	body, query := benchPage(rows)
	session, closing := cannedSession(t, body, "t")
	t.Cleanup(closing)
	p, err := session.Prepare(accounts, query)
	if err != nil {
		t.Fatal(err)
	}
	from := bytes.NewReader(nil)
	return func() {
		from.Reset(body)
		page, err := dynamics.ReadPage(from, p)
		if err != nil || page.Len() != rows {
			t.Fatal(err)
		}
		page.Release()
	}, body
}

// TestAPageTakesFewAllocations: what a page needs is used again by the next. The page and
// the body are made anew.
func TestAPageTakesFewAllocations(t *testing.T) {
	if dynamics.RaceDetector {
		t.Skip("the race detector drops what is pooled")
	}
	for _, rows := range []int{10, dynamics.MaxPageSize} {
		pass, _ := passOf(t, rows)
		if got := testing.AllocsPerRun(20, pass); got > 2 {
			t.Errorf("a page of %d rows takes %g allocations", rows, got)
		}
	}
}

// TestAPageCostsLittleMoreThanARawScan: the pass that checks everything beside one that
// checks nothing, in CPU time, the best of some runs: what else the machine does makes a
// run longer and never shorter. It is 1.3 to 1.5; what reads token by token is 5.
func TestAPageCostsLittleMoreThanARawScan(t *testing.T) {
	if dynamics.RaceDetector || testing.Short() {
		t.Skip("skipped by -short and with the race detector: it measures")
	}
	pass, body := passOf(t, dynamics.MaxPageSize)
	raw := newRawScanner(body)
	const most = 1.8
	ratio := 0.0
	for range 5 {
		if ratio = ratioOf(t, 20, pass, raw.scan); ratio <= most {
			return
		}
	}
	t.Errorf("a page costs %.2f times a raw scan, want at most %g", ratio, most)
}

// ratioOf is what f takes in times of what g takes.
func ratioOf(t testing.TB, runs int, f, g func()) float64 {
	t.Helper()
	best := [2]time.Duration{1 << 62, 1 << 62}
	for range runs {
		for i, run := range []func(){f, g} {
			before := cpuOf(t)
			run()
			run()
			best[i] = min(best[i], cpuOf(t)-before)
		}
	}
	return float64(best[0]) / float64(best[1])
}

// BenchmarkPagePass is a page's pass alone, in times of a raw scan, and how often it is
// done while structs are filled and written once.
func BenchmarkPagePass(b *testing.B) {
	pass, body := passOf(b, dynamics.MaxPageSize)
	raw := newRawScanner(body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
	b.StopTimer()
	b.ReportMetric(ratioOf(b, 30, pass, raw.scan), "of-raw")
	b.ReportMetric(ratioOf(b, 5, func() { structs(b, body) }, pass), "of-structs")
}

// BenchmarkPagePassSmall is a page of ten rows.
func BenchmarkPagePassSmall(b *testing.B) {
	pass, body := passOf(b, 10)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	before := cpuOf(b)
	for b.Loop() {
		pass()
	}
	b.ReportMetric(float64(cpuOf(b)-before)/float64(b.N), "cpu-ns/op")
}
