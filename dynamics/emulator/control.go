package emulator

import (
	"maps"
	"sync"
)

// Counts are the requests so far, refused ones included.
type Counts struct {
	// Authorize counts authorize requests; Tokens token requests by grant type ("authorization_code", "refresh_token",
	// "client_credentials", "other", "none"); TokenErrors those refused, by OAuth error.
	Authorize   int            `json:"authorize"`
	Tokens      map[string]int `json:"tokens"`
	TokenErrors map[string]int `json:"token_errors"`
	// TokenNumbers counts those by the digits of their AADSTS number, Assertions the client assertions
	// by algorithm ("malformed" for those that could not be read), AdminConsent the admin-consent
	// requests, Discovery the requests for "openid-configuration", "keys" and "instance".
	TokenNumbers map[string]int `json:"token_numbers"`
	Assertions   map[string]int `json:"assertions"`
	AdminConsent int            `json:"admin_consent"`
	Discovery    map[string]int `json:"discovery"`
	// Data counts data requests that got past the bearer check, by route: "WhoAmI", "accounts",
	// "accounts(key)", "accounts/$count", "systemusers(key)/teammembership_association",
	// "EntityDefinitions" and so on; the operations of a batch count beside their "$batch".
	Data map[string]int `json:"data"`
	// Answered counts those of Data that were answered with 200 and the whole body.
	Answered map[string]int `json:"answered"`
	// Unauthorized counts 401 answers, ClaimsChallenges those of them that asked for claims, Faults the answers given by
	// [Control.Fail].
	Unauthorized     int `json:"unauthorized"`
	ClaimsChallenges int `json:"claims_challenges"`
	Faults           int `json:"faults"`
	// Throttled counts the data requests that were refused by a service protection limit.
	Throttled int `json:"throttled"`
}

// TokenRequests is the sum over all grant types.
func (c Counts) TokenRequests() int {
	n := 0
	for _, v := range c.Tokens {
		n += v
	}
	return n
}

func noCounts() Counts {
	return Counts{Tokens: map[string]int{}, TokenErrors: map[string]int{}, TokenNumbers: map[string]int{},
		Assertions: map[string]int{},
		Discovery:  map[string]int{}, Data: map[string]int{}, Answered: map[string]int{}}
}

func (c Counts) clone() Counts {
	for _, m := range []*map[string]int{&c.Tokens, &c.TokenErrors, &c.TokenNumbers, &c.Assertions, &c.Discovery,
		&c.Data, &c.Answered} {
		*m = maps.Clone(*m)
	}
	return c
}

type tally struct {
	mu sync.Mutex
	c  Counts
}

func (t *tally) add(f func(*Counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.c.Tokens == nil {
		t.c = noCounts()
	}
	f(&t.c)
}

// Control observes and disturbs a server in the same process. Its methods are safe for concurrent use.
type Control struct{ s *Server }

// Control gives access to what no client can see.
func (s *Server) Control() Control { return Control{s} }

// Counts are the requests since New or the last ResetCounts.
func (c Control) Counts() Counts {
	var out Counts
	c.s.tally.add(func(now *Counts) {
		out = now.clone()
	})
	return out
}

// ResetCounts starts again at zero.
func (c Control) ResetCounts() {
	c.s.tally.add(func(now *Counts) {
		*now = noCounts()
	})
}

// SetParallelHint changes what x-ms-dop-hint recommends on the answers of Dataverse; 0 or less is not sent.
func (c Control) SetParallelHint(n int) { c.s.hint.Store(int64(max(n, 0))) }

// Users are all users, built-in ones and those of the options.
func (c Control) Users() []User {
	out := make([]User, 0, len(c.s.dir.users))
	for _, u := range c.s.dir.users {
		out = append(out, u.User)
	}
	return out
}
