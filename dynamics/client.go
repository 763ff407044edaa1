package dynamics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Access is what a connection may use right now.
type Access struct {
	Environment string // origin, any accepted form
	Incarnation string // changes when the connection is made again
	Token       Secret // bearer token for Environment
	// Principal is whom the token acts as, zero if that is not known; the [Gate]
	// counts by it, and labels are in the user's language.
	Principal Principal
	// Tables are the names ([Table].Name) of the tables that the person who connected
	// was told are read. A session reads no other; none are listed, none are read.
	Tables []string
	// DailyCalls is how many calls the customer allows the principal a day (UTC); see [Meter].
	// 0 is any number.
	DailyCalls int
	// Claims is the claims challenge of the 401, as Dataverse sent it (base64);
	// only in the argument of Refused, and empty where there was none.
	Claims Secret
}

// TokenSource gives the access token of a connection. Both methods may block
// for a refresh and are called before every HTTP request. Their errors are
// passed on to the caller as they are.
type TokenSource interface {
	// Access returns a token that is believed to be valid.
	Access(ctx context.Context, connection string) (Access, error)
	// Refused says that Dataverse answered 401 to a.Token. It returns another
	// token, or the error that explains why there is none.
	Refused(ctx context.Context, connection string, a Access) (Access, error)
}

// Config is copied by [New]. Zero values mean the default.
type Config struct {
	Tokens TokenSource // required for Open
	Hosts  *HostPolicy // required
	// Gate lets calls begin, each attempt by itself. Default: all begin at once.
	Gate Gate
	// APIVersion is the Web API's version as in its path. Default "v9.2".
	APIVersion string
	// UserAgent is sent with every request. Default "crmbridge".
	UserAgent string
	// Transport sends the requests. Default: own transports with bounded
	// dialling, handshake and header size, closed by Close. It must follow no
	// redirects, add no cookies and change nothing of a request.
	Transport http.RoundTripper
	// MaxCalls is how many calls are made at once: so many connections to one host are
	// kept for the next calls, and twice as many in all. Default 256.
	MaxCalls int
	// AttemptTimeout bounds one attempt from dialling to the last byte of the
	// body. Default 60 s.
	AttemptTimeout time.Duration
	// MaxBody bounds a decompressed answer in bytes. Default 64 MiB.
	MaxBody int64
	// MaxRetryWait bounds one wait between attempts: if Dataverse asks for
	// more, the error is returned at once with RetryAfter. Default 10 s.
	MaxRetryWait time.Duration
	// RetryDelay is the wait before the second attempt where Dataverse asks
	// for none; it doubles, and is jittered by half. Default 200 ms.
	RetryDelay time.Duration
	// MaxAttempts counts the first attempt too. Default 3.
	MaxAttempts int
	// ReceiveBuffer bounds what HTTP/2 holds of one answer before it is read, in
	// bytes, from 64 KiB to less than 4 MiB. Default 512 KiB. Go's own are 4 MiB.
	ReceiveBuffer int
	// Observe is told of each attempt when it is over, with the context of the call. It must
	// not block.
	Observe func(context.Context, Call)
	// Coalesced is told of each page whether a call that was under way for the same page
	// served it; nil means nobody. It must not block.
	Coalesced func(hit bool)
}

// Call is one attempt at one HTTP request, as it was.
type Call struct {
	Op         string        // "whoami", "accounts.page", "accounts.get", …
	Attempt    int           // 1 for the first
	Begun      time.Time     // when it was sent
	Waited     time.Duration // before that, for circuit breaker, gate, memory and token
	Status     int           // 0 if there was no answer
	Kind       Kind          // 0 if the attempt succeeded
	Duration   time.Duration // including reading the body
	RetryAfter time.Duration // as asked by Dataverse
	RequestID  string        // Dataverse's, else the one sent
	Bytes      int64         // body bytes read, after decompression
	// What Dataverse says to be left of the service protection limits, requests
	// and seconds of execution; -1 where it did not. Microsoft advises against
	// pacing calls by it.
	BurstRemaining, TimeRemaining float64
}

// Client talks to Dataverse environments. It is safe for concurrent use.
type Client struct {
	config Config
	path   string // of the Web API: /api/data/v9.2/
	out    readOnly
	long   readOnly    // for answers of more than multiplexed bytes
	own    *transports // nil if the caller gave one
	quick  QuickGate   // the gate, nil where it is none
	closed atomic.Bool

	flights  flights
	breakers breakers
	layouts  layouts
	echoes   echoIndexes
	sieves   perToken[*echoSieve]
	bearers  perToken[string]

	userAgent []string // as all heads have it
}

// New checks the configuration and makes a client; nothing is sent.
func New(config Config) (*Client, error) {
	if config.Hosts == nil {
		return nil, errors.New("dynamics: Config.Hosts is missing: without it any host would get a token")
	}
	setDefault(&config.APIVersion, "v9.2")
	setDefault(&config.UserAgent, "crmbridge")
	setDefault(&config.AttemptTimeout, 60*time.Second)
	setDefault(&config.MaxBody, 64<<20)
	setDefault(&config.MaxRetryWait, 10*time.Second)
	setDefault(&config.RetryDelay, 200*time.Millisecond)
	setDefault(&config.MaxAttempts, 3)
	setDefault(&config.ReceiveBuffer, defaultReceiveBuffer)
	setDefault(&config.MaxCalls, 256)
	if !isVersion(config.APIVersion) {
		return nil, fmt.Errorf("dynamics: API version %q is not of the form v9.2", config.APIVersion)
	}
	if config.AttemptTimeout < 0 || config.MaxBody < 0 || config.MaxRetryWait < 0 || config.RetryDelay < 0 ||
		config.MaxAttempts < 0 || config.MaxCalls < 0 {
		return nil, errors.New("dynamics: a bound in Config is negative")
	}
	if config.ReceiveBuffer < 64<<10 || config.ReceiveBuffer >= 4<<20 {
		return nil, errors.New("dynamics: Config.ReceiveBuffer must be from 64 KiB to less than 4 MiB")
	}
	c := &Client{config: config, path: "/api/data/" + config.APIVersion + "/",
		breakers: breakers{bound: config.AttemptTimeout}, userAgent: []string{config.UserAgent}}
	c.layouts.root = c.path
	c.quick, _ = config.Gate.(QuickGate)
	// Not through an http.Client: it would follow a redirect, which carries the token to
	// wherever the answer points, and it copies each request's head for that.
	c.out, c.long = readOnly{config.Transport}, readOnly{config.Transport}
	if config.Transport == nil {
		c.own = newTransports(config.ReceiveBuffer, config.MaxCalls)
		c.out, c.long = readOnly{c.own.short}, readOnly{c.own.long}
	}
	return c, nil
}

// Close ends idle connections and refuses later requests with [ErrClosed].
// Requests under way go on.
func (c *Client) Close() {
	c.closed.Store(true)
	if c.own != nil {
		c.own.closeIdle()
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func isVersion(v string) bool {
	major, minor, ok := strings.Cut(strings.TrimPrefix(v, "v"), ".")
	return ok && strings.HasPrefix(v, "v") && isDigits(major) && isDigits(minor) && len(v) <= 8
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
