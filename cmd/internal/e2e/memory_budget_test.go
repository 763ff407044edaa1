package e2e

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// TestAProcessHasACeiling: a small MEMORY_BUDGET beside answers that are larger all
// together, over HTTP/1.1 and HTTP/2. BenchmarkMemory is the same with more.
func TestAProcessHasACeiling(t *testing.T) {
	bridgetest.Long(t, "it fills the memory of processes")
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc, which Linux has")
	}
	const budget, mib = "128MiB", 128
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			h := newHungry(t, protocol == "HTTP/2.0", 4)
			search, changes := `{"fields":["id","name"],"page_size":5000}`, `{}`
			if protocol == "HTTP/2.0" { // long pages go by HTTP/1.1; what comes is longer than what was asked for
				search, changes = `{"fields":["id","name"],"page_size":100}`, `{"fields":["id","name"],"page_size":100}`
			}
			send := func(page []byte, coding string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					if r.Proto != protocol {
						t.Errorf("%s, want %s", r.Proto, protocol)
					}
					w.Header().Set("Preference-Applied", "odata.track-changes")
					if coding != "" {
						w.Header().Set("Content-Encoding", coding)
					}
					_, _ = w.Write(page)
				}
			}
			for _, m := range []struct {
				name string
				meal
				code string
			}{
				{"17 rows of 2 MB", meal{messages.Accounts.Operation(messages.VerbSearch), search, 4, 4, send(zipped(rowsOf(h.environment, 17, 2<<20)), "gzip")}, "too_large"},
				{"pages of 4 MB", meal{messages.Accounts.Operation(messages.VerbSearch), search, 40, 40, send(rowsOf(h.environment, 2000, 2000), "")}, "ok"},
				{"changes", meal{messages.Accounts.Operation(messages.VerbChanges), changes, 40, 40, send(rowsOf(h.environment, 400, 1500), "")}, "ok"},
			} {
				p := h.serve(t, false, budget)
				codes := h.eat(t, m.meal, 2*time.Minute)
				if codes[m.code] < m.requests*9/10 || codes[m.code]+codes["overloaded"] != m.requests {
					t.Errorf("%s: %v, want nine of ten %s, and the rest overloaded", m.name, codes, m.code)
				}
				most := peak(t, p.Process.Pid)
				t.Logf("%s: peak %d MiB", m.name, most>>10)
				if most>>10 > mib+80 && !raceDetector {
					t.Errorf("%s: the peak is %d MiB, want at most %d", m.name, most>>10, mib+80)
				}
				_ = p.Process.Kill() // the next meal has a process of its own
			}
		})
	}
}
