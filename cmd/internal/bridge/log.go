package bridge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"github.com/redis/go-redis/v9"
	"golang.org/x/term"
)

// NewLog makes a logger that writes each line at once: text, coloured on a terminal, or JSON;
// auto is text on a terminal and JSON elsewhere.
func NewLog(to io.Writer, level slog.Level, format string) *slog.Logger {
	return slog.New(logHandler(&lockedWriter{to: to}, isTerminal(to), level, format))
}

// OpenLog is NewLog for a process that writes many lines. To a file or a pipe it writes them
// together, within 50 ms; flush writes what is left, and is called before the process ends.
// Lines that nobody takes for a second are lost, and counted in a later line.
func OpenLog(to io.Writer, level slog.Level, format string) (log *slog.Logger, flush func()) {
	if _, isFile := to.(*os.File); !isFile || isTerminal(to) {
		return NewLog(to, level, format), func() {}
	}
	w := newLogWriter(to, func(lost int) []byte {
		var text bytes.Buffer // writing to it never fails
		slog.New(logHandler(&text, false, slog.LevelWarn, format)).
			Warn("lines of this log are lost: nobody took them in time", "count", lost)
		return text.Bytes()
	})
	return slog.New(promptLog{logHandler(w, false, level, format), w}), w.Flush
}

func logHandler(to io.Writer, terminal bool, level slog.Level, format string) slog.Handler {
	if format == "json" || format == "auto" && !terminal {
		return newJSONLog(to, level)
	}
	return tint.NewTextHandler(to, &tint.Options{Level: level, TimeFormat: time.TimeOnly + ".000",
		NoColor: !terminal || plain()})
}

// plain reports whether colours are not wanted (no-color.org), or not understood.
func plain() bool { return os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" }

func isTerminal(to io.Writer) bool {
	file, isFile := to.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// A lockedWriter writes one line at a time.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(line)
}

// A promptLog does not keep warnings and errors waiting: they may be a process's last words.
type promptLog struct {
	slog.Handler
	to *logWriter
}

// Handle writes a line.
func (h promptLog) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.to.Soon()
	}
	return err
}

// WithAttrs returns a handler whose lines have the attributes.
func (h promptLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptLog{h.Handler.WithAttrs(attrs), h.to}
}

// WithGroup returns a handler whose lines have their attributes in a group.
func (h promptLog) WithGroup(name string) slog.Handler {
	return promptLog{h.Handler.WithGroup(name), h.to}
}

// QuietRedis sends what the Redis library would print by itself to the log. It
// sets that library's own global and is for a program's main function.
func QuietRedis(log *slog.Logger) { redis.SetLogger(redisLog{log}) }

type redisLog struct{ log *slog.Logger }

func (r redisLog) Printf(ctx context.Context, format string, v ...any) {
	r.log.DebugContext(ctx, "Redis", "text", fmt.Sprintf(format, v...))
}
