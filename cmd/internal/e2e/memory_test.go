package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// mostMemory is what the consumer may hold at its peak while it passes on 50,000
// rows in pages of 5000, in KiB.
const mostMemory = 64 << 10

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peak is the most memory that a process has held, in KiB.
func peak(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := highWater.FindSubmatch(status)
	if found == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

func TestAStreamOf50000RowsStaysSmall(t *testing.T) {
	bridgetest.Long(t, "it streams 50,000 rows")
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc, which Linux has")
	}
	w := bridgetest.New(t, emulator.Options{Accounts: messages.MaxStreamRows + 500})
	p := bridgetest.Serve(t, w.Settings(true))
	w.Connect("acme")
	client, _ := w.Client()
	ctx, cancel := context.WithTimeout(t.Context(), messages.MaxDeadline)
	defer cancel()
	before, begin := peak(t, p.Process.Pid), time.Now()
	seen := make(map[string]bool, messages.MaxStreamRows)
	var bytes, pages int
	var last *messages.AccountsPage
	for page, err := range client.Stream(ctx, messages.AccountsSearchRequest{Target: messages.Target{Connection: "acme"},
		Fields: []string{"id", "name", "website", "phone", "city", "industry", "classification", "employees", "revenue", "created_at", "do_not_email", "owner"}}) {
		if err != nil {
			t.Fatal(err)
		}
		pages, last = pages+1, page
		for _, account := range page.Accounts {
			seen[account.Text("id")] = true
			for _, value := range account {
				bytes += len(value)
			}
		}
		if pages == 1 {
			labelled(t, page)
		}
	}
	labelled(t, last)
	if len(seen) != messages.MaxStreamRows || last.NextCursor == "" {
		t.Errorf("%d different rows, next cursor %.10q; want %d and one", len(seen), last.NextCursor, messages.MaxStreamRows)
	}
	after := peak(t, p.Process.Pid)
	t.Logf("%d rows, %.1f MB of values in %d messages within %s; peak memory %.1f MiB, %.1f MiB before", len(seen), float64(bytes)/1e6, pages,
		time.Since(begin).Round(time.Millisecond), float64(after)/1024, float64(before)/1024)
	if after >= mostMemory && !raceDetector {
		t.Errorf("the peak is %d KiB, want less than %d", after, mostMemory)
	}
}

// labelled fails the test unless the choices and lookups of a page have labels.
func labelled(t *testing.T, page *messages.AccountsPage) {
	t.Helper()
	found := 0
	for _, account := range page.Accounts {
		var industry *messages.Choice
		if err := account.Decode("industry", &industry); err != nil {
			t.Fatal(err)
		}
		var owner *messages.Lookup
		if err := account.Decode("owner", &owner); err != nil {
			t.Fatal(err)
		}
		if industry != nil && industry.Label == "" || owner == nil || owner.Name == "" || owner.Entity == "" {
			t.Fatalf("labels are missing: %v", account)
		}
		if industry != nil {
			found++
		}
	}
	if found == 0 {
		t.Error("no account of the page has an industry")
	}
}
