package live

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A broker is a NATS server whose permissions change while it runs, with two accounts: the fleet's,
// and that of a process which must not take the fleet's requests.
type broker struct {
	server *server.Server
	port   int
	file   string
	folder string
}

// The users, whose passwords are their names.
const (
	fleetUser     = "fleet"
	requesterUser = "requester"
	apartUser     = "apart"
)

func startBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{port: freePort(t), folder: t.TempDir()}
	b.file = filepath.Join(b.folder, "nats.conf")
	b.write(t, "")
	options, err := server.ProcessConfigFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	if b.server, err = server.NewServer(options); err != nil {
		t.Fatal(err)
	}
	b.server.Start()
	t.Cleanup(func() {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	})
	if !b.server.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not take connections")
	}
	return b
}

// write writes the server's settings; denied is a subject that the fleet may not subscribe to.
func (b *broker) write(t *testing.T, denied string) {
	t.Helper()
	deny := ""
	if denied != "" {
		deny = fmt.Sprintf(", permissions: {subscribe: {deny: [%q]}}", denied)
	}
	write(t, b.file, fmt.Appendf(nil, `listen: %q
max_payload: 1MB
max_pending: 512MB
jetstream { store_dir: %q, max_memory_store: 64MB, max_file_store: 64GB }
accounts {
  FLEET { jetstream: enabled, users: [{user: %q, password: %q%s}, {user: %q, password: %q}] }
  APART { jetstream: enabled, users: [{user: %q, password: %q}] }
}
`, loopback(b.port), filepath.Join(b.folder, "jetstream"), fleetUser, fleetUser, deny, requesterUser, requesterUser,
		apartUser, apartUser))
}

// deny has the server refuse the fleet a subject; "" refuses none.
func (b *broker) deny(t *testing.T, subject string) {
	t.Helper()
	b.write(t, subject)
	if err := b.server.Reload(); err != nil {
		t.Fatal(err)
	}
}

// url is where a user reaches the server, at a port of his own if there is a link between.
func natsURL(user string, port int) string {
	return fmt.Sprintf("nats://%s:%s@%s", user, user, loopback(port))
}

// A link is what lies between one process and NATS: it can be cut, and it can stop taking what the
// process sends while what NATS sends still arrives.
type link struct {
	listener net.Listener
	to       string
	jammed   atomic.Bool

	mu   sync.Mutex
	open map[net.Conn]bool
}

func startLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, to: to, open: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { l.join(from) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.jammed.Store(false)
		l.cut()
		running.Wait()
	})
	return l
}

func (l *link) port() int { return l.listener.Addr().(*net.TCPAddr).Port }

// cut ends the connections that there are. Others can be made at once.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		_ = conn.Close()
	}
}

// join copies both ways until one ends.
func (l *link) join(from net.Conn) {
	to, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = from.Close()
		return
	}
	l.mu.Lock()
	l.open[from], l.open[to] = true, true
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, gate{from, &l.jammed}); _ = to.Close() })
	both.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
	both.Wait()
	l.mu.Lock()
	delete(l.open, from)
	delete(l.open, to)
	l.mu.Unlock()
}

// A gate reads nothing while it is shut.
type gate struct {
	io.Reader
	shut *atomic.Bool
}

func (g gate) Read(p []byte) (int, error) {
	for g.shut.Load() {
		time.Sleep(10 * time.Millisecond)
	}
	return g.Reader.Read(p)
}
