package bridge

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// NewLog makes the process's logger: text, coloured on a terminal, or JSON;
// auto is text on a terminal and JSON elsewhere.
func NewLog(to io.Writer, level slog.Level, format string) *slog.Logger {
	file, isFile := to.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if format == "json" || format == "auto" && !terminal {
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewHandler(to, &tint.Options{Level: level, TimeFormat: time.TimeOnly + ".000", NoColor: !terminal}))
}
