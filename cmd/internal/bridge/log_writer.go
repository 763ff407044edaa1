package bridge

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// A logWriter writes the lines of a log, many with one system call: one a line costs as much
// as the line. It is bounded in all that it does, since requests write lines: where the other
// side stops reading, a line waits for some time, all further ones are lost until it reads
// again, and a line then says how many they were.
//
// What a line is about has been answered before, so no answer waits for it. A process that
// the runtime ends at once, or that is killed, takes along at most what came within linesWait;
// warnings and errors are written without that wait.
type logWriter struct {
	to   io.Writer
	tell func(lost int) []byte // makes a line about lines that were lost

	mu      sync.Mutex
	lines   []byte // not written yet
	state   writerState
	timer   *time.Timer   // that begins writing, while it is due
	began   chan struct{} // closed when what waits begins to be written, and there is room
	ended   chan struct{} // closed when everything is written
	stuck   bool          // a line has waited for room in vain since something was written
	lost    int
	written []byte // memory for the next lines
}

type writerState int

const (
	idle    writerState = iota // nothing waits
	due                        // the timer runs
	writing                    // a goroutine writes until nothing waits
)

const (
	// linesWait is how long a line waits for others.
	linesWait = 50 * time.Millisecond
	// mostLines bounds the bytes that wait, and those under way again.
	mostLines = 256 << 10
	// manyLines are written before their time.
	manyLines = mostLines / 4
	// roomWait is how long a line waits for room; linesEnd how long the last ones have.
	roomWait = time.Second
	linesEnd = 2 * time.Second
)

func newLogWriter(to io.Writer, tell func(lost int) []byte) *logWriter {
	return &logWriter{to: to, tell: tell, began: make(chan struct{})}
}

// Write takes one line, or counts it as lost. It never fails: a log has nowhere to say so.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.room(len(line)) {
		w.lost++
		return len(line), nil
	}
	w.lines = append(w.lines, line...)
	switch {
	case w.state == idle:
		w.state, w.ended = due, make(chan struct{})
		w.timer = time.AfterFunc(linesWait, w.begin)
	case len(w.lines) >= manyLines:
		w.hurry()
	}
	return len(line), nil
}

// room waits until there is room for n bytes, some time at most. It is called with the lock,
// which it gives up meanwhile.
func (w *logWriter) room(n int) bool {
	if w.fits(n) || w.stuck {
		return w.fits(n)
	}
	wait := time.NewTimer(roomWait)
	defer wait.Stop()
	for !w.fits(n) && !w.stuck {
		began := w.began
		w.mu.Unlock()
		select {
		case <-began:
			w.mu.Lock()
		case <-wait.C:
			w.mu.Lock()
			w.stuck = w.stuck || w.began == began
			return w.fits(n)
		}
	}
	return w.fits(n)
}

func (w *logWriter) fits(n int) bool { return len(w.lines) == 0 || len(w.lines)+n <= mostLines }

// Soon writes what waits without waiting for more.
func (w *logWriter) Soon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurry()
}

func (w *logWriter) hurry() {
	if w.state == due && w.timer.Stop() {
		w.state = writing
		go w.write()
	}
}

func (w *logWriter) begin() {
	w.mu.Lock()
	w.state = writing
	w.mu.Unlock()
	w.write()
}

// write writes until nothing waits.
func (w *logWriter) write() {
	for {
		w.mu.Lock()
		lines := w.lines
		if len(lines) == 0 {
			w.state = idle
			close(w.ended)
			w.mu.Unlock()
			return
		}
		w.lines, w.written = w.written[:0], nil
		close(w.began)
		w.began = make(chan struct{})
		w.mu.Unlock()

		n, err := w.to.Write(lines)

		w.mu.Lock()
		w.stuck = false
		lost := w.lost
		if err != nil {
			w.lost += bytes.Count(lines[min(max(n, 0), len(lines)):], []byte("\n"))
			lost = 0
		}
		if cap(lines) <= manyLines {
			w.written = lines
		}
		w.mu.Unlock()
		if lost > 0 {
			w.says(lost)
		}
	}
}

// says writes a line about lines that were lost.
func (w *logWriter) says(lost int) {
	if _, err := w.to.Write(w.tell(lost)); err == nil {
		w.mu.Lock()
		w.lost -= lost
		w.mu.Unlock()
	}
}

// Flush waits until everything that was taken is written, for some time at most.
func (w *logWriter) Flush() {
	w.mu.Lock()
	w.hurry()
	ended := w.ended
	if w.state == idle {
		ended = nil
	}
	w.mu.Unlock()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(linesEnd):
	}
}
