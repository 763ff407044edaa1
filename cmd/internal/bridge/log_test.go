package bridge

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestJSONLogsHaveDurationsInMilliseconds(t *testing.T) {
	var b bytes.Buffer
	log := NewLog(&b, slog.LevelInfo, "json")
	log.Info("answered", "took", 1234567*time.Nanosecond, slog.Group("cause", slog.Duration("retry_after", 3*time.Second)))
	for _, want := range []string{`"took_ms":1.234`, `"cause":{"retry_after_ms":3000}`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
	if strings.Contains(b.String(), `"took":`) {
		t.Error(b.String())
	}
}
