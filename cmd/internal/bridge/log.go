package bridge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/redis/go-redis/v9"
	"golang.org/x/term"
)

// NewLog makes the process's logger: text, coloured on a terminal, or JSON;
// auto is text on a terminal and JSON elsewhere.
func NewLog(to io.Writer, level slog.Level, format string) *slog.Logger {
	file, isFile := to.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	if format == "json" || format == "auto" && !terminal {
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: inMilliseconds}))
	}
	return slog.New(tint.NewTextHandler(to, &tint.Options{
		Level: level, TimeFormat: time.TimeOnly + ".000", NoColor: !terminal}))
}

// inMilliseconds writes durations as milliseconds, with the unit in the name: took
// becomes took_ms. slog's own form is a number of nanoseconds without a unit.
func inMilliseconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	return slog.Float64(a.Key+"_ms", float64(a.Value.Duration().Microseconds())/1000)
}

// QuietRedis sends what the Redis library would print by itself to the log. It
// sets that library's own global and is for a program's main function.
func QuietRedis(log *slog.Logger) { redis.SetLogger(redisLog{log}) }

type redisLog struct{ log *slog.Logger }

func (r redisLog) Printf(ctx context.Context, format string, v ...any) {
	r.log.DebugContext(ctx, "Redis", "text", fmt.Sprintf(format, v...))
}
