package emulator

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits are Dataverse's service protection limits, per user and web server in a sliding window
// (section 10). Zero values mean Microsoft's own; tests scale Window down, and the figures with it.
type Limits struct {
	// Window is the sliding window; 0 means 300 s.
	Window time.Duration
	// Requests is how many requests it may hold; 0 means 6,000, negative no limit.
	Requests int
	// Execution is the execution time of all requests that it may hold; 0 means 20 min, negative no limit.
	Execution time.Duration
	// Concurrent is how many requests may be in hand at once; one more is refused. 0 means 52, negative no limit.
	Concurrent int
	// Servers is the number of web servers, each with counts of its own. A request with the affinity
	// cookie of one goes to it, others go to each in turn. 0 means 1.
	Servers int
}

func (l Limits) withDefaults() (Limits, error) {
	if l.Window < 0 || l.Servers < 0 || l.Servers > 64 {
		return l, errors.New("emulator: Limits.Window must not be negative, and Limits.Servers must be from 0 to 64")
	}
	setDefault(&l.Window, 300*time.Second)
	setDefault(&l.Requests, 6000)
	setDefault(&l.Execution, 20*time.Minute)
	setDefault(&l.Concurrent, 52)
	setDefault(&l.Servers, 1)
	return l, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// limiter counts what each user asks of each web server.
type limiter struct {
	Limits
	now func() time.Time

	mu    sync.Mutex
	turn  int // of the next request without a cookie
	spent map[limitKey]*spending
}

type limitKey struct {
	user   *systemUser
	server int
}

// spending is one user's at one web server.
type spending struct {
	begun   []time.Time // of the requests in the window
	ended   []execution
	inHand  int
	limited time.Time // no request is let through before
	since   time.Time // when limited was first set
	why     limitKind
}

type execution struct {
	at   time.Time
	took time.Duration
}

type limitKind struct{ code, message string }

func newLimiter(l Limits, now func() time.Time) *limiter {
	return &limiter{Limits: l, now: now, spent: map[limitKey]*spending{}}
}

const affinityCookie = "ARRAffinity"

// serverOf is the web server that a request goes to.
func (l *limiter) serverOf(r *http.Request) int {
	if c, err := r.Cookie(affinityCookie); err == nil {
		for i := range l.Servers {
			if c.Value == affinity(i) {
				return i
			}
		}
	}
	l.turn = (l.turn + 1) % l.Servers
	return l.turn
}

func affinity(server int) string {
	return strings.ReplaceAll(namedGUID("web server", strconv.Itoa(server)).String(), "-", "")[:20]
}

// begin counts a request; done must be called when it is answered. A refused one has a fault, and the time to wait.
func (l *limiter) begin(user *systemUser, r *http.Request, h http.Header) (done func(), refused *limitKind,
	wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	server := l.serverOf(r)
	h["Set-Cookie"] = append([]string{affinityCookie + "=" + affinity(server) + "; path=/; secure; HttpOnly"},
		h["Set-Cookie"]...)
	key := limitKey{user, server}
	s := l.spent[key]
	if s == nil {
		s = &spending{}
		l.spent[key] = s
	}
	s.slide(now.Add(-l.Window))
	if kind, wait := l.refusal(s, now); wait > 0 {
		l.tell(h, s)
		return nil, kind, wait
	}
	s.begun = append(s.begun, now)
	s.inHand++
	l.tell(h, s)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		end := l.now()
		s.inHand--
		s.ended = append(s.ended, execution{end, end.Sub(now)})
	}, nil, 0
}

// slide forgets what is older than the window.
func (s *spending) slide(from time.Time) {
	n := 0
	for n < len(s.begun) && s.begun[n].Before(from) {
		n++
	}
	s.begun = s.begun[n:]
	n = 0
	for n < len(s.ended) && s.ended[n].at.Before(from) {
		n++
	}
	s.ended = s.ended[n:]
}

func (s *spending) executed() (total time.Duration) {
	for _, e := range s.ended {
		total += e.took
	}
	return total
}

// lengthenAfter is how long a refusal has been out before going on sending counts against a client:
// what was on its way then is not its fault.
const lengthenAfter = 500 * time.Millisecond

// refusal says which limit is reached, and for how long. Whoever goes on sending meanwhile waits
// longer, up to a whole window.
func (l *limiter) refusal(s *spending, now time.Time) (*limitKind, time.Duration) {
	if now.Before(s.limited) {
		if now.Sub(s.since) > lengthenAfter {
			s.limited = s.limited.Add(l.Window / 300)
			if most := now.Add(l.Window); s.limited.After(most) {
				s.limited = most
			}
		}
		return &s.why, s.limited.Sub(now)
	}
	seconds := int(l.Window / time.Second)
	switch {
	case l.Requests > 0 && len(s.begun) >= l.Requests:
		s.why = limitKind{"0x80072322", fmt.Sprintf(
			"Number of requests exceeded the limit of %d over time window of %d seconds.", l.Requests, seconds)}
		s.limited = s.begun[len(s.begun)-l.Requests].Add(l.Window)
	case l.Execution > 0 && s.executed() >= l.Execution:
		s.why = limitKind{"0x80072321", fmt.Sprintf(
			"Combined execution time of incoming requests exceeded limit of %s milliseconds over time window of %d seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later.", thousands(l.Execution.Milliseconds()), seconds)}
		s.limited = s.timeIsBack(l)
	case l.Concurrent > 0 && s.inHand >= l.Concurrent:
		// How long Dataverse asks a client to wait then is not documented; what is in hand ends soon.
		s.why = limitKind{"0x80072326", fmt.Sprintf("Number of concurrent requests exceeded the limit of %d.", l.Concurrent)}
		s.limited = now.Add(min(max(l.Window/60, 100*time.Millisecond), 5*time.Second))
	default:
		return nil, 0
	}
	s.since = now
	return &s.why, max(s.limited.Sub(now), time.Millisecond)
}

// timeIsBack is when enough execution time has left the window.
func (s *spending) timeIsBack(l *limiter) time.Time {
	over := s.executed() - l.Execution
	for _, e := range s.ended {
		if over -= e.took; over < 0 {
			return e.at.Add(l.Window)
		}
	}
	return l.now()
}

// tell writes what is left, in Dataverse's forms: a whole number, and seconds with thousands separated and decimals.
func (l *limiter) tell(h http.Header, s *spending) {
	requests, left := l.Requests, l.Execution
	if requests < 0 {
		requests = math.MaxInt32
	}
	if left < 0 {
		left = 20 * time.Minute
	}
	h.Set("x-ms-ratelimit-burst-remaining-xrm-requests", strconv.Itoa(max(requests-len(s.begun), 0)))
	hundredths := max(left-s.executed(), 0) / (10 * time.Millisecond)
	h.Set("x-ms-ratelimit-time-remaining-xrm-requests", fmt.Sprintf("%s.%02d", thousands(int64(hundredths/100)),
		hundredths%100))
}

func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// throttle answers 429 with Retry-After in whole seconds, as Dataverse does.
func throttle(w http.ResponseWriter, p preferences, kind *limitKind, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10))
	f := &fault{status: http.StatusTooManyRequests, code: kind.code, message: kind.message}
	f.write(w, p)
}
