package interactive

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A journal writes the log lines of answers. What comes in floods is counted: of
// refusals for want of room the first is written at once and the others as one line a
// second for each connection and code; of other answers, so many lines a second for
// each connection. A line with a count is written for that many answers.
type journal struct {
	log *slog.Logger
	// of has a handler for each operation that writes the operation's name by itself.
	of map[messages.Operation]slog.Handler

	mu      sync.Mutex
	entries map[entryKey]*entry
}

type entryKey struct{ connection, code string }

type entry struct {
	level     slog.Level
	message   string
	operation messages.Operation // of the last one that was counted
	lines     int                // written in this second
	count     int                // not written yet
}

// Bounds of a journal.
const (
	// mostEntries bounds the connections and codes that are told apart in one second:
	// connections can be made up. What is beyond is counted together.
	mostEntries = 512
	// linesASecond of one connection and code are written singly: all of a connection
	// that works at its usual pace.
	linesASecond = 200
	// everywhere is the connection of lines about several that are not told apart.
	everywhere = "(many)"
)

func newJournal(log *slog.Logger, operations ...messages.Operation) *journal {
	j := &journal{log: log, of: map[messages.Operation]slog.Handler{}, entries: map[entryKey]*entry{}}
	for _, op := range operations {
		j.of[op] = operationsLog(log, op)
	}
	return j
}

func operationsLog(log *slog.Logger, op messages.Operation) slog.Handler {
	return log.Handler().WithAttrs([]slog.Attr{slog.String("operation", string(op))})
}

// Codes of the journal for what has no answer.
const (
	refusedReply = "reply_subject"
	unanswered   = "unanswered"
	dropped      = "dropped"
)

// note counts something that has no line of its own; the count is written within a
// twentieth of a second, and then once a second. It never waits for the log.
func (j *journal) note(level slog.Level, message string, op messages.Operation, connection, code string) {
	j.notes(level, message, op, connection, code, 1)
}

func (j *journal) notes(level slog.Level, message string, op messages.Operation, connection, code string, n int) {
	if !j.log.Enabled(context.Background(), level) {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.entry(entryKey{connection, code})
	e.level, e.message, e.operation = level, message, op
	e.count += n
}

// single reports whether a line about one request is to be written, by line. Where there were
// enough of its kind in this second it is counted instead.
func (j *journal) single(level slog.Level, message string, op messages.Operation, connection, code string) bool {
	if !j.log.Enabled(context.Background(), level) {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.entry(entryKey{connection, code})
	if e.count == 0 && e.lines < singly(code) {
		e.lines++
		return true
	}
	e.level, e.message, e.operation = level, message, op
	e.count++
	return false
}

// line writes a line about one request. Lines have no place in the program's text: nobody
// reads it, and finding it costs as much as the line.
func (j *journal) line(level slog.Level, message string, op messages.Operation, connection, code string,
	at time.Time, attrs ...slog.Attr) {
	to := j.of[op]
	if to == nil {
		to = operationsLog(j.log, op)
	}
	line := slog.NewRecord(at, level, message, 0)
	line.AddAttrs(slog.String("connection", connection), slog.String("code", code))
	line.AddAttrs(attrs...)
	_ = to.Handle(context.Background(), line) // as slog does: there is nowhere to say so
}

func (j *journal) entry(key entryKey) *entry {
	e := j.entries[key]
	if e == nil && len(j.entries) >= mostEntries {
		key.connection = everywhere
		e = j.entries[key]
	}
	if e == nil {
		e = &entry{}
		j.entries[key] = e
	}
	return e
}

// singly is how many lines a second are written one by one.
func singly(code string) int {
	switch code {
	case string(messages.Overloaded), refusedReply, unanswered, dropped:
		return 1
	}
	return linesASecond
}

// first writes what has been noted since the last second and was not before.
func (j *journal) first() { j.write(func(e *entry) bool { return e.lines == 0 }, false) }

// flush is called once a second: it writes what was counted, and forgets what was not.
func (j *journal) flush() { j.write(func(*entry) bool { return true }, true) }

func (j *journal) write(which func(*entry) bool, second bool) {
	counted := map[entryKey]entry{}
	j.mu.Lock()
	for key, e := range j.entries {
		switch {
		case e.count > 0 && which(e):
			counted[key] = *e
			e.count, e.lines = 0, 0
			if singly(key.code) == 1 {
				e.lines = 1 // it goes on: no more than its count is written before a second without
			}
		case second && e.count == 0:
			delete(j.entries, key)
		}
	}
	j.mu.Unlock()
	for key, e := range counted {
		j.log.Log(context.Background(), e.level, e.message, "operation", e.operation, "connection", key.connection,
			"code", key.code, "count", e.count)
	}
}
