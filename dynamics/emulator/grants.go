package emulator

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"
)

// grant is what a person agreed to; codes and refresh tokens stand for one.
type grant struct {
	user     *systemUser
	clientID string
	tenant   string
	scopes   scopeSet
	nonce    string
	made     time.Time
}

// code is an authorization code that was given out.
type code struct {
	grant
	redirectURI     string
	challenge       string
	challengeMethod string
	used            bool
	expires         time.Time
}

type refreshToken struct {
	grant
	expires time.Time
	revoked bool
}

// grants remembers what was given out. Old entries are swept when new ones come, so that a long run stays bounded.
type grants struct {
	mu      sync.Mutex
	codes   map[string]*code
	refresh map[string]*refreshToken
	order   []string // refresh tokens, oldest first
}

const maxRefreshTokens = 200_000

func newGrants() *grants {
	return &grants{codes: map[string]*code{}, refresh: map[string]*refreshToken{}}
}

func (g *grants) addCode(c *code, now time.Time) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, old := range g.codes {
		if now.After(old.expires.Add(time.Hour)) {
			delete(g.codes, k)
		}
	}
	key := "1.A" + secretText(64)
	g.codes[key] = c
	return key
}

// code finds one without using it up: a request that fails validation leaves the code good.
func (g *grants) code(key string) (code, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.codes[key]
	if !ok {
		return code{}, false
	}
	return *c, true
}

// use marks the code as used and reports whether this was the first time.
func (g *grants) use(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.codes[key]
	first := c != nil && !c.used
	if first {
		c.used = true
	}
	return first
}

func (g *grants) addRefresh(t *refreshToken) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := "1.R" + secretText(96)
	g.refresh[key] = t
	g.order = append(g.order, key)
	if len(g.order) > maxRefreshTokens {
		delete(g.refresh, g.order[0])
		g.order = g.order[1:]
	}
	return key
}

func (g *grants) refreshToken(key string) (refreshToken, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.refresh[key]
	if !ok {
		return refreshToken{}, false
	}
	return *t, true
}

// revoke ends the refresh tokens of a user, or of everybody for nil, and says how many there were.
func (g *grants) revoke(u *systemUser) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, t := range g.refresh {
		if (u == nil || t.user == u) && !t.revoked {
			t.revoked = true
			n++
		}
	}
	return n
}

func secretText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails, by crypto/rand's promise
	return base64.RawURLEncoding.EncodeToString(b)
}
