package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// BenchmarkMemory measures what a process takes at its peak, one process for each
// meal, beside environments that answer as much as they can:
//
//	go test ./cmd/internal/e2e -run '^$' -bench Memory -benchtime 1x -timeout 60m
//	CRMBRIDGE_BENCH_MEMORY_BUDGET=256MiB go test ./cmd/internal/e2e -run '^$' -bench Memory/http1/long -benchtime 1x
//
// peak-over-MiB is the peak above MEMORY_BUDGET, gc-% the collector's share of the
// processor time that was used, ok-% the requests that were answered well.
func BenchmarkMemory(b *testing.B) {
	budget := os.Getenv("CRMBRIDGE_BENCH_MEMORY_BUDGET")
	if budget == "" {
		budget = "1GiB"
	}
	mib, err := strconv.Atoi(strings.NewReplacer("GiB", "", "MiB", "").Replace(budget))
	if err != nil {
		b.Fatal(err)
	}
	if strings.HasSuffix(budget, "GiB") {
		mib <<= 10
	}
	for _, protocol := range []string{"http1", "http2"} {
		b.Run(protocol, func(b *testing.B) {
			h := newHungry(b, protocol == "http2", 40)
			for _, m := range meals(h.environment) {
				b.Run(m.name, func(b *testing.B) {
					for b.Loop() {
						p := h.serve(b, false, budget)
						before := peak(b, p.Process.Pid)
						begun := time.Now()
						codes := h.eat(b, m.meal, m.patience)
						took := time.Since(begun)
						kib := peak(b, p.Process.Pid)
						gc := gcShare(b, p)
						b.Logf("%v in %s; peak %d MiB, %d MiB before; collector %.1f %%", codes, took.Round(time.Millisecond), kib>>10,
							before>>10, 100*gc)
						b.ReportMetric(float64(kib>>10-mib), "peak-over-MiB")
						b.ReportMetric(100*gc, "gc-%")
						b.ReportMetric(100*float64(codes["ok"])/float64(m.requests), "ok-%")
						if kib>>10 > mib+80 {
							b.Errorf("the peak is %d MiB, want at most %d", kib>>10, mib+80)
						}
						_ = p.Process.Kill() // the next meal has a process of its own
					}
				})
			}
		})
	}
}

type namedMeal struct {
	name     string
	patience time.Duration
	meal
}

// meals are those that ended processes, or took many times what they should.
func meals(environment string) []namedMeal {
	whole := func(page []byte, coding string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Preference-Applied", "odata.track-changes")
			if coding != "" {
				w.Header().Set("Content-Encoding", coding)
			}
			_, _ = w.Write(page)
		}
	}
	const long = messages.MaxDeadline - time.Second
	const search, all = `{"fields":["id","name"],"page_size":5000}`, `{}`
	return []namedMeal{
		{"17rows", long, meal{messages.Accounts.Operation(messages.VerbSearch), search, 40, 40, whole(zipped(rowsOf(environment, 17, 2<<20)), "gzip")}},
		{"pages", long, meal{messages.Accounts.Operation(messages.VerbSearch), search, 256, 256, whole(rowsOf(environment, 5000, 2000), "")}},
		{"long", long, meal{messages.Accounts.Operation(messages.VerbSearch), search, 40, 40, whole(rowsOf(environment, 5000, 62<<20/5000-110), "")}},
		{"longvalues", long, meal{messages.Accounts.Operation(messages.VerbSearch), search, 40, 40, whole(rowsOf(environment, 9, 6<<20), "")}},
		{"changes", 30 * time.Second, meal{messages.Accounts.Operation(messages.VerbChanges), all, 1000, 1000, whole(rowsOf(environment, 500, 1500), "")}},
		{"bodies", 20 * time.Second, meal{messages.Accounts.Operation(messages.VerbSearch), largeBody(), 256, 256, slowly(whole(rowsOf(environment, 10, 100), ""))}},
		{"options", 2 * time.Minute, meal{messages.Accounts.Operation(messages.VerbFields), all, 256, 256, whole(manyOptions(100_000), "")}},
	}
}

func zipped(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(text)
	if err != nil || z.Close() != nil {
		panic("a buffer takes everything")
	}
	return b.Bytes()
}

// largeBody is a search of nearly 1 MiB, which a message of NATS may have.
func largeBody() string {
	return `{"fields":["id","name"]` + strings.Repeat(" ", 1<<20-1024) + `}`
}

func slowly(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(3 * time.Second):
		case <-r.Context().Done():
		}
		answer(w, r)
	}
}

func manyOptions(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"@odata.context":"x","value":[{"LogicalName":"industrycode","MetadataId":"x","OptionSet":{"MetadataId":"y","Options":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"Value":%d,"Color":null,"IsManaged":true,"ExternalValue":"","ParentValues":[],"MetadataId":null,"HasChanged":null,`+
			`"Label":{"LocalizedLabels":[{"Label":"Industry number %d","LanguageCode":1033}],`+
			`"UserLocalizedLabel":{"Label":"Industry number %d","LanguageCode":1033,"IsManaged":true,"HasChanged":null}},`+
			`"Description":{"LocalizedLabels":[],"UserLocalizedLabel":null}}`, i, i, i)
	}
	b.WriteString(`]}}]}`)
	return []byte(b.String())
}

var cpuSeconds = regexp.MustCompile(`(?m)^go_cpu_classes_(gc_total|idle|total)_cpu_seconds_total (\S+)$`)

// gcShare is the collector's part of the processor time that a process has used.
func gcShare(t testing.TB, p *bridgetest.Process) float64 {
	t.Helper()
	seconds := map[string]float64{}
	response, err := http.Get(p.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range cpuSeconds.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		seconds[m[1]] = n
	}
	if used := seconds["total"] - seconds["idle"]; used > 0 {
		return seconds["gc_total"] / used
	}
	return 0
}
