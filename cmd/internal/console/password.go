package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// A Password is asked for by HTTP's Basic scheme, with any user name: browsers and curl know it
// without a form, a cookie, a session or a script. Guesses are bounded by where they come from,
// so that a flood of them keeps out nobody else.
type Password struct {
	file string
	log  *slog.Logger
	seed maphash.Seed

	mu     sync.Mutex
	digest [sha256.Size]byte
	looked time.Time
	fault  string
	wrong  [1024]guesses // by a hash of the address
}

// guesses are what is left of them, and when that was so.
type guesses struct {
	left float64
	at   time.Time
}

const (
	leastPassword = 16 // characters, and bytes of the longest
	mostPassword  = 1024
	mostGuesses   = 10 // at once
	guessEvery    = 6 * time.Second
	passwordLook  = 2 * time.Second // between two looks at the file
)

// ReadPassword takes the password from a file, again when it changes. Its errors do not hold it.
func ReadPassword(file string) (*Password, error) {
	p := &Password{file: file, seed: maphash.MakeSeed(), log: slog.Default()}
	return p, p.read()
}

func (p *Password) read() error {
	file, err := os.Open(p.file)
	if err != nil {
		return err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, mostPassword+3))
	if err != nil {
		return err
	}
	text := strings.TrimRight(string(content), "\r\n")
	if n := len([]rune(text)); n < leastPassword || len(text) > mostPassword {
		return fmt.Errorf("a password has %d characters at least and %d bytes at most; "+
			"'openssl rand -base64 24' makes one", leastPassword, mostPassword)
	}
	p.digest = sha256.Sum256([]byte(text))
	return nil
}

// allows reports whether a request has the password. Where it came with too many wrong ones it
// is not compared, and may come again after wait.
func (p *Password) allows(r *http.Request, now time.Time) (ok bool, wait time.Duration) {
	_, given, sent := r.BasicAuth()
	if !sent {
		return false, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.follow(now)
	g := &p.wrong[p.place(r.RemoteAddr)]
	g.left, g.at = min(mostGuesses, g.left+now.Sub(g.at).Seconds()/guessEvery.Seconds()), now
	if g.left < 1 {
		return false, guessEvery
	}
	digest := sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(digest[:], p.digest[:]) == 1 {
		return true, 0
	}
	if g.left--; g.left < 1 {
		p.log.Warn("the console gets wrong passwords: who sends them has to wait", "address", r.RemoteAddr)
	}
	return false, 0
}

// place is where guesses from an address are counted; those of one IPv6 network are together.
func (p *Password) place(remote string) uint64 {
	at, _ := netip.ParseAddrPort(remote)
	from, bits := at.Addr().Unmap(), 32
	if from.Is6() {
		bits = 64
	}
	network, _ := from.WithZone("").Prefix(bits)
	return maphash.Comparable(p.seed, network) % uint64(len(p.wrong))
}

// follow looks at the file once in a while. The last good password stays where it has a fault.
func (p *Password) follow(now time.Time) {
	if now.Sub(p.looked) < passwordLook {
		return
	}
	p.looked = now
	fault := ""
	if err := p.read(); err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != p.fault {
		p.log.Warn("the console's password cannot be read again: the last one stays", "error", fault)
	}
	p.fault = fault
}
