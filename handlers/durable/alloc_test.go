//go:build !race

package durable

import (
	"bytes"
	"testing"
)

// accountsText is so many rows of accounts, more or less.
func accountsText(rows int) []byte {
	return bytes.Repeat([]byte(`{"id":"00000000-0000-0000-0000-000000000001","name":"Fabrikam","employees":120},`), rows)
}

// What a page takes beside its bodies: the compressed one as long as it is, and its checkpoint
// on its way to a header. (Pools lose what they have at random under the race detector.)
func TestWhatAPageAllocates(t *testing.T) {
	body := accountsText(10_000)
	if got := testing.AllocsPerRun(50, func() {
		if _, err := compress(body); err != nil {
			t.Fatal(err)
		}
	}); got != 1 {
		t.Errorf("a compressed body takes %v allocations, want 1", got)
	}
	r := &rig{TB: t, connections: &connections{}, sealer: newBoxes(t)}
	l := r.lane("one", nil, nil, nil)
	place := bytes.Repeat([]byte("<cookie pagenumber=%222%22/>"), 20)
	if got := testing.AllocsPerRun(50, func() {
		if _, err := l.seal(checkpoint{place, 12345}, jobKey{"acme", "j"}, "inc", 7); err != nil {
			t.Fatal(err)
		}
	}); got > 8 {
		t.Errorf("a checkpoint takes %v allocations, want 8 at most", got)
	}
}

// A body of 5000 rows, compressed.
func BenchmarkCompress(b *testing.B) {
	body := accountsText(5000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := compress(body); err != nil {
			b.Fatal(err)
		}
	}
}

// A checkpoint with a place of usual length.
func BenchmarkSeal(b *testing.B) {
	r := &rig{TB: b, connections: &connections{}, sealer: newBoxes(b)}
	l := r.lane("one", nil, nil, nil)
	place := bytes.Repeat([]byte("<cookie pagenumber=%222%22/>"), 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.seal(checkpoint{place, 12345}, jobKey{"acme", "j"}, "inc", 7); err != nil {
			b.Fatal(err)
		}
	}
}
