package tokens_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// beASource makes the test binary a process with one token source: each line on
// its input is a connection that 50 requests ask for at once; each answer is a
// line, the SHA-256 of the token or the code of the error.
const beASource = "CRMBRIDGE_TEST_BE_A_SOURCE"

const perProcess = 50

func sourceProcess() error {
	keys, err := tokens.ReadKeyset([]byte(os.Getenv("KEYSET")))
	if err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS"), ContextTimeoutEnabled: true})
	app, err := tokens.NewEntra(tokens.EntraConfig{Authority: os.Getenv("ENTRA"), ClientID: clientID, ClientSecret: clientSecret, AllowHTTP: true})
	if err != nil {
		return err
	}
	lease, err := time.ParseDuration(os.Getenv("LEASE"))
	if err != nil {
		return err
	}
	s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(rdb, keys), Entra: app, Lease: lease})
	defer s.Close(context.Background())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var wait sync.WaitGroup
		for range perProcess {
			wait.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				if a, err := s.Access(ctx, in.Text()); err != nil {
					fmt.Println(tokens.CodeOf(err))
				} else {
					fmt.Println(sum(a.Token))
				}
			})
		}
		wait.Wait()
	}
	return nil
}

func sum(s tokens.Secret) string {
	h := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(h[:])
}

// process is such a process.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startSource(t *testing.T, b *bench, keyset []byte, addr string, lease time.Duration) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self)}
	p.cmd.Env = []string{beASource + "=1", "KEYSET=" + string(keyset), "REDIS=" + addr, "ENTRA=" + b.entra.URL, "LEASE=" + lease.String()}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) ask(id string) {
	if _, err := fmt.Fprintln(p.in, id); err != nil {
		p.t.Error(err)
	}
}

// answers reads the answers to one ask.
func (p *process) answers() (list []string) {
	for len(list) < perProcess && p.out.Scan() {
		list = append(list, p.out.Text())
	}
	return list
}

func (p *process) signal(x syscall.Signal) {
	if err := p.cmd.Process.Signal(x); err != nil {
		p.t.Error(err)
	}
}

// The holder of the lock is stopped for three lease times in the middle of its
// token request, and goes on afterwards with the older answer.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	const lease = 800 * time.Millisecond
	redisServer := newServer(t)
	rdb := client(t, redisServer.addr)
	keyset, _ := tokens.GenerateKeyset()
	b := newBenchWith(t, rdb, keyset)
	b.expired("acme")
	arrived, release := make(chan struct{}), make(chan struct{})
	b.entra.set(func() { b.entra.answer = firstRefresh(arrived, release) })
	holder := startSource(t, b, keyset, redisServer.addr, lease)
	holder.ask("acme")
	<-arrived
	holder.signal(syscall.SIGSTOP)
	stopped := time.Now()
	var others []*process
	for range 3 {
		p := startSource(t, b, keyset, redisServer.addr, lease)
		p.ask("acme")
		others = append(others, p)
	}
	newest := sum(tokens.Secret(canary + "-access-2"))
	check := func(who string, list []string) {
		t.Helper()
		if len(list) != perProcess {
			t.Errorf("%s: %d answers, want %d", who, len(list), perProcess)
		}
		for _, answer := range list {
			if answer != newest {
				t.Errorf("%s answered %.20s, want the newest token", who, answer)
				return
			}
		}
	}
	for _, p := range others {
		check("another process", p.answers())
	}
	time.Sleep(time.Until(stopped.Add(3 * lease)))
	close(release)
	holder.signal(syscall.SIGCONT)
	check("the stopped process", holder.answers())
	if n := b.entra.count("refresh_token"); n > 2 {
		t.Errorf("%d token requests, want at most 2", n)
	}
	// The newest token stays, for everybody.
	if a, err := b.source().Access(t.Context(), "acme"); err != nil || sum(a.Token) != newest {
		t.Errorf("the stored token is another one (%v)", err)
	}
	for _, p := range append(others, holder) {
		p.ask("acme")
		check("later", p.answers())
	}
	if n := b.entra.count("refresh_token"); n > 2 {
		t.Errorf("%d token requests, want at most 2", n)
	}
	if key := rdb.Exists(t.Context(), "crmbridge:{acme}:refresh").Val(); key != 0 {
		t.Error("the lock is still held")
	}
}
