package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A proxy stands between one crmbridge and one NATS server. It understands as much of NATS's
// protocol as it takes to hold, change and answer single messages.
type proxy struct {
	listener net.Listener
	target   string
	wire     *wire
	serving  sync.WaitGroup
	closed   chan struct{}
}

func newProxy(target string, w *wire) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy: %w", err)
	}
	p := &proxy{listener: listener, target: target, wire: w, closed: make(chan struct{})}
	p.serving.Go(p.accept)
	return p, nil
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) close() error {
	close(p.closed)
	err := p.listener.Close()
	p.serving.Wait()
	return err
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() { p.serve(client) })
	}
}

// serve joins a client and the server until one of them goes away.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", p.target, 2*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{wire: p.wire, closed: p.closed, up: &end{conn: server}, down: &end{conn: client}, sids: map[string]string{}}
	l.up.to, l.down.to = bufio.NewWriterSize(server, 64<<10), bufio.NewWriterSize(client, 64<<10)
	done := make(chan struct{})
	p.serving.Go(func() {
		defer close(done)
		_ = l.copyDown() // how it ends is the business of client and server
		_ = client.Close()
	})
	stopped := make(chan struct{})
	p.serving.Go(func() {
		select {
		case <-p.closed:
			_ = client.Close()
			_ = server.Close()
		case <-stopped:
		}
	})
	_ = l.copyUp()
	_ = server.Close()
	close(stopped)
	<-done
}

// An end is one side of a link. Messages are written to it whole.
type end struct {
	conn net.Conn
	mu   sync.Mutex
	to   *bufio.Writer
}

func (e *end) write(flush bool, parts ...[]byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, part := range parts {
		if _, err := e.to.Write(part); err != nil {
			return err
		}
	}
	if flush {
		return e.to.Flush()
	}
	return nil
}

// A link is one connection of a client.
type link struct {
	wire     *wire
	closed   chan struct{}
	up, down *end

	mu      sync.Mutex
	sids    map[string]string // subscription ids by subject
	holding bool              // nothing goes up: the proxy answers the server's PINGs
}

// mostPayload bounds a message.
const mostPayload = 64 << 20

var errProtocol = errors.New("this is not NATS's protocol")

// sizes are the last numbers of a line: of the headers, where there are any, and of all.
func sizes(fields []string, headers bool) (header, total int, err error) {
	total, err = strconv.Atoi(fields[len(fields)-1])
	if err == nil && headers {
		header, err = strconv.Atoi(fields[len(fields)-2])
	}
	if err != nil || total < 0 || total > mostPayload || header < 0 || header > total {
		return 0, 0, errProtocol
	}
	return header, total, nil
}

// copyUp copies what the client sends, message by message.
func (l *link) copyUp() error {
	from := bufio.NewReaderSize(l.down.conn, 64<<10)
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return err
		}
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		flush := from.Buffered() == 0
		switch op := strings.ToUpper(fields[0]); {
		case op == "SUB" && len(fields) >= 3:
			l.mu.Lock()
			l.sids[fields[1]] = fields[len(fields)-1]
			l.mu.Unlock()
		case (op == "PUB" || op == "HPUB") && len(fields) >= 3:
			m := &message{subject: fields[1]}
			header, total, err := sizes(fields, op == "HPUB")
			if err != nil {
				return err
			}
			if reply := len(fields) - 3; op == "PUB" && reply == 1 || op == "HPUB" && reply == 2 {
				m.reply = fields[2]
			}
			payload := make([]byte, total+2)
			if _, err := io.ReadFull(from, payload); err != nil {
				return err
			}
			m.header, m.body = payload[:header], payload[header:total]
			flush = from.Buffered() == 0
			if err := l.publish(m, flush); err != nil {
				return err
			}
			continue
		}
		if err := l.up.write(flush, line); err != nil {
			return err
		}
	}
}

// A message is one that a client publishes.
type message struct {
	subject, reply string
	header, body   []byte
}

// publish sends a message on, as the rules of the wire say.
func (l *link) publish(m *message, flush bool) error {
	if answer := l.wire.swallow(m); answer != nil {
		return l.answer(m.reply, answer)
	}
	if wait := l.wire.hold(m); wait > 0 {
		l.mu.Lock()
		l.holding = true
		l.mu.Unlock()
		if err := l.up.write(true); err != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-l.wire.until:
		case <-l.closed:
		}
		l.mu.Lock()
		l.holding = false
		l.mu.Unlock()
	}
	l.wire.change(m)
	reply := ""
	if m.reply != "" {
		reply = m.reply + " "
	}
	line := fmt.Sprintf("PUB %s %s%d\r\n", m.subject, reply, len(m.body))
	if len(m.header) > 0 {
		line = fmt.Sprintf("HPUB %s %s%d %d\r\n", m.subject, reply, len(m.header), len(m.header)+len(m.body))
	}
	return l.up.write(flush, []byte(line), m.header, m.body, []byte("\r\n"))
}

// answer gives the client an answer that no server sent.
func (l *link) answer(reply string, body []byte) error {
	l.mu.Lock()
	sid := ""
	for subject, id := range l.sids {
		if covers(subject, reply) {
			sid = id
		}
	}
	l.mu.Unlock()
	if sid == "" {
		return nil
	}
	return l.down.write(true, fmt.Appendf(nil, "MSG %s %s %d\r\n", reply, sid, len(body)), body, []byte("\r\n"))
}

// covers reports whether a subscription's subject covers another one.
func covers(pattern, subject string) bool {
	have, want := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range have {
		switch {
		case token == ">":
			return len(want) > i
		case i >= len(want) || token != "*" && token != want[i]:
			return false
		}
	}
	return len(have) == len(want)
}

// copyDown copies what the server sends, message by message.
func (l *link) copyDown() error {
	from := bufio.NewReaderSize(l.up.conn, 64<<10)
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return err
		}
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		var payload []byte
		switch op := strings.ToUpper(fields[0]); {
		case op == "PING":
			l.mu.Lock()
			holding := l.holding
			l.mu.Unlock()
			if holding {
				if err := l.up.write(true, []byte("PONG\r\n")); err != nil {
					return err
				}
				continue
			}
		case (op == "MSG" || op == "HMSG") && len(fields) >= 4:
			header, total, err := sizes(fields, op == "HMSG")
			if err != nil {
				return err
			}
			payload = make([]byte, total+2)
			if _, err := io.ReadFull(from, payload); err != nil {
				return err
			}
			l.wire.answered(fields[1], payload[header:total])
			if l.wire.hides(fields[1]) {
				continue
			}
		}
		if err := l.down.write(from.Buffered() == 0, line, payload); err != nil {
			return err
		}
	}
}

// setHeader sets a header in NATS's form, or takes it out where value is "".
func setHeader(header []byte, name, value string) []byte {
	var out []byte
	for line := range bytes.SplitSeq(bytes.TrimRight(header, "\r\n"), []byte("\r\n")) {
		if key, _, ok := bytes.Cut(line, []byte(":")); ok && strings.EqualFold(string(key), name) {
			continue
		}
		out = append(append(out, line...), "\r\n"...)
	}
	if value != "" {
		out = append(out, name+": "+value+"\r\n"...)
	}
	return append(out, "\r\n"...)
}

// getHeader is the value of a header; "" where there is none.
func getHeader(header []byte, name string) string {
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && strings.EqualFold(string(key), name) {
			return strings.TrimSpace(string(value))
		}
	}
	return ""
}
