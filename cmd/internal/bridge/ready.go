package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A check is one part of /readyz. Its note says what does not keep requests from
// being answered.
type check struct {
	name string
	look func(context.Context) (note string, err error)
	// known is look for a scrape, which waits for nobody; nil where look waits for nobody either.
	known func() bool
	// jobs is that its note says why jobs are not run, for which no request is kept waiting.
	jobs bool
}

// well reports what is known of a check now: that it would not fail, or for one of jobs that
// they are run.
func (c check) well() bool {
	if c.known != nil {
		return c.known()
	}
	note, err := c.look(context.Background())
	return err == nil && (note == "" || !c.jobs)
}

// readyWait bounds the answer of /readyz.
const readyWait = 3 * time.Second

var errNotYet = errors.New("not yet: it follows when NATS and Redis are there")

// checks are those of /readyz in the order of their answer.
func (b *Bridge) checks() []check {
	return []check{
		{name: "nats", look: b.checkNATS}, {name: "subscriptions", look: b.checkSubscriptions},
		{name: "jetstream", look: b.checkJetStream},
		{name: "streams", look: b.checkStreams, known: b.streamsStand}, {name: "jobs", look: b.checkJobs, jobs: true},
		{name: "redis", look: b.checkRedis, known: b.redisUp}, {name: "draining", look: b.checkDraining},
	}
}

func (b *Bridge) checkNATS(context.Context) (string, error) {
	switch {
	case !b.linked.Load():
		return "", errors.New("not connected to NATS yet")
	case b.nats.IsConnected():
		return b.refused.trouble(), nil
	}
	err := fmt.Errorf("not connected to NATS at %s", serverNames(b.config.NATS.URL))
	if last := b.nats.LastError(); last != nil {
		err = fmt.Errorf("%w: %w", err, natsCause(last))
	}
	return "", err
}

func (b *Bridge) checkSubscriptions(context.Context) (string, error) {
	consumer := b.consumer.Load()
	if consumer == nil {
		return "", errNotYet
	}
	if err := consumer.Subscribed(); err != nil {
		return "", err
	}
	var notes []string
	if err := consumer.Undescribed(); err != nil {
		notes = append(notes, err.Error())
	}
	if n := consumer.Dropped(); n > 0 {
		notes = append(notes, fmt.Sprintf("%d requests were dropped since the start, because they came too fast", n))
	}
	return strings.Join(notes, "; "), nil
}

// checkJetStream fails only where a stream takes requests away: events wait for a
// JetStream that is not there, and requests need none.
func (b *Bridge) checkJetStream(context.Context) (string, error) {
	consumer := b.consumer.Load()
	if consumer == nil {
		return "", errNotYet
	}
	return b.events.Trouble(), consumer.Captured()
}

func (b *Bridge) checkRedis(ctx context.Context) (string, error) {
	if !b.linked.Load() {
		return "", errors.New("not connected to Redis yet")
	}
	v := b.probe.look(ctx)
	return v.note(), v.err
}

func (b *Bridge) checkDraining(context.Context) (string, error) {
	if b.stopping.Load() {
		return "", errors.New("shutting down")
	}
	return "", nil
}

// readyz answers as the health endpoints of Kubernetes do: ok, or what is wrong;
// ?verbose lists every check, and ?exclude=NAME, which may be repeated, leaves one
// out of the verdict.
func (b *Bridge) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWait)
	defer cancel()
	query := r.URL.Query()
	unknown := slices.Clone(query["exclude"])
	var lines strings.Builder
	var failed []string
	for _, check := range b.checks() {
		if slices.Contains(unknown, check.name) {
			unknown = slices.DeleteFunc(unknown, func(name string) bool { return name == check.name })
			fmt.Fprintf(&lines, "[+]%s excluded: ok\n", check.name)
			continue
		}
		switch note, err := check.look(ctx); {
		case err != nil:
			failed = append(failed, err.Error())
			fmt.Fprintf(&lines, "[-]%s failed: %s\n", check.name, oneLine(err.Error()))
		case note != "":
			fmt.Fprintf(&lines, "[+]%s ok: %s\n", check.name, oneLine(note))
		default:
			fmt.Fprintf(&lines, "[+]%s ok\n", check.name)
		}
	}
	if len(unknown) > 0 {
		fmt.Fprintf(&lines, "warn: some health checks cannot be excluded: no matches for %s\n", quoted(unknown))
	}
	_, verbose := query["verbose"]
	switch {
	case verbose && failed != nil:
		answer(w, http.StatusServiceUnavailable, lines.String()+"readyz check failed\n")
	case verbose:
		answer(w, http.StatusOK, lines.String()+"readyz check passed\n")
	case failed != nil:
		answer(w, http.StatusServiceUnavailable, b.reason(failed)+"\n")
	default:
		answer(w, http.StatusOK, "ok\n")
	}
}

// reason is the answer without ?verbose.
func (b *Bridge) reason(failed []string) string {
	switch {
	case b.stopping.Load():
		return "shutting down"
	case b.consumer.Load() == nil:
		failed = slices.DeleteFunc(failed, func(text string) bool { return text == errNotYet.Error() })
		return strings.TrimSuffix("starting: "+strings.Join(failed, "; "), ": ")
	}
	return strings.Join(failed, "; ")
}

const maxExcluded = 10 // unknown names that an answer repeats

func quoted(names []string) string {
	var all []string
	for _, name := range names[:min(len(names), maxExcluded)] {
		all = append(all, fmt.Sprintf("%.40q", name))
	}
	return strings.Join(all, ",")
}

// oneLine keeps others' text from looking like lines of its own.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}
