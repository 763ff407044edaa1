package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// On a terminal a bar is a line with what is done, of how much, how fast and the time left, which
// goes away.
func TestBarOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		std := &stdio{err: &out, live: true}
		bar := std.bar("accounts", 100)
		total := int64(1100)
		bar.of(&total)
		time.Sleep(10 * time.Second)
		bar.set(600)
		bar.says("b.csv\x1b[2J")
		time.Sleep(time.Second)
		bar.end()
		bar.end()
		bar.set(700) // too late to be seen
		text := out.String()
		for _, want := range []string{" [##########----------]  55% [10s; left: ",
			"] 600 of 1100 accounts, 50/s, b.csv [2J\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q lacks %q", text[max(len(text)-300, 0):], want)
			}
		}
		if !strings.HasSuffix(text, lineAway) || strings.Contains(text, "700") {
			t.Errorf("%q is left", text[max(len(text)-100, 0):])
		}
	})
}

// Work that is done at once shows nothing, and elsewhere a line comes now and then.
func TestBarElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		for _, live := range []bool{true, false} {
			bar := (&stdio{err: &out, live: live}).bar("accounts", 0)
			time.Sleep(barDelay / 2)
			bar.end()
		}
		if out.String() != "" {
			t.Errorf("short work shows %q", out.String())
		}
		bar := (&stdio{err: &out}).bar("accounts", 0)
		bar.atMost(1000)
		total := int64(5000)
		bar.of(&total)
		time.Sleep(barFirst + time.Second)
		bar.says("the job waits for its turn")
		time.Sleep(barLines)
		bar.says("")
		bar.set(250)
		time.Sleep(barLines)
		bar.end()
		count := (&stdio{err: &out}).wait("counting accounts")
		time.Sleep(barFirst + time.Second)
		count.end()
		if want := "0 of 1000 accounts, after 5s\n0 of 1000 accounts, the job waits for its turn, after 35s\n" +
			"250 of 1000 accounts, 4/s, 3m15s left, after 1m5s\ncounting accounts, after 5s\n"; out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
}

// What fills a terminal is its own progress.
func TestBarBesideItsOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		bar := (&stdio{err: &out, live: true, outLive: true}).barOver("accounts", 0)
		time.Sleep(2 * barLines)
		bar.end()
		if out.String() != "" {
			t.Errorf("%q", out.String())
		}
	})
}

// The bar of an export says which file is written, and what the job waits for.
func TestExportBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &exportProgress{bar: (&stdio{err: &out, live: true}).bar("accounts", 0), stop: func() {}}
		p.heard(&messages.Job{State: messages.JobQueued})
		time.Sleep(time.Second)
		file := &exportFile{name: "a/b.csv", state: exportState{Rows: 50, Part: 1,
			Request: exportRequest{Shape: exportShape{Split: 30}}}}
		total := int64(200)
		p.wrote(&messages.Result{Total: &total}, file)
		time.Sleep(time.Second)
		p.end()
		for _, want := range []string{"reading accounts, the job waits for its turn", "50 of 200 accounts, 50/s, b-002.csv",
			"[#####---------------]  25%"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q lacks %q", out.String(), want)
			}
		}
	})
}

// A job that has not begun does not know that its user is blocked; its export asks, and says it until
// the job runs.
func TestExportBarSaysWhyTheJobWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		std := &stdio{err: &out}
		ctx, stop := context.WithCancel(t.Context())
		p := &exportProgress{std: std, bar: std.bar("accounts", 0), stop: stop}
		until, asked := time.Now().Add(time.Minute), 0
		p.joining.Go(func() {
			p.explain(ctx, func(context.Context) (*messages.LimitsReply, error) {
				if asked++; asked == 1 {
					return nil, errors.New("not now")
				}
				return &messages.LimitsReply{BlockedUntil: &until, BlockedBy: messages.BlockedByRequests}, nil
			})
		})
		p.heard(&messages.Job{State: messages.JobQueued})
		time.Sleep(barFirst + barLines + time.Second)
		p.heard(&messages.Job{State: messages.JobRunning})
		time.Sleep(barLines)
		p.end()
		want := "0 accounts, the job waits for its turn, after 5s\n0 accounts, the job waits until " + term.When(&until) +
			": throttled, by its limit of requests in five minutes, after 35s\n0 accounts, after 1m5s\n"
		if most := int((barFirst + barLines) / waitsEvery); out.String() != want || asked > most+1 {
			t.Errorf("asked %d times, %q, want %q", asked, out.String(), want)
		}
	})
}
