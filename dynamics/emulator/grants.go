package emulator

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"slices"
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
	session  string    // of the sign-in; all its tokens share it
	signedIn time.Time // when the person signed in
	mfa      bool      // with a second factor
	claims   string    // the claims parameter it was asked with
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
	used    bool
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

// useRefresh marks the token as used and reports whether this was the first time.
func (g *grants) useRefresh(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.refresh[key]
	first := t != nil && !t.used
	if first {
		t.used = true
	}
	return first
}

// revoke ends the refresh tokens that are chosen and says how many there were.
func (g *grants) revoke(chosen func(grant) bool) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, t := range g.refresh {
		if !t.revoked && chosen(t.grant) {
			t.revoked = true
			n++
		}
	}
	return n
}

// expire ends the life of the refresh tokens that are chosen and says how many still had one.
func (g *grants) expire(chosen func(grant) bool, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, t := range g.refresh {
		if now.Before(t.expires) && chosen(t.grant) {
			t.expires = now.Add(-time.Second)
			n++
		}
	}
	return n
}

// list sums the refresh tokens up by sign-in, the latest sign-in first.
func (g *grants) list(now time.Time) []Grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	by := map[string]*Grant{}
	for _, t := range g.refresh {
		x := by[t.session]
		if x == nil {
			x = &Grant{ID: t.session, User: t.user.UserName, Scope: t.scopes.agreed(), SignedIn: t.signedIn}
			by[t.session] = x
		}
		x.RefreshTokens++
		if !t.revoked && !now.After(t.expires) && !t.used {
			x.Valid++
		}
	}
	out := make([]Grant, 0, len(by))
	for _, x := range by {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b Grant) int {
		return cmp.Or(b.SignedIn.Compare(a.SignedIn), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func secretText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails, by crypto/rand's promise
	return base64.RawURLEncoding.EncodeToString(b)
}
