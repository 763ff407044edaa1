package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// A question is one request of a load and what came of it.
type question struct {
	asked    time.Time
	deadline time.Time
	took     time.Duration
	code     string // ok, an error's code, or "" while there is no answer
	wait     string // retry_after_ms, as sent
	answers  int
}

// A load publishes requests at a steady rate, whatever becomes of them, as many
// requesters together do.
type requestLoad struct {
	nc    *nats.Conn
	inbox string
	sub   *nats.Subscription

	mu   sync.Mutex
	asks []*question
}

func newLoad(t testing.TB, w *bridgetest.World) *requestLoad {
	t.Helper()
	_, nc := w.Client()
	return listen(t, nc)
}

// listen makes a load of a requester.
func listen(t testing.TB, nc *nats.Conn) *requestLoad {
	t.Helper()
	l := &requestLoad{nc: nc, inbox: nc.NewInbox()}
	var err error
	l.sub, err = nc.Subscribe(l.inbox+".*", l.answered)
	if err == nil {
		err = l.sub.SetPendingLimits(-1, -1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *requestLoad) answered(msg *nats.Msg) {
	now := time.Now()
	i, err := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || i >= len(l.asks) {
		return
	}
	q := l.asks[i]
	q.answers++
	q.took = now.Sub(q.asked)
	if q.code = msg.Header.Get(messages.HeaderErrorCode); q.code == "" {
		q.code = "ok"
	}
	if _, rest, found := strings.Cut(string(msg.Data), `"retry_after_ms":`); found {
		q.wait = rest[:strings.IndexAny(rest, ",}")]
	}
}

// ask publishes one request.
func (l *requestLoad) ask(t testing.TB, op messages.Operation, connection string, patience time.Duration) {
	now := time.Now()
	q := &question{asked: now, deadline: now.Add(patience)}
	l.mu.Lock()
	i := len(l.asks)
	l.asks = append(l.asks, q)
	l.mu.Unlock()
	msg := nats.NewMsg(op.ScopedSubject(connection))
	msg.Reply = fmt.Sprintf("%s.%d", l.inbox, i)
	msg.Data = []byte("{}")
	msg.Header.Set(messages.HeaderDeadline, q.deadline.UTC().Format(time.RFC3339Nano))
	if err := l.nc.PublishMsg(msg); err != nil {
		t.Error(err)
	}
}

// run asks rate times a second for a while, of the connections in turn.
func (l *requestLoad) run(t testing.TB, op messages.Operation, rate int, during, patience time.Duration, connections ...string) {
	begun := time.Now()
	for i := 0; ; i++ {
		at := begun.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if at.Sub(begun) >= during {
			return
		}
		time.Sleep(time.Until(at))
		l.ask(t, op, connections[i%len(connections)], patience)
	}
}

// settle waits until every question has its answer, or had the time for it.
func (l *requestLoad) settle(t testing.TB) []question {
	t.Helper()
	all := func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, q := range l.asks {
			if q.answers == 0 {
				return fmt.Errorf("request %d of %d has no answer", i, len(l.asks))
			}
		}
		return nil
	}
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := all()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Error(err)
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]question, len(l.asks))
	for i, q := range l.asks {
		out[i] = *q
	}
	l.asks = nil
	return out
}

// exactlyOne checks what holds for every request of a load.
func exactlyOne(t testing.TB, asked []question, codes ...string) map[string]int {
	t.Helper()
	got := map[string]int{}
	for i, q := range asked {
		if q.answers != 1 {
			t.Errorf("request %d got %d answers", i, q.answers)
		}
		if got[q.code]++; !slices.Contains(codes, q.code) && got[q.code] == 1 {
			t.Errorf("request %d got %q", i, q.code)
		}
		if (q.code == "overloaded" || q.code == "throttled") && q.wait == "" {
			t.Errorf("request %d: %s without retry_after_ms", i, q.code)
		}
	}
	return got
}

// percentile is of those that were answered well.
func percentile(asked []question, share float64) time.Duration {
	var took []time.Duration
	for _, q := range asked {
		if q.code == "ok" {
			took = append(took, q.took)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(int(share*float64(len(took))), len(took)-1)]
}

// byUser tells whose access token a request to the emulator carries.
func byUser(r *http.Request, user string) bool {
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	if len(parts) != 3 {
		return false
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && strings.Contains(string(claims), user)
}

// resident is a process's memory in bytes, 0 where that cannot be read.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
