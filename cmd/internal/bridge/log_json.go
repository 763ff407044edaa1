package bridge

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// A jsonLog writes lines as slog's own JSON handler does, byte for byte, but the usual line in
// a third of the time: that one asks encoding/json for numbers with a point, and a function
// for each attribute. Whatever is not a plain text, a number, a bool or a duration, is left to
// it, with the whole line.
type jsonLog struct {
	full  slog.Handler // slog's own
	to    io.Writer    // may be written to by several at once
	plain bool         // what lines have from WithAttrs is in attrs
	attrs []byte
}

// newJSONLog writes durations as milliseconds, with the unit in the name: took becomes took_ms.
// slog's own form is a number of nanoseconds without a unit.
func newJSONLog(to io.Writer, level slog.Level) slog.Handler {
	return &jsonLog{to: to, plain: true,
		full: slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: inMilliseconds})}
}

// inMilliseconds makes a duration a number of milliseconds.
func inMilliseconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	return slog.Float64(a.Key+"_ms", milliseconds(a.Value.Duration()))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Enabled reports whether lines of a level are written.
func (h *jsonLog) Enabled(ctx context.Context, level slog.Level) bool {
	return h.full.Enabled(ctx, level)
}

// WithAttrs returns a handler whose lines have the attributes.
func (h *jsonLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := &jsonLog{full: h.full.WithAttrs(attrs), to: h.to, plain: h.plain, attrs: h.attrs[:len(h.attrs):len(h.attrs)]}
	for _, a := range attrs {
		if with.plain {
			with.attrs, with.plain = appendAttr(with.attrs, a)
		}
	}
	return with
}

// WithGroup returns a handler whose lines have their attributes in a group.
func (h *jsonLog) WithGroup(name string) slog.Handler {
	return &jsonLog{full: h.full.WithGroup(name), to: h.to}
}

// linePool has memory for lines.
var linePool = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// mostPooled is more than usual lines take.
const mostPooled = 4 << 10

// Handle writes a line.
func (h *jsonLog) Handle(ctx context.Context, r slog.Record) error {
	if !h.plain || r.Time.IsZero() {
		return h.full.Handle(ctx, r)
	}
	line := linePool.Get().(*[]byte)
	defer func() {
		if cap(*line) <= mostPooled {
			linePool.Put(line)
		}
	}()
	b, plain := h.appendLine((*line)[:0], r)
	*line = b
	if !plain {
		return h.full.Handle(ctx, r)
	}
	_, err := h.to.Write(b)
	return err
}

// appendLine appends a line. It is not plain where something is not written here.
func (h *jsonLog) appendLine(b []byte, r slog.Record) (_ []byte, plain bool) {
	if year := r.Time.Year(); year < 0 || year > 9999 || !plainText(r.Message) {
		return b, false
	}
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, r.Level.String()...)
	b = append(b, `","msg":"`...)
	b = append(b, r.Message...)
	b = append(b, '"')
	b = append(b, h.attrs...)
	plain = true
	r.Attrs(func(a slog.Attr) bool {
		b, plain = appendAttr(b, a)
		return plain
	})
	return append(b, "}\n"...), plain
}

func appendAttr(b []byte, a slog.Attr) (_ []byte, plain bool) {
	if a.Key == "" || !plainText(a.Key) {
		return b, false
	}
	b = append(b, `,"`...)
	b = append(b, a.Key...)
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		if !plainText(v.String()) {
			return b, false
		}
		b = append(b, `":"`...)
		b = append(b, v.String()...)
		b = append(b, '"')
	case slog.KindInt64:
		b = strconv.AppendInt(append(b, `":`...), v.Int64(), 10)
	case slog.KindUint64:
		b = strconv.AppendUint(append(b, `":`...), v.Uint64(), 10)
	case slog.KindBool:
		b = strconv.AppendBool(append(b, `":`...), v.Bool())
	case slog.KindDuration: // in this range encoding/json writes no exponent either
		b = strconv.AppendFloat(append(b, `_ms":`...), milliseconds(v.Duration()), 'f', -1, 64)
	default:
		return b, false
	}
	return b, true
}

// plainText reports whether text stands in JSON as it is.
func plainText(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
