package bridgetest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/contract"
	"github.com/crmbridge/crmbridge/cmd/internal/natstap"
)

// held is what all tests of this process held against the document.
var held struct {
	sync.Mutex
	counts contract.Counts
}

// mostFaults is how many faults of one test are told in full.
const mostFaults = 8

// Overheard is a URL for the same NATS server where every message that is published is held against
// the document which crmbridge publishes, until the test ends: see [contract.Ledger]. A world's NATS
// is overheard from the beginning; this is for a server that the test has started itself. Benchmarks
// are left alone.
func (w *World) Overheard(url string) string {
	w.t.Helper()
	if _, bench := w.t.(*testing.B); bench {
		return url
	}
	var mu sync.Mutex
	faults := 0
	ledger := contract.NewLedger(func() (*contract.Document, error) { return contract.Of(w.added...) }, func(fault string) {
		mu.Lock()
		defer mu.Unlock()
		if faults++; faults <= mostFaults {
			w.t.Error(fault)
		}
	})
	tap, err := natstap.Listen(url, ledger.Hear)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := tap.Close(); err != nil {
			w.t.Error(err)
		}
		counts := ledger.Close()
		held.Lock()
		held.counts.Add(counts)
		held.Unlock()
		if faults > mostFaults {
			w.t.Errorf("%d faults like these in all", faults)
		}
	})
	return tap.URL
}

// sayHeld writes what was held against the document.
func sayHeld(to io.Writer) {
	held.Lock()
	defer held.Unlock()
	kinds := map[string]int{}
	total := 0
	for name, n := range held.counts.Held {
		kind := name[strings.LastIndexByte(name, '.')+1:]
		kinds[kind] += n
		total += n
	}
	if total == 0 {
		return
	}
	fmt.Fprintf(to, "held against the document: %d messages of %d kinds", total, len(held.counts.Held))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(to, ", %s %d", kind, kinds[kind])
	}
	fmt.Fprintf(to, "; %d of floods passed over\n", held.counts.PassedOver)
	if document, err := contract.Of(); err == nil {
		var missing []string
		for _, name := range document.Messages() {
			if held.counts.Held[name] == 0 {
				missing = append(missing, name)
			}
		}
		fmt.Fprintf(to, "  nobody sent %s\n", strings.Join(missing, " "))
	}
	for _, reason := range slices.Sorted(maps.Keys(held.counts.Refused)) {
		why := reason
		if why == "" {
			why = "the document says so too"
		}
		fmt.Fprintf(to, "  invalid_request %6d: %s\n", held.counts.Refused[reason], why)
	}
}
