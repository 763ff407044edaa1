package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A sink takes lines, unless it stands still or fails.
type sink struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
	err    error
	hold   chan struct{} // until it is closed nothing is taken
}

func (s *sink) Write(p []byte) (int, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.writes++
	return s.text.Write(p)
}

func (s *sink) got() (text string, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.writes
}

func newTestWriter(to io.Writer) *logWriter {
	return newLogWriter(to, func(lost int) []byte { return fmt.Appendf(nil, "lost %d\n", lost) })
}

// Lines come out together, in their order, none before its time and none later.
func TestLinesAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		w := newTestWriter(&s)
		var want strings.Builder
		for i := range 10 {
			for j := range 40 {
				fmt.Fprintf(&want, "line %d.%d\n", i, j)
				fmt.Fprintf(w, "line %d.%d\n", i, j)
			}
			time.Sleep(linesWait)
			synctest.Wait()
			if got, writes := s.got(); got != want.String() || writes != i+1 {
				t.Fatalf("%d writes, %d bytes of %d", writes, len(got), want.Len())
			}
		}
	})
}

// Many lines are written before their time, one that is urgent too, and the last ones by Flush.
func TestLinesThatDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		w := newTestWriter(&s)
		long := strings.Repeat("x", manyLines)
		for _, c := range []struct {
			line string
			then func()
		}{{long, func() {}}, {"urgent", w.Soon}, {"last", w.Flush}} {
			fmt.Fprintln(w, "before")
			fmt.Fprintln(w, c.line)
			began := time.Now()
			c.then()
			synctest.Wait()
			if got, _ := s.got(); !strings.HasSuffix(got, "before\n"+c.line+"\n") || time.Since(began) != 0 {
				t.Errorf("%.10s is not written", c.line)
			}
		}
		w.Flush() // of nothing
		w.Soon()
	})
}

// Where nobody takes lines, what waits is bounded, one line waits for some time and the others
// for none, and what is lost is counted when lines are taken again.
func TestALogThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{hold: make(chan struct{})}
		w := newTestWriter(&s)
		line := strings.Repeat("x", 1023) + "\n"
		const lines = 10_000
		began := time.Now()
		var writers sync.WaitGroup
		for range 100 {
			writers.Go(func() {
				for range lines / 100 {
					fmt.Fprint(w, line)
				}
			})
		}
		writers.Wait()
		if took := time.Since(began); took > 2*roomWait {
			t.Errorf("writers were held up for %s", took)
		}
		if n := cap(w.lines); n > 2*mostLines {
			t.Errorf("%d bytes wait", n)
		}
		began = time.Now()
		w.Flush()
		if took := time.Since(began); took != linesEnd {
			t.Errorf("the end waited for %s", took)
		}
		close(s.hold)
		w.Flush()
		text, _ := s.got()
		var lost int
		for written := range strings.Lines(text) {
			if _, err := fmt.Sscanf(written, "lost %d\n", &lost); err != nil && written != line {
				t.Fatalf("%.20q", written)
			}
		}
		if n := strings.Count(text, line); n+lost != lines || n == 0 || lost == 0 {
			t.Errorf("%d lines are written and %d counted, of %d", n, lost, lines)
		}
		fmt.Fprint(w, line)
		w.Flush()
		if after, _ := s.got(); after != text+line {
			t.Error("it does not go on afterwards")
		}
	})
}

// Lines that could not be written are counted in the next that can.
func TestALogThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{err: errors.New("no space left")}
		w := newTestWriter(&s)
		for range 3 {
			fmt.Fprintln(w, "one")
			fmt.Fprintln(w, "two")
			w.Flush()
		}
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		fmt.Fprintln(w, "three")
		w.Flush()
		if got, _ := s.got(); got != "three\nlost 6\n" {
			t.Errorf("%q", got)
		}
	})
}

// A process's log to a pipe is complete after the flush at its end, warnings need none, and the
// line about lost ones is in the log's own format.
func TestALogToAPipe(t *testing.T) {
	for format, says := range map[string]string{"json": `"level":"WARN","msg":"lines of this log are lost: nobody took them in time","count":7}`,
		"text": "WRN lines of this log are lost: nobody took them in time count=7"} {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		log, flush := OpenLog(in, slog.LevelInfo, format)
		log.With("x", 1).WithGroup("g").Info("first")
		log.Warn("second")
		got := make([]byte, 1<<10)
		if n, err := out.Read(got); err != nil || !strings.Contains(string(got[:n]), "second") {
			t.Errorf("%s: %s %v", format, got[:n], err)
		}
		log.Info("last")
		flush()
		w := log.Handler().(promptLog).to
		if _, err := in.Write(w.tell(7)); err != nil {
			t.Fatal(err)
		}
		in.Close()
		rest, err := io.ReadAll(out)
		if err != nil || !strings.Contains(string(rest), "last") || !strings.Contains(string(rest), says) {
			t.Errorf("%s: %s %v", format, rest, err)
		}
		out.Close()
	}
}
