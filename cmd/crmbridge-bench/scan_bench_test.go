package main

import (
	"encoding/json"
	"testing"
)

// BenchmarkScanner is the bare loop's strict pass over a page of 5000 rows, and
// BenchmarkScannerValid what the standard library takes to check the same.
func BenchmarkScanner(b *testing.B) {
	page := stubPage("http://localhost/", 5000)
	s := scanner{in: page, wanted: bareWanted, most: 1 << 20}
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.page(); err != nil || s.rows != 5000 {
			b.Fatal(s.rows, err)
		}
	}
}

func BenchmarkScannerValid(b *testing.B) {
	page := stubPage("http://localhost/", 5000)
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if !json.Valid(page) {
			b.Fatal("not JSON")
		}
	}
}
