package bridge

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told are the levels of the lines of a log, one letter each.
func told(log *bytes.Buffer) string {
	var levels []string
	for line := range strings.Lines(log.String()) {
		_, level, _ := strings.Cut(line, "level=")
		levels = append(levels, level[:1])
	}
	return strings.Join(levels, "")
}

// A connection that is lost is a warning at once and one a minute, however often it is tried;
// its return is one line. So it is the next time.
func TestAnOutageIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &bytes.Buffer{}
		o := &outage{log: slog.New(slog.NewTextHandler(log, nil)), what: "NATS"}
		for range 150 { // seconds
			o.lost(errors.New("EOF"))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := told(log); got != "WWW" {
			t.Errorf("in 150 s: %s\n%s", got, log)
		}
		o.over()
		time.Sleep(10 * time.Minute)
		o.lost(errors.New("EOF"))
		o.end()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := told(log); got != "WWWIW" || !strings.Contains(log.String(), "after=2m30s") {
			t.Errorf("afterwards: %s\n%s", got, log)
		}
	})
}

// Redis is asked every so often; the log hears of it as of any other connection.
func TestAnOutageOfRedisIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &bytes.Buffer{}
		p := &probe{log: slog.New(slog.NewTextHandler(log, nil))}
		tell := func(err error) {
			p.at = time.Now()
			p.tell(verdict{err: err})
			time.Sleep(probeEvery)
		}
		for range 9 { // 0 s to 120 s
			tell(errNoAnswer)
		}
		tell(nil)
		tell(nil)
		if got := told(log); got != "WWWI" {
			t.Errorf("%s\n%s", got, log)
		}
	})
}
