package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"
)

// The usual line is slog's own, byte for byte; so is every other.
func FuzzJSONLines(f *testing.F) {
	for _, text := range []string{"answered", "", "a b", "q\"uote", `back\slash`, "<&>", "ä", "\x00", "\xff", "\u2028", "tab\t", "del\x7f"} {
		for _, n := range []int64{0, 1, -1, 999, 1000, 1_234_567, math.MaxInt64, math.MinInt64} {
			f.Add(text, "key", n, 4, n)
		}
	}
	f.Add("x", "", int64(1), 0, int64(0))
	f.Add("x", "q\"", int64(1), -5, int64(0))
	f.Fuzz(func(t *testing.T, text, key string, n int64, level int, at int64) {
		var want, got bytes.Buffer
		full := slog.Handler(slog.NewJSONHandler(&want, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: inMilliseconds}))
		own := newJSONLog(&got, slog.LevelDebug)
		record := slog.NewRecord(time.Unix(0, at), slog.Level(level), text, 0)
		record.AddAttrs(slog.String(key, text), slog.Int64(key, n), slog.Duration("took", time.Duration(n)), slog.Bool("b", n > 0),
			slog.Uint64("u", uint64(n)), slog.String("s", "plain"))
		all := map[string]func(slog.Handler) slog.Handler{
			"as it is": func(h slog.Handler) slog.Handler { return h },
			"with": func(h slog.Handler) slog.Handler {
				return h.WithAttrs([]slog.Attr{slog.String("operation", "x"), slog.Duration(key, time.Duration(n))})
			},
			"with text": func(h slog.Handler) slog.Handler {
				return h.WithAttrs([]slog.Attr{slog.String("a", text)}).WithAttrs([]slog.Attr{slog.String("b", "x")})
			},
			"in a group":  func(h slog.Handler) slog.Handler { return h.WithGroup("g").WithAttrs([]slog.Attr{slog.Int("a", 1)}) },
			"in no group": func(h slog.Handler) slog.Handler { return h.WithGroup("") },
			"with an error": func(h slog.Handler) slog.Handler {
				return h.WithAttrs([]slog.Attr{slog.Any("cause", errors.New(text))})
			},
			"with attributes": func(h slog.Handler) slog.Handler { return h.WithAttrs([]slog.Attr{slog.Group("g", slog.Int("a", 1))}) },
		}
		for name, with := range all {
			want.Reset()
			got.Reset()
			if err := errors.Join(with(full).Handle(context.Background(), record), with(own).Handle(context.Background(), record)); err != nil {
				t.Fatal(err)
			}
			if want.String() != got.String() {
				t.Errorf("%s:\n%s want\n%s", name, got.String(), want.String())
			}
		}
	})
}

// One handler's attributes are not another's, though both were made from the same.
func TestHandlersShareNothing(t *testing.T) {
	var b bytes.Buffer
	base := newJSONLog(&b, slog.LevelInfo).WithAttrs([]slog.Attr{slog.String("a", "1")})
	one, two := base.WithAttrs([]slog.Attr{slog.String("b", "1")}), base.WithAttrs([]slog.Attr{slog.String("c", "2")})
	for _, h := range []slog.Handler{one, two, base} {
		if err := h.Handle(context.Background(), slog.NewRecord(time.Unix(0, 0).UTC(), slog.LevelInfo, "m", 0)); err != nil {
			t.Fatal(err)
		}
	}
	const head = `{"time":"1970-01-01T00:00:00Z","level":"INFO","msg":"m","a":"1"`
	if want := head + `,"b":"1"}` + "\n" + head + `,"c":"2"}` + "\n" + head + "}\n"; b.String() != want {
		t.Errorf("%s want\n%s", b.String(), want)
	}
}

// BenchmarkLine is one line about an answer, without the system call that writes it.
func BenchmarkLine(b *testing.B) {
	var nowhere discarded
	for name, h := range map[string]slog.Handler{
		"slog": slog.NewJSONHandler(nowhere, &slog.HandlerOptions{ReplaceAttr: inMilliseconds}),
		"json": logHandler(nowhere, false, slog.LevelInfo, "json"),
		"text": logHandler(nowhere, false, slog.LevelInfo, "text"),
	} {
		h = h.WithAttrs([]slog.Attr{slog.String("operation", "accounts.search")})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				line := slog.NewRecord(time.Now(), slog.LevelInfo, "answered", 0)
				line.AddAttrs(slog.String("connection", "acme"), slog.String("code", "ok"), slog.Int("rows", 10),
					slog.String("request_id", "0198c1b2-7e4f-7a1b-8c3d-0123456789ab"), slog.Duration("took", 12345*time.Microsecond))
				_ = h.Handle(context.Background(), line)
			}
		})
	}
}

// discarded is io.Discard without its ways around Write.
type discarded struct{}

func (discarded) Write(p []byte) (int, error) { return len(p), nil }
