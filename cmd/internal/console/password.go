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
	"unicode/utf8"
)

// A Password is asked for by HTTP's Basic scheme, with any user name: that needs no form, cookie,
// session or script. Guesses are bounded by where they come from: who guesses from one network keeps
// out nobody elsewhere.
type Password struct {
	file string
	log  *slog.Logger
	seed maphash.Seed

	mu     sync.Mutex
	digest [sha256.Size]byte
	looked time.Time
	wrong  [1024]guesses // by a hash of the address
}

// guesses are how many were left at a moment.
type guesses struct {
	left float64
	at   time.Time
}

const (
	leastPassword, mostPassword = 16, 1024 // characters, and bytes
	mostGuesses, guessEvery     = 10, 6 * time.Second
	passwordLook                = 5 * time.Second // between two looks at the file
)

// ReadPassword takes the password from a file, again when it changes. Its errors do not hold it.
func ReadPassword(file string) (*Password, error) {
	p := &Password{file: file, seed: maphash.MakeSeed(), log: slog.Default()}
	return p, p.read()
}

func (p *Password) read() error {
	info, err := os.Stat(p.file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // to open a pipe that nobody writes to waits for ever
		return fmt.Errorf("%s is no regular file", p.file)
	}
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
	if utf8.RuneCountInString(text) < leastPassword || len(text) > mostPassword {
		return fmt.Errorf("a password has %d characters at least and %d bytes at most; 'openssl rand -base64 24' makes one",
			leastPassword, mostPassword)
	}
	p.digest = sha256.Sum256([]byte(text))
	return nil
}

// allows reports whether a request has the password. Where too many wrong ones came from it is
// late: nothing is compared.
func (p *Password) allows(r *http.Request, now time.Time) (ok, late bool) {
	_, given, sent := r.BasicAuth()
	if !sent {
		return false, false
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	network, bits := from.Addr().Unmap().WithZone(""), 32
	if network.Is6() {
		bits = 64 // what one subscriber has
	}
	of, _ := network.Prefix(bits)
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.looked) > passwordLook {
		p.looked = now
		if err := p.read(); err != nil {
			p.log.Warn("the console's password cannot be read again: the last one stays", "error", err)
		}
	}
	g := &p.wrong[maphash.Comparable(p.seed, of)%uint64(len(p.wrong))]
	g.left, g.at = min(mostGuesses, g.left+float64(now.Sub(g.at))/float64(guessEvery)), now
	if g.left < 1 {
		return false, true
	}
	digest := sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(digest[:], p.digest[:]) == 1 {
		return true, false
	}
	if g.left--; g.left < 1 {
		p.log.Warn("the console gets wrong passwords: who sends them has to wait", "address", from.Addr())
	}
	return false, false
}
