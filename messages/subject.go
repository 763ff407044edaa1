package messages

import (
	"slices"
	"strings"
)

// QueueGroup is the queue group in which every crmbridge process subscribes:
// NATS hands each request to one of them.
const QueueGroup = "crmbridge"

// Subject is where requests of the operation go: crm.<entity>.<verb>.request.
func (op Operation) Subject() string { return "crm." + string(op) + ".request" }

// ScopedSubject is the operation's subject for one connection:
// crm.<entity>.<verb>.request.<connection>. With "*" it is what crmbridge
// subscribes to.
func (op Operation) ScopedSubject(connection string) string {
	return op.Subject() + "." + connection
}

// RequestSubjects match every subject that a request may arrive on, by entity: a
// stream of events or results captures none of them. A JetStream stream that does
// would answer requesters in crmbridge's place. The subjects of all Tables are
// among them, served or not, and those of the tables given.
func RequestSubjects(tables ...[]Table) []string {
	var subjects []string
	for _, op := range Operations(slices.Concat(Tables(), tablesOr(tables))) {
		subject := "crm." + op.Entity() + ".*.request"
		if !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject, subject+".*")
		}
	}
	return subjects
}

// ConnectionFromSubject returns the connection that a scoped request subject
// names, and "" for a plain one.
func ConnectionFromSubject(subject string) string {
	const tokens = 4 // crm.<entity>.<verb>.request
	for range tokens {
		_, rest, more := strings.Cut(subject, ".")
		if !more {
			return ""
		}
		subject = rest
	}
	return subject
}

// MaxConnection is the longest id of a connection in bytes.
const MaxConnection = 64

// ValidConnection reports whether id can name a connection: 1 to 64 letters,
// digits, underscores and hyphens, so that it is one token of a subject.
func ValidConnection(id string) bool {
	if id == "" || len(id) > MaxConnection {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
