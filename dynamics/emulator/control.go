package emulator

import (
	"iter"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Counts are the requests so far, refused ones included.
type Counts struct {
	// Authorize counts authorize requests; Tokens token requests by grant type ("authorization_code", "refresh_token",
	// "client_credentials", "other", "none"); TokenErrors those refused, by OAuth error.
	Authorize   int            `json:"authorize"`
	Tokens      map[string]int `json:"tokens"`
	TokenErrors map[string]int `json:"token_errors"`
	// Data counts data requests that got past the bearer check, by route: "WhoAmI", "accounts", "accounts(key)",
	// "accounts/$count", "systemusers(key)/teammembership_association", "EntityDefinitions" and so on.
	Data map[string]int `json:"data"`
	// Unauthorized counts 401 answers, Faults the answers given by [Control.Fail].
	Unauthorized int `json:"unauthorized"`
	Faults       int `json:"faults"`
}

// TokenRequests is the sum over all grant types.
func (c Counts) TokenRequests() int {
	n := 0
	for _, v := range c.Tokens {
		n += v
	}
	return n
}

type tally struct {
	mu sync.Mutex
	c  Counts
}

func (t *tally) add(f func(*Counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.c.Tokens == nil {
		t.c = Counts{Tokens: map[string]int{}, TokenErrors: map[string]int{}, Data: map[string]int{}}
	}
	f(&t.c)
}

// The places where a [Fault] can strike; empty means FaultData.
const (
	FaultData      = "data"
	FaultToken     = "token"
	FaultAuthorize = "authorize"
)

// Fault is a bad answer to come.
type Fault struct {
	// Where is one of the constants above. Times is how many requests it takes; 0 means 1, negative until [Control.Clear].
	Where string `json:"where,omitempty"`
	Times int    `json:"times,omitempty"`
	// Route limits a data fault to one route of [Counts.Data].
	Route string `json:"route,omitempty"`
	// Status, Header and Body replace the answer when Status is not 0. Without Content-Type the body is sent as text/html, as
	// gateways do.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	// Delay is waited first (nanoseconds in JSON). Reset closes the connection without an answer. Truncate, when above 0, ends the true answer
	// (Status 0) after so many bytes of body and closes the connection.
	Delay    time.Duration `json:"delay,omitempty"`
	Reset    bool          `json:"reset,omitempty"`
	Truncate int           `json:"truncate,omitempty"`
}

type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// next takes the first fault that applies.
func (f *faults) next(where, route string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.list {
		if x.Where != where || (x.Route != "" && x.Route != route) {
			continue
		}
		hit := *x
		if x.Times > 0 {
			if x.Times--; x.Times == 0 {
				f.list = append(f.list[:i:i], f.list[i+1:]...)
			}
		}
		return hit, true
	}
	return Fault{}, false
}

// fault plays a waiting fault; true means that the request is answered.
func (s *Server) fault(w http.ResponseWriter, r *http.Request, where string) bool {
	x, ok := s.faults.next(where, "")
	if !ok {
		return false
	}
	return s.play(w, r, x)
}

func (s *Server) play(w http.ResponseWriter, r *http.Request, x Fault) bool {
	s.tally.add(func(c *Counts) { c.Faults++ })
	if !wait(r, x.Delay) || x.Reset {
		panic(http.ErrAbortHandler) // the documented way to cut a connection
	}
	if x.Status == 0 {
		return false
	}
	w.Header().Set("Content-Type", "text/html")
	for k, v := range x.Header {
		w.Header().Set(k, v)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(x.Body)))
	w.WriteHeader(x.Status)
	_, _ = w.Write([]byte(x.Body)) // the client may be gone
	return true
}

// Control observes and disturbs a server in the same process. Its methods are safe for concurrent use.
type Control struct{ s *Server }

// Control gives access to what no client can see.
func (s *Server) Control() Control { return Control{s} }

// Counts are the requests since New or the last ResetCounts.
func (c Control) Counts() Counts {
	var out Counts
	c.s.tally.add(func(now *Counts) {
		out = *now
		out.Tokens, out.TokenErrors, out.Data = maps.Clone(now.Tokens), maps.Clone(now.TokenErrors), maps.Clone(now.Data)
	})
	return out
}

// ResetCounts starts again at zero.
func (c Control) ResetCounts() {
	c.s.tally.add(func(now *Counts) {
		*now = Counts{Tokens: map[string]int{}, TokenErrors: map[string]int{}, Data: map[string]int{}}
	})
}

// ExpireAccessTokens makes every access token given out so far answer 401. Refresh tokens stay good.
func (c Control) ExpireAccessTokens() { c.s.expired.Store(c.s.serial.Load()) }

// RevokeRefreshTokens ends the refresh tokens of a user (by UserName), or of everybody for "", and returns how many; the token
// endpoint answers AADSTS50173 for them. It is 0 for an unknown user.
func (c Control) RevokeRefreshTokens(userName string) int {
	if userName == "" {
		return c.s.grants.revoke(nil)
	}
	u := c.s.dir.byUserName(userName)
	if u == nil {
		return 0
	}
	return c.s.grants.revoke(u)
}

// Fail queues a fault; faults are taken in order.
func (c Control) Fail(f Fault) {
	if f.Where == "" {
		f.Where = FaultData
	}
	if f.Times == 0 {
		f.Times = 1
	}
	c.s.faults.mu.Lock()
	defer c.s.faults.mu.Unlock()
	c.s.faults.list = append(c.s.faults.list, &f)
}

// Clear drops the faults that have not struck.
func (c Control) Clear() {
	c.s.faults.mu.Lock()
	defer c.s.faults.mu.Unlock()
	c.s.faults.list = nil
}

// Accounts yields all rows, in the order of their keys, as of the call. The copies are shallow: do not write through their pointers.
func (c Control) Accounts() iter.Seq[Account] {
	v := c.s.data.view()
	return func(yield func(Account) bool) {
		for _, a := range v.accounts {
			if !yield(*a) {
				return
			}
		}
	}
}

// PutAccount inserts the row, or replaces the one with the same ID; its Version and ModifiedOn are set, a zero CreatedOn and
// StatusCode too. An empty ID gets a new
// one. It returns the ID, or "" where ID is not a GUID.
func (c Control) PutAccount(a Account) string { return c.s.data.put(a, c.s.opts.Now()) }

// DeleteAccount removes the row and reports whether it was there.
func (c Control) DeleteAccount(id string) bool { return c.s.data.delete(id) }

// Users are all users, built-in ones and those of the options.
func (c Control) Users() []User {
	out := make([]User, 0, len(c.s.dir.users))
	for _, u := range c.s.dir.users {
		out = append(out, u.User)
	}
	return out
}
