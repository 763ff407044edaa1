package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A side answers requests: the bare loop, or crmbridge.
type side struct {
	name      string
	subject   string // up to the connection
	bare      bool
	processes []*child
}

// A load keeps a number of requests in flight over all connections evenly: each answer is
// followed by the next request of its slot, in the goroutine that read the answer.
type load struct {
	nc          *nats.Conn
	sub         *nats.Subscription
	inbox       string // up to the slot's number
	connections []string

	mu       sync.Mutex
	side     side
	row      speedRow
	head     []byte // of a request's body, up to the filter's value
	tail     []byte
	slots    []slot
	serial   int // of requests: each has a filter of its own
	stopping bool
	idle     chan struct{} // closed when nothing is in flight any more

	counted counted
}

// A slot is one of the requests in flight.
type slot struct {
	reply   string
	began   time.Time
	done    int // requests
	rows    int // of the one in flight
	message int
	busy    bool
}

// A counted is what a load has counted since it was told to begin.
type counted struct {
	took    []time.Duration
	refused map[string]int // errors, by code
	wrong   error          // the first answer that was not right
}

func newLoad(url string, connections []string) (*load, error) {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.Name("load"))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	l := &load{nc: nc, inbox: nats.NewInbox() + ".", connections: connections}
	if l.sub, err = nc.Subscribe(l.inbox+"*", l.heard); err == nil {
		err = errors.Join(l.sub.SetPendingLimits(-1, -1), nc.Flush())
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return l, nil
}

func (l *load) close() { l.nc.Close() }

// body is a request's, in two halves around the value of its filter.
func (r speedRow) body() (head, tail []byte) {
	fields, err := json.Marshal(speedFields)
	if err != nil {
		panic(err) // a list of strings
	}
	how := fmt.Sprintf(`"page_size":%d`, r.Rows)
	if r.streamed() {
		how = `"mode":"stream"`
	}
	return []byte(`{"where":{"field":"name","op":"eq","value":"Contoso `), fmt.Appendf(nil, `"},"fields":%s,%s}`, fields, how)
}

// begin puts requests in flight.
func (l *load) begin(s side, row speedRow) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.side, l.row, l.stopping, l.idle = s, row, false, make(chan struct{})
	l.head, l.tail = row.body()
	l.slots = make([]slot, row.InFlight)
	l.counted = counted{refused: map[string]int{}}
	for i := range l.slots {
		l.slots[i].reply = l.inbox + strconv.Itoa(i)
		if err := l.send(i); err != nil {
			return err
		}
	}
	return nil
}

// send sends the next request of a slot.
func (l *load) send(i int) error {
	s := &l.slots[i]
	l.serial++
	connection := l.connections[(i+s.done*len(l.slots))%len(l.connections)]
	body := append(make([]byte, 0, 256), l.head...)
	body = append(strconv.AppendInt(body, int64(1_000_000_000+l.serial), 10), l.tail...)
	s.began, s.rows, s.message, s.busy = time.Now(), 0, 0, true
	return l.nc.PublishRequest(l.side.subject+connection, s.reply, body)
}

// heard takes a message of an answer.
func (l *load) heard(m *nats.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, err := strconv.Atoi(strings.TrimPrefix(m.Subject, l.inbox))
	if err != nil || i >= len(l.slots) || !l.slots[i].busy {
		l.fail(fmt.Errorf("a message that nobody asked for: %.200s", m.Data))
		return
	}
	s := &l.slots[i]
	s.message++
	code, last := l.read(m, s)
	if !last {
		return
	}
	if code == "" && s.rows != l.row.Rows {
		l.fail(fmt.Errorf("an answer of %d rows instead of %d: %.200s", s.rows, l.row.Rows, m.Data))
	}
	if code == "" {
		l.counted.took = append(l.counted.took, time.Since(s.began))
	} else {
		l.counted.refused[code]++
	}
	s.busy = false
	s.done++
	if l.stopping {
		l.ended()
		return
	}
	if err := l.send(i); err != nil {
		l.fail(err)
	}
}

// read counts a message's rows, and says whether it is the last of its answer.
func (l *load) read(m *nats.Msg, s *slot) (code string, last bool) {
	s.rows += bytes.Count(m.Data, []byte{rowMark})
	switch {
	case m.Header.Get("Status") != "":
		return "NATS " + m.Header.Get("Status"), true
	case l.side.bare:
		return "", s.rows >= l.row.Rows
	}
	if code := m.Header.Get(messages.HeaderErrorCode); code != "" {
		return code, true
	}
	if !l.row.streamed() {
		return "", true
	}
	if page := m.Header.Get(messages.HeaderPage); page != strconv.Itoa(s.message) {
		l.fail(fmt.Errorf("message %d of a stream says that it is %q", s.message, page))
	}
	return "", m.Header.Get(messages.HeaderLast) == "true"
}

func (l *load) fail(err error) {
	if l.counted.wrong == nil {
		l.counted.wrong = err
	}
}

// ended closes idle where nothing is in flight.
func (l *load) ended() {
	if !slices.ContainsFunc(l.slots, func(s slot) bool { return s.busy }) {
		close(l.idle)
	}
}

// answers is how many there were since the last take.
func (l *load) answers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.counted.took)
	for _, refused := range l.counted.refused {
		n += refused
	}
	return n
}

// take is what was counted since the take before.
func (l *load) take() counted {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counted
	l.counted = counted{refused: map[string]int{}, wrong: c.wrong}
	return c
}

// end waits for what is in flight.
func (l *load) end(ctx context.Context) error {
	l.mu.Lock()
	l.stopping = true
	idle := l.idle
	if !slices.ContainsFunc(l.slots, func(s slot) bool { return s.busy }) {
		close(idle) // nothing was, and nobody will close it
	}
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(40 * time.Second): // longer than crmbridge's deadline
		return errors.New("answers are missing after 40 s")
	}
}

// refusals is what was refused, for people.
func refusals(codes map[string]int) string {
	var all []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		all = append(all, fmt.Sprintf("%d %s", codes[code], code))
	}
	return strings.Join(all, ", ")
}
