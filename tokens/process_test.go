package tokens_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	app, err := tokens.NewEntra(tokens.EntraConfig{Authority: os.Getenv("ENTRA"), ClientID: clientID,
		ClientSecret: clientSecret, AllowHTTP: true})
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
	p.cmd.Env = []string{beASource + "=1", "KEYSET=" + string(keyset), "REDIS=" + addr, "ENTRA=" + b.entra.URL,
		"LEASE=" + lease.String()}
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
	t.Cleanup(p.stop)
	return p
}

func (p *process) ask(id string) {
	if _, err := fmt.Fprintln(p.in, id); err != nil {
		p.t.Error(err)
	}
}

// answered reads the answers to one ask, which should all be want.
func (p *process) answered(want string) error {
	odd := map[string]int{}
	for range perProcess {
		if !p.out.Scan() {
			return errors.New("the process ended")
		}
		if answer := p.out.Text(); answer != want {
			odd[fmt.Sprintf("%.20s", answer)]++
		}
	}
	if len(odd) > 0 {
		return fmt.Errorf("other answers than the newest token: %v", odd)
	}
	return nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill() // it may be dead already
	_ = p.cmd.Wait()
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
	if testing.Short() {
		t.Skip("skipped by -short: it stops a process for seconds")
	}
	// The holder extends its lease every third of it, by a call that may take less than
	// that; who cannot in time is one token request more.
	patiently(t, 50*time.Millisecond, nil, func(scale int) error {
		return stoppedHolder(t, 800*time.Millisecond*time.Duration(scale))
	})
}

func stoppedHolder(t *testing.T, lease time.Duration) error {
	redisServer := newServer(t)
	rdb := client(t, redisServer.addr)
	keyset, _ := tokens.GenerateKeyset()
	b := newBenchWith(t, rdb, keyset)
	b.expired("acme")
	arrived, release := make(chan struct{}), make(chan struct{})
	b.entra.set(func() { b.entra.answer = firstRefresh(arrived, release) })
	holder := startSource(t, b, keyset, redisServer.addr, lease)
	holder.ask("acme")
	select {
	case <-arrived:
	case <-time.After(20 * lease):
		return errors.New("the first process asked for no token")
	}
	holder.signal(syscall.SIGSTOP)
	stopped := time.Now()
	var others []*process
	for range 3 {
		p := startSource(t, b, keyset, redisServer.addr, lease)
		p.ask("acme")
		others = append(others, p)
	}
	var wrong []error
	check := func(who string, err error) {
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", who, err))
		}
	}
	newest := sum(tokens.Secret(canary + "-access-2"))
	for _, p := range others {
		defer p.stop()
		check("another process", p.answered(newest))
	}
	time.Sleep(time.Until(stopped.Add(3 * lease)))
	close(release)
	holder.signal(syscall.SIGCONT)
	defer holder.stop()
	check("the stopped process", holder.answered(newest))
	// The newest token stays, for everybody.
	if a, err := b.source().Access(t.Context(), "acme"); err != nil || sum(a.Token) != newest {
		check("the stored token", fmt.Errorf("is another one: %w", err))
	}
	for _, p := range append(others, holder) {
		p.ask("acme")
		check("later", p.answered(newest))
	}
	if n := b.entra.count("refresh_token"); n > 2 {
		check("Entra", fmt.Errorf("%d token requests, want at most 2", n))
	}
	if key := rdb.Exists(t.Context(), "crmbridge:{acme}:refresh").Val(); key != 0 {
		check("the lock", errors.New("is still held"))
	}
	return errors.Join(wrong...)
}
