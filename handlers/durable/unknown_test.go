package durable

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
)

// A cutter stands between a client and the NATS server. It cuts the connection at a place
// that a test names, or keeps the client away.
type cutter struct {
	testing.TB
	to       string
	listener net.Listener

	mu     sync.Mutex
	fromUs []byte // cut before this reaches the server
	toUs   []byte // cut before this reaches the client
	cuts   int
	away   bool
	conns  []net.Conn
}

func (r *rig) cutter() (*cutter, jetstream.JetStream) {
	r.Helper()
	to, err := url.Parse(r.server.ClientURL())
	if err != nil {
		r.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	c := &cutter{TB: r.TB, to: to.Host, listener: listener}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { c.serve(client) })
		}
	})
	nc, err := nats.Connect("nats://"+listener.Addr().String(), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.IgnoreDiscoveredServers())
	if err != nil {
		r.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		nc.Close()
		listener.Close()
		c.cut()
		serving.Wait()
	})
	return c, js
}

// once cuts the connection once, before the bytes are passed on.
func (c *cutter) once(fromUs, toUs string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fromUs, c.toUs = []byte(fromUs), []byte(toUs)
}

func (c *cutter) keepAway(away bool) {
	c.mu.Lock()
	c.away = away
	c.mu.Unlock()
	if away {
		c.cut()
	}
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	c.mu.Lock()
	away := c.away
	c.mu.Unlock()
	if away {
		return
	}
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	c.mu.Lock()
	c.conns = append(c.conns, client, server)
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.pass(server, client, &c.fromUs) })
	both.Go(func() { c.pass(client, server, &c.toUs) })
	both.Wait()
}

func (c *cutter) pass(to, from net.Conn, stop *[]byte) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		c.mu.Lock()
		cut := len(*stop) > 0 && bytes.Contains(buffer[:n], *stop)
		if cut {
			*stop = nil
			c.cuts++
		}
		c.mu.Unlock()
		if cut {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// The answer to a publish does not come, or the page does not reach the server: the worker
// reads where the job stands and goes on from there, and reads nothing twice that was stored.
func TestAnOutcomeThatIsNotKnown(t *testing.T) {
	if testing.Short() {
		t.Skip("every cut costs the 2 s for which an answer is waited for")
	}
	t.Parallel()
	for _, parts := range []int{1, 3} {
		t.Run(fmt.Sprint(parts), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c, js := r.cutter()
			var read []int
			o := counter{rows: 80, parts: parts}
			o.read = func(_ context.Context, from int) error {
				switch read = append(read, from); from {
				case 10:
					c.once("", `"stream":"CRM_RESULTS"`)
				case 30:
					c.once("PUB crm.results.acme.j ", "")
				case 50:
					c.once("", `"stream":"CRM_STATE"`) // a heartbeat's
				case 70: // the end
					c.once("", `"stream":"CRM_RESULTS"`)
				}
				return nil
			}
			begun := 0
			operation := o.route()
			serve := operation.Serve
			operation.Serve = func(ctx context.Context, c route.Call, body []byte) route.Answer {
				begun++
				return serve(ctx, c, body)
			}
			l := r.lane("one", js, only(operation), func(o *Options) { o.Heartbeat = 200 * time.Millisecond })
			r.publish(someOp, "j", `{}`)
			if out := r.execute(l, "j"); !out.ended {
				t.Fatalf("%+v", out)
			}
			r.whole("j", 80)
			if want := []int{0, 10, 20, 30, 40, 50, 60, 70}; !slices.Equal(read, want) {
				t.Errorf("pages read: %v", read)
			}
			if begun != 1 {
				t.Errorf("the operation was begun %d times: its own page is another's to it", begun)
			}
			if c.cuts < 3 {
				t.Errorf("%d cuts", c.cuts)
			}
		})
	}
}

// A worker that is cut off for longer than its lease stores nothing, and stops; its successor
// goes on.
func TestAWorkerThatIsCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("a lease has to run out")
	}
	t.Parallel()
	r := newRig(t)
	c, js := r.cutter()
	l := r.lane("one", js, only(counter{rows: 50, read: func(_ context.Context, from int) error {
		if from == 20 {
			c.keepAway(true)
		}
		return nil
	}}.route()), quick)
	r.publish(someOp, "j", `{}`)
	if out := r.execute(l, "j"); !out.lost {
		t.Fatalf("%+v", out)
	}
	if n := len(r.results("j")); n != 2 {
		t.Errorf("%d messages", n)
	}
	if out := r.execute(r.lane("two", r.js, only(counter{rows: 50}.route()), nil), "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	r.whole("j", 50)
}
