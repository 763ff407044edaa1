package emulator

import (
	"math/rand/v2"
	"sync"
	"time"
)

// The places where a [Fault] can strike; empty means FaultData.
const (
	FaultData      = "data"
	FaultToken     = "token"
	FaultAuthorize = "authorize"
	FaultDiscovery = "discovery" // openid-configuration, keys and instance discovery
)

// The ready-made faults of [Fault.Kind].
const (
	// KindThrottle is 429 with Retry-After and the body of the place that it strikes.
	KindThrottle = "throttle"
	// KindGateway, KindUnavailable and KindTimeout are 502, 503 and 504 with a page of HTML, as proxies on the way answer.
	KindGateway     = "gateway"
	KindUnavailable = "unavailable"
	KindTimeout     = "timeout"
	// KindError is 500 with a JSON body in the form of the place that it strikes.
	KindError = "error"
	// KindPortal is 200 with a page of HTML: a captive portal.
	KindPortal = "portal"
	// KindCutJSON is 200 and JSON that ends in the middle of a string, with a Content-Length that agrees.
	KindCutJSON = "cut-json"
	// KindBadCookie strikes requests with a $skiptoken: the nextLink that they follow is one that
	// Dataverse no longer takes.
	KindBadCookie = "bad-cookie"
	// KindQueryThrottle and KindQueryTimeout are what Dataverse says of one query that costs its
	// database too much: it is held back (0x80048644, a leading wildcard), or it timed out
	// (0x80048573). Microsoft lists the codes ("Query throttling", "Query anti-patterns") and no
	// status; it is 429 and 500 here, Status takes another, and Body another code. Probability lets a
	// part of the tries through, as Dataverse does.
	KindQueryThrottle = "query-throttle"
	KindQueryTimeout  = "query-timeout"
	// KindReset is Reset, KindTruncate is Truncate after 64 bytes, KindSlow is DripBytes 64 and
	// DripEvery 20 ms, where those are 0.
	KindReset    = "reset"
	KindTruncate = "truncate"
	KindSlow     = "slow"
)

var kinds = []string{KindThrottle, KindGateway, KindUnavailable, KindTimeout, KindError, KindPortal, KindCutJSON,
	KindBadCookie,
	KindQueryThrottle, KindQueryTimeout, KindReset, KindTruncate, KindSlow}

// Fault is a bad answer to come.
type Fault struct {
	// Where is one of the constants above. Times is how many requests it takes; 0 means 1, or no end
	// where Probability is set; negative means until [Control.Clear].
	Where string `json:"where,omitempty"`
	Times int    `json:"times,omitempty"`
	// Route limits a data fault to one route of [Counts.Data].
	Route string `json:"route,omitempty"`
	// Probability, when above 0, strikes each request by chance, up to 1; Seed makes the chances repeatable, 0 means 1.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	// Kind fills in what is not set of the members below. Kinds are several instead, of which each
	// time one strikes, by chance.
	Kind  string   `json:"kind,omitempty"`
	Kinds []string `json:"kinds,omitempty"`
	// Number, when not 0, makes it a refusal of Entra's: the AADSTS number, with the OAuth error
	// (empty means invalid_grant), suberror and claims, and Body as its text. Status 0 means the one
	// that Entra uses.
	Number   int    `json:"number,omitempty"`
	Error    string `json:"error,omitempty"`
	Suberror string `json:"suberror,omitempty"`
	Claims   string `json:"claims,omitempty"`
	// Status, Header and Body replace the answer when Status is not 0. Without Content-Type the body
	// is sent as text/html, as gateways do.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	// RetryAfter is the header of that name in seconds, when above 0; RetryAfterDate sends it as the
	// date that it comes to.
	RetryAfter     int  `json:"retry_after,omitempty"`
	RetryAfterDate bool `json:"retry_after_date,omitempty"`
	// Delay is waited first; in JSON it is "1.5s" or nanoseconds. Reset closes the connection without
	// an answer. Truncate, when above 0, ends the true answer (Status 0) after so many bytes of body
	// and closes the connection: the request has had its effect. DripBytes and DripEvery, when above
	// 0, send the body in pieces of so many bytes, with a wait after each.
	Delay     time.Duration `json:"delay,omitempty"`
	Reset     bool          `json:"reset,omitempty"`
	Truncate  int           `json:"truncate,omitempty"`
	DripBytes int           `json:"drip_bytes,omitempty"`
	DripEvery time.Duration `json:"drip_every,omitempty"`
}

type queued struct {
	Fault
	chance *rand.Rand // nil where it strikes for sure
	which  *rand.Rand // of the kinds
}

type faults struct {
	mu   sync.Mutex
	list []*queued
}

// next takes the first fault that applies; follows says that the request follows a nextLink.
func (f *faults) next(where, route string, follows bool) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.list {
		switch {
		case x.Where != where, x.Route != "" && x.Route != route, x.Kind == KindBadCookie && !follows:
			continue
		case x.chance != nil && x.chance.Float64() >= x.Probability:
			continue
		}
		hit := x.Fault
		if len(x.Kinds) > 0 {
			hit.Kind, hit.Kinds = x.Kinds[x.which.IntN(len(x.Kinds))], nil
			if hit.Kind == KindBadCookie && !follows {
				continue
			}
		}
		if x.Times > 0 {
			if x.Times--; x.Times == 0 {
				f.list = append(f.list[:i:i], f.list[i+1:]...)
			}
		}
		return hit.filled(), true
	}
	return Fault{}, false
}

// Fail queues a fault; of those that apply to a request the first strikes.
func (c Control) Fail(f Fault) {
	x := &queued{Fault: f, which: rand.New(rand.NewPCG(max(f.Seed, 1), 0x6b69_6e64))}
	if f.Where == "" {
		x.Where = FaultData
	}
	if f.Times == 0 {
		x.Times = 1
	}
	if f.Probability > 0 {
		x.chance = rand.New(rand.NewPCG(max(f.Seed, 1), 0x6661_756c))
		x.Times = f.Times
	}
	c.s.faults.mu.Lock()
	defer c.s.faults.mu.Unlock()
	c.s.faults.list = append(c.s.faults.list, x)
}

// Clear drops the faults that have not struck.
func (c Control) Clear() {
	c.s.faults.mu.Lock()
	defer c.s.faults.mu.Unlock()
	c.s.faults.list = nil
}
