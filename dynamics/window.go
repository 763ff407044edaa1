package dynamics

import (
	"errors"
	"fmt"
	"io"
)

// A window is the part of an answer that is being scanned. It is filled before anything in
// it is looked at: an answer is used when all of it is there, so that waiting for bytes
// loses nothing, and one that comes in drops is not scanned again with each of them.
type window struct {
	body  *body
	buf   []byte // what has been read, and room; scanPad bytes are never filled
	n     int    // bytes of it that have been read
	at    int    // the bytes before it are done with
	ended bool   // the body
	held  int64  // what is counted for buf

	echoes *echoReader // of the body, where the window looks for its tokens; see [window.look]
	looked int         // the bytes before it have been looked at
}

// windowSize is what a window has in any case, in bytes; see exchangeBuffers. A longer row
// makes it grow.
const windowSize = 32 << 10

// maxWindow bounds a window, whatever an answer may have, so that a place in it has room in 32
// bits.
const maxWindow = 1 << 30

// The causes of an answer that is no JSON.
var (
	errShort = errors.New("the JSON ends too early")
	errDeep  = errors.New("arrays and objects stand in each other too deep")
)

// errSyntax is where an answer is no JSON, in bytes from its beginning.
type errSyntax int64

func (e errSyntax) Error() string { return fmt.Sprintf("the JSON is invalid at byte %d", int64(e)) }

// reset begins with b; the bytes of an answer before are not seen again.
func (w *window) reset(b *body) {
	if w.buf == nil {
		w.buf = make([]byte, windowSize+scanPad)
	}
	w.body, w.n, w.at, w.ended = b, 0, 0, false
	w.echoes, w.looked = b.searched(), 0
	clear(w.buf[:scanPad])
}

// release lets go of the answer, and of what a long row needed.
func (w *window) release() {
	if w.held > 0 {
		w.body.work.Shrink(w.held)
		w.buf, w.held = nil, 0
	}
	w.body, w.echoes = nil, nil
}

// text is what has been read, with its pad.
func (w *window) text() []byte { return w.buf[:w.n+scanPad] }

// more reads on. What is not done with moves to the front; where that is most of the
// window, it becomes twice as large.
func (w *window) more() error {
	if w.ended {
		return errShort
	}
	from, err := w.behind()
	if err != nil {
		return err
	}
	w.n, w.at, w.looked = copy(w.buf, w.buf[from:w.n]), w.at-from, w.looked-from
	if w.n > (len(w.buf)-scanPad)/2 {
		if err := w.grow(); err != nil {
			return err
		}
	}
	room := w.buf[:len(w.buf)-scanPad]
	for w.n < len(room) && !w.ended {
		n, err := w.body.Read(room[w.n:])
		w.n += n
		switch {
		case err == io.EOF:
			w.ended = true
		case err != nil:
			return err
		}
	}
	clear(w.buf[w.n : w.n+scanPad])
	return nil
}

// grow counts the new room before it is made, in addition to the old.
func (w *window) grow() error {
	size := int64(2*(len(w.buf)-scanPad) + scanPad)
	if size > maxWindow {
		return pageFault("a row is longer than any that Dataverse keeps")
	}
	if err := w.body.hold(w.body.work, size); err != nil {
		return err
	}
	buf := make([]byte, size)
	copy(buf, w.buf[:w.n])
	w.body.work.Shrink(w.held)
	w.buf, w.held = buf, size
	return nil
}

// next is the first byte that is no space, which is not done with; 0 where the answer
// ends.
func (w *window) next() (byte, error) {
	for {
		if w.at = scanSpace(w.buf, w.at); w.at < w.n {
			return w.buf[w.at], nil
		}
		if w.ended {
			return 0, nil
		}
		if err := w.more(); err != nil {
			return 0, err
		}
	}
}

// fault is the error of a scan that ended with a code. Of scanMore there is none where
// more could be read.
func (w *window) fault(code int) error {
	switch code {
	case scanMore:
		return w.more()
	case scanLong:
		return pageFault("a value is longer than any that Dataverse keeps")
	case scanDeep:
		return errDeep
	}
	return errSyntax(w.body.read - int64(w.n-w.at))
}

// bad is the error of a byte that may not stand where the window is.
func (w *window) bad() error {
	if w.at >= w.n {
		return errShort
	}
	return w.fault(scanBad)
}

// whole reads one value with scan. What it returns is good until more is read.
func (w *window) whole(scan func(text []byte, at int) int) ([]byte, error) {
	if _, err := w.next(); err != nil {
		return nil, err
	}
	for {
		end := scan(w.text(), w.at)
		if end >= 0 {
			value := w.buf[w.at:end]
			w.at = end
			return value, nil
		}
		if err := w.fault(end); err != nil {
			return nil, err
		}
	}
}

// expect is done with one byte, which must be c.
func (w *window) expect(c byte, fault string) error {
	b, err := w.next()
	switch {
	case err != nil:
		return err
	case b == 0:
		return errShort
	case b != c:
		return pageFault(fault)
	}
	w.at++
	return nil
}

// end insists that the answer ends here.
func (w *window) end() error {
	switch b, err := w.next(); {
	case err != nil:
		return err
	case b != 0 || w.at < w.n:
		return pageFault("there is trailing data after the answer's JSON")
	}
	return nil
}
