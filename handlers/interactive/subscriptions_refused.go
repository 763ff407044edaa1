package interactive

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// refusedSubject is how a server words a refused subscription, with or without
// the queue group and the number of it.
var refusedSubject = regexp.MustCompile(`Subscription to "(\S+)"`)

// onError is the connection's error handler.
func (s *subscriptions) onError(nc *nats.Conn, sub *nats.Subscription, err error) {
	if s.ours(err) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
		return
	}
	if s.previous != nil {
		s.previous(nc, sub, err)
	}
}

// ours notes an error about one of the subscriptions; it is logged once for all.
func (s *subscriptions) ours(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
		s.full++
		s.inbox = true
		s.doubt = s.doubt || !s.busy
		return true
	}
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	found := refusedSubject.FindStringSubmatch(err.Error())
	if found == nil {
		return false
	}
	for _, x := range s.all {
		if x.subject != found[1] {
			continue
		}
		if x.trying {
			x.verdict = err
		} else {
			x.refused = err
		}
		return true
	}
	return false
}

// refusal is an error while the server refuses subscriptions for requests: which ones, and
// what would help.
func (s *subscriptions) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wording(true)
}

// refusals is how many subscriptions the server refuses.
func (s *subscriptions) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refusedOnes())
}

// undescribed is refusal for those of the services API, without which requests work.
func (s *subscriptions) undescribed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wording(false)
}

// news is what there is to log since the last time; "" for nothing.
func (s *subscriptions) news() (text string, level slog.Level) {
	level = slog.LevelError
	refusal := s.wording(true)
	if refusal == nil {
		refusal, level = s.wording(false), slog.LevelWarn
	}
	if refusal != nil {
		text = refusal.Error()
	}
	switch {
	case text == s.logged:
		return "", level
	case text == "":
		text, level = "all subscriptions hold again", slog.LevelInfo
		s.logged = ""
	default:
		s.logged = text
	}
	return text, level
}

func (s *subscriptions) wording(required bool) error {
	var denied []*subscribed
	full := 0
	var broken error
	for _, x := range s.all {
		switch {
		case x.refused == nil || x.required != required:
		case errors.Is(x.refused, errFull):
			full++
		case errors.Is(x.refused, nats.ErrPermissionViolation):
			denied = append(denied, x)
		default:
			broken = x.refused
		}
	}
	var faults []string
	if len(denied) > 0 {
		faults = append(faults, deniedWords(denied))
	}
	switch {
	case full > 0:
		faults = append(faults, s.fullWords())
	case s.doubt && required:
		faults = append(faults, "NATS reported that max_subscriptions is reached; it is being found out which "+
			"subscriptions hold")
	}
	if broken != nil {
		faults = append(faults, broken.Error())
	}
	if faults == nil {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// deniedWords names a subject and the permissions to add, as deploy/nats.conf has them.
func deniedWords(denied []*subscribed) string {
	more := ""
	if len(denied) > 1 {
		more = fmt.Sprintf(" and to %d more", len(denied)-1)
	}
	var patterns []string
	for _, x := range denied {
		if pattern := strconv.Quote(permissionFor(x.subject)); !slices.Contains(patterns, pattern) {
			patterns = append(patterns, pattern)
		}
	}
	return fmt.Sprintf("NATS refuses the subscription to %s%s: let this NATS user subscribe to %s",
		denied[0].subject, more, strings.Join(patterns, " and "))
}

// permissionFor is the pattern that allows a subscription and the others of its entity.
func permissionFor(subject string) string {
	if strings.HasPrefix(subject, "$SRV.") {
		return "$SRV.>"
	}
	parts := strings.Split(subject, ".") // crm, entity, verb, request, and "*" where it is scoped
	parts[2] = "*"
	return strings.Join(parts, ".")
}

// fullWords words that max_subscriptions is reached. The server reports neither its value
// nor how much of it is used; one more than these is the inbox that the client uses.
func (s *subscriptions) fullWords() string {
	hold := 0
	for _, x := range s.all {
		if x.refused == nil {
			hold++
		}
	}
	need := len(s.all)
	return fmt.Sprintf("NATS refuses subscriptions because max_subscriptions is reached: of %d that "+
		"crmbridge needs, %d hold; "+
		"raise max_subscriptions of the server and of the account (in a JWT: subs of the account's and "+
		"the user's limits) "+
		"to %d or more", need, hold, need+1)
}
