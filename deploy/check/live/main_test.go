package live

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// root is the repository's folder.
const root = "../../.."

// revision is the linker's flag that makes another version of crmbridge.
const revision = "-X github.com/crmbridge/crmbridge/cmd/internal/bridge.revision="

// build builds a program of the repository.
func build(t *testing.T, name, ldflags string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", out, "-ldflags", ldflags, "./cmd/"+name)
	cmd.Dir = root
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", name, err, said)
	}
	return out
}

// A process is one that the test started, and stops.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *buffer
	done chan struct{}
}

// start starts a program. It is stopped with the test.
func start(t *testing.T, name string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(program, args...), out: &buffer{}, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is told by its log
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the last lines of %s:\n%s", p.name, p.out.tail(3000))
		}
	})
	return p
}

// signal sends a signal; a process that has ended takes none.
func (p *process) signal(what syscall.Signal) { _ = p.cmd.Process.Signal(what) }

// end ends a process by a signal, or kills it where that takes 20 s.
func (p *process) end(by syscall.Signal) {
	p.signal(by)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// patience bounds every wait for a state, on however busy a machine.
const patience = 90 * time.Second

// await tries until something holds.
func await(t *testing.T, what string, try func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// freePort is one of 127.0.0.1 that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	// Whoever reads the file meanwhile finds the former one, or this one.
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	return name
}

// A buffer may be written by a process and read by a test at once. It keeps the end of what is
// written to it.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

const mostKept = 1 << 20

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data.Len() > mostKept {
		b.data.Next(b.data.Len() - mostKept/2)
	}
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func (b *buffer) tail(n int) string {
	text := b.String()
	return text[max(0, len(text)-n):]
}
