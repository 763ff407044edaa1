package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A NATS server tells a client afterwards, and nobody else, that it may not publish what it
// published: an answer is lost, and a request to JetStream's API is not answered. So a refusal
// is logged with the permission to add, and stands on /readyz?verbose for a while. It fails
// nothing: whoever may send requests can provoke one, with a reply subject that no user has.
type refusedPublishes struct {
	log *slog.Logger
	now func() time.Time

	mu  sync.Mutex
	all map[string]*refusedPublish // by permission
}

type refusedPublish struct {
	subject      string // the last one
	count        int    // since the start
	unlogged     int
	last, logged time.Time
}

const (
	// mostRefused bounds the permissions that are told apart: reply subjects are requesters'.
	mostRefused = 32
	// refusedShown is how long a refusal is shown, and refusedEvery how often one is logged.
	refusedShown = 10 * time.Minute
	refusedEvery = time.Minute
	// otherPermissions stands for those beyond mostRefused.
	otherPermissions = "…"
)

// refusedToPublish is how a server words it.
var refusedToPublish = regexp.MustCompile(`Permissions Violation for Publish to "(\S+)"`)

// watchPublishes takes the errors about publishing from a connection's error handler, which
// gets the others.
func watchPublishes(nc *nats.Conn, log *slog.Logger) *refusedPublishes {
	r := &refusedPublishes{log: log, now: time.Now, all: map[string]*refusedPublish{}}
	previous := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if !r.note(err) && previous != nil {
			previous(nc, sub, err)
		}
	})
	return r
}

// note counts a refusal, and reports whether the error is one.
func (r *refusedPublishes) note(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	found := refusedToPublish.FindStringSubmatch(err.Error())
	if found == nil {
		return false
	}
	subject := found[1]
	r.mu.Lock()
	defer r.mu.Unlock()
	permission := publishPermission(subject)
	p := r.all[permission]
	if p == nil && len(r.all) >= mostRefused {
		permission = otherPermissions
		p = r.all[permission]
	}
	if p == nil {
		p = &refusedPublish{}
		r.all[permission] = p
	}
	p.subject, p.last = subject, r.now()
	p.count++
	p.unlogged++
	if p.logged.IsZero() || p.last.Sub(p.logged) >= refusedEvery {
		r.log.Log(context.Background(), slog.LevelError, refusedWords(permission, subject), "count", p.unlogged)
		p.logged, p.unlogged = p.last, 0
	}
	return true
}

// trouble is what was refused lately and the permissions to add; empty for nothing.
func (r *refusedPublishes) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for permission, p := range r.all {
		if ago := r.now().Sub(p.last); ago < refusedShown {
			lines = append(lines, fmt.Sprintf("%s (%d since the start, the last %s ago)",
				refusedWords(permission, p.subject), p.count, ago.Round(time.Second)))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func refusedWords(permission, subject string) string {
	text := "NATS refuses to publish to " + strconv.Quote(subject)
	switch {
	case permission == otherPermissions:
		return text + " and to others: let this NATS user publish to the inboxes of all users that ask"
	case permission == anyInbox:
		return text + ": whoever asked has no inbox prefix of a user (NATS_INBOX_PREFIX); set it there, or let " +
			"this NATS user publish to " + strconv.Quote(anyInbox)
	}
	return text + ": let this NATS user publish to " + strconv.Quote(permission)
}

const (
	anyInbox = "_INBOX.>"
	// nuidLength is that of the ids that NATS clients make, one of which stands where an
	// inbox has no prefix of a user.
	nuidLength = 22
)

// publishPermission is what deploy/nats.conf has for a subject that crmbridge publishes to.
func publishPermission(subject string) string {
	parts := strings.Split(subject, ".")
	first := parts[0]
	switch {
	case first == "_INBOX" && len(parts) > 2 && len(parts[1]) != nuidLength:
		return "_INBOX." + parts[1] + ".>"
	case first == "_INBOX":
		return anyInbox
	case first == "_R_":
		return "_R_.>"
	case first == "crm" && len(parts) == 6 && parts[3] == "job":
		return "crm." + parts[1] + ".*.job.*.*"
	case first == "crm" && len(parts) > 2 && parts[1] == "events":
		return "crm.events." + parts[2] + ".>"
	case first == "crm" && len(parts) == 4:
		return "crm." + parts[1] + ".*.*"
	case strings.HasPrefix(subject, "$JS.API."):
		return apiPermission(parts)
	case len(parts) > 1:
		return strings.Join(parts[:len(parts)-1], ".") + ".>"
	}
	return subject
}

// apiPermission is that for a subject of JetStream's API, cut at its dots. Behind the name of
// the stream stand a consumer, a subject, or nothing.
func apiPermission(parts []string) string {
	for _, call := range []struct{ name, rest string }{
		{"CONSUMER.CREATE", ".>"}, {"DIRECT.GET", ".>"}, {"CONSUMER.INFO", ".*"}, {"CONSUMER.DELETE", ".*"},
		{"CONSUMER.MSG.NEXT", ".*"},
	} {
		stream := 2 + strings.Count(call.name, ".") + 1
		if len(parts) > stream+1 && strings.Join(parts[2:stream], ".") == call.name {
			return strings.Join(parts[:stream+1], ".") + call.rest
		}
	}
	return strings.Join(parts, ".")
}
