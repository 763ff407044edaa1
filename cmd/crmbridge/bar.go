package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
)

// A bar shows how far long work is: how much is done, of how much where that is known, how fast,
// and when it will be done. On a terminal it is a line that goes away with the work; elsewhere a
// line after some seconds and then now and then, so that a log of hours is still a short one. Work
// that is done at once shows nothing.
type bar struct {
	to   *stdio
	what string // what is counted: accounts
	at   int64  // how much was done before
	// single is work of one step, of which is known only how long it takes.
	single bool

	began   time.Time
	tracker *progress.Tracker // of what this run does: speed and time left are of that
	writer  progress.Writer   // nil where there is no terminal
	written written

	mu    sync.Mutex
	done  int64
	total int64  // 0 where it is not known
	most  int64  // 0 where there is no bound
	note  string // "" where there is none

	stop  chan struct{}
	shown chan struct{} // closed when nothing is shown any more
	once  sync.Once
}

const (
	// barDelay is how long work may take without a word.
	barDelay = 500 * time.Millisecond
	// barFirst is how long it may take without one where there is no terminal.
	barFirst = 5 * time.Second
	// barLines is the time between two lines where there is no terminal.
	barLines = 30 * time.Second
	// barCells is how many characters the bar itself has, and barTerminal how many columns the terminal
	// needs for it.
	barCells    = 20
	barTerminal = 75
)

// bar begins to show work of which something may be done already.
func (t *stdio) bar(what string, at int64) *bar { return t.newBar(what, at, false) }

// wait begins to show work of one step: what is done.
func (t *stdio) wait(what string) *bar { return t.newBar(what, 0, true) }

func (t *stdio) newBar(what string, at int64, single bool) *bar {
	b := &bar{to: t, what: what, at: at, single: single, done: at, began: time.Now(), written: written{to: t.err},
		stop: make(chan struct{}), shown: make(chan struct{})}
	b.tracker = &progress.Tracker{AutoStopDisabled: true, Message: b.text()}
	if t.live {
		b.writer = b.line(term.Columns(t.err))
		b.writer.AppendTracker(b.tracker)
	} else {
		b.tracker.Start()
	}
	go b.show()
	return b
}

// barOver is bar for work that prints as it goes: where that is on a terminal, it is what shows how
// far the work is.
func (t *stdio) barOver(what string, at int64) *bar {
	if t.outLive {
		t = &stdio{err: io.Discard}
	}
	return t.bar(what, at)
}

// line is the line on a terminal of so many columns, 0 for any number.
func (b *bar) line(columns int) progress.Writer {
	line := progress.NewWriter()
	line.SetOutputWriter(&b.written)
	line.SetTerminalWidth(columns)
	line.SetTrackerLength(barCells + 2) // with its brackets
	line.SetTrackerPosition(progress.PositionLeft)
	line.SetUpdateFrequency(progress.DefaultUpdateFrequency)
	style := progress.StyleDefault
	style.Visibility = progress.StyleVisibility{ETA: true, Time: true, Tracker: true}
	style.Options.ETAString = "left"
	style.Options.Separator = " "
	style.Options.TimeInProgressPrecision = time.Second
	style.Renderer.TrackerDeterminate = func(_, _ int64, cells int) string { return b.share(cells) }
	if columns > 0 && columns < barTerminal {
		style.Renderer.TrackerDeterminate = func(int64, int64, int) string { return b.share(0) }
		style.Renderer.TrackerIndeterminate = func(int) string { return "" }
	}
	line.SetStyle(style)
	return line
}

// share draws how much is done of the whole, which an earlier run may have begun. Without cells it
// is the number alone.
func (b *bar) share(cells int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	part := min(float64(b.done)/float64(max(b.total, 1)), 1)
	full := int(part * float64(cells))
	if cells == 0 {
		return fmt.Sprintf("%.0f%%", 100*part)
	}
	return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("#", full), strings.Repeat("-", cells-full), 100*part)
}

// text says how much is done, and how fast.
func (b *bar) text() string {
	text := fmt.Sprintf("%d %s", b.done, b.what)
	switch {
	case b.single:
		text = b.what
	case b.total > 0:
		text = fmt.Sprintf("%d of %d %s", b.done, b.total, b.what)
	case b.done == 0 && b.to.live: // where the time beside it runs
		text = "reading " + b.what
	}
	if past := time.Since(b.began).Seconds(); past >= 1 && b.done > b.at {
		text += fmt.Sprintf(", %.0f/s", float64(b.done-b.at)/past)
	}
	if b.note != "" {
		text += ", " + b.note
	}
	return text
}

// set says how much is done.
func (b *bar) set(done int64) { b.change(func() { b.done = done }) }

// of says how much there is to do; nil says that it is not known.
func (b *bar) of(total *int64) {
	if total != nil {
		b.change(func() {
			if b.total = *total; b.most > 0 {
				b.total = min(b.total, b.most)
			}
		})
	}
}

// atMost bounds what there is to do.
func (b *bar) atMost(rows int64) { b.change(func() { b.most = rows }) }

// says adds a word, "" for none.
func (b *bar) says(note string) { b.change(func() { b.note = term.Safe(note) }) }

func (b *bar) change(change func()) {
	b.mu.Lock()
	change()
	done, total, text := b.done-b.at, b.total-b.at, b.text()
	b.mu.Unlock()
	b.tracker.UpdateTotal(max(total, 0))
	b.tracker.SetValue(done)
	b.tracker.UpdateMessage(text)
}

// show shows the work until end.
func (b *bar) show() {
	defer close(b.shown)
	if !b.wait(barDelay) {
		return
	}
	if b.writer != nil {
		b.writer.Render()
		if b.written.some {
			fmt.Fprint(b.to.err, lineAway)
		}
		return
	}
	for next := barFirst - barDelay; b.wait(next); next = barLines {
		fmt.Fprintln(b.to.err, b.plain())
	}
}

// written knows whether there is a line to take away.
type written struct {
	to   io.Writer
	some bool
}

// Write writes to the terminal.
func (w *written) Write(text []byte) (int, error) {
	w.some = w.some || len(text) > 0
	return w.to.Write(text)
}

// lineAway takes the line away that was written last.
const lineAway = "\x1b[A\r\x1b[K"

// wait reports whether the work goes on for so long.
func (b *bar) wait(long time.Duration) bool {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.stop:
		return false
	}
}

// plain is the line where there is no terminal.
func (b *bar) plain() string {
	b.mu.Lock()
	text := b.text()
	b.mu.Unlock()
	if left := b.tracker.ETA().Round(time.Second); left > 0 {
		text += fmt.Sprintf(", %s left", left)
	}
	return text + ", after " + time.Since(b.began).Round(time.Second).String()
}

// end takes the line away. It may be called again.
func (b *bar) end() {
	b.once.Do(func() { close(b.stop) })
	for {
		if b.writer != nil {
			b.writer.Stop() // which does nothing before the line is there: so again
		}
		select {
		case <-b.shown:
			return
		case <-time.After(progress.DefaultUpdateFrequency / 10):
		}
	}
}
