package interactive

import (
	"errors"
	"fmt"
	"strings"
)

// maxReplySubject bounds a reply subject in bytes.
const maxReplySubject = 512

// replyRule says which reply subjects crmbridge publishes to. Without it a
// requester could borrow crmbridge's right to publish: NATS lets a requester
// name any subject as reply, whatever the requester itself may publish to.
type replyRule [][]string

// newReplyRule reads subject patterns such as _INBOX.> and campaigns.replies.*.
func newReplyRule(patterns []string) (replyRule, error) {
	if len(patterns) == 0 {
		return nil, errors.New("no reply subject is allowed, so no request could be answered; the " +
			"default is _INBOX.>,_R_.>")
	}
	var rule replyRule
	var faults []error
	for _, pattern := range patterns {
		tokens := strings.Split(pattern, ".")
		if err := checkPattern(tokens); err != nil {
			faults = append(faults, fmt.Errorf("reply subject %q: %w", pattern, err))
		}
		rule = append(rule, tokens)
	}
	return rule, errors.Join(faults...)
}

// CheckReplySubjects reports every fault in patterns.
func CheckReplySubjects(patterns []string) error {
	_, err := newReplyRule(patterns)
	return err
}

func checkPattern(tokens []string) error {
	for i, token := range tokens {
		switch {
		case token == "":
			return fmt.Errorf("a token between the dots is empty")
		case token == ">" && i != len(tokens)-1:
			return fmt.Errorf("> may only be the last token")
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return fmt.Errorf("* and > are whole tokens")
		case strings.ContainsAny(token, " \t\r\n"):
			return fmt.Errorf("a subject holds no blanks")
		}
	}
	if first := tokens[0]; first == "*" || first == ">" || first == "crm" || strings.HasPrefix(first, "$") {
		return fmt.Errorf("it could reach crm.> or $…, which are always refused; begin with a name of your own, " +
			"such as campaigns.replies.>")
	}
	return nil
}

// allows reports whether an answer may be published to subject. It is asked for every
// message of a flood, so it makes no copy.
func (rule replyRule) allows(subject string) bool {
	if subject == "" || len(subject) > maxReplySubject || strings.ContainsAny(subject, "*> \t\r\n") ||
		subject[0] == '.' || subject[len(subject)-1] == '.' || strings.Contains(subject, "..") {
		return false
	}
	if first, _, _ := strings.Cut(subject, "."); first == "crm" || first[0] == '$' {
		return false
	}
	for _, pattern := range rule {
		if matches(pattern, subject) {
			return true
		}
	}
	return false
}

// matches reports whether a subject without empty tokens matches a pattern.
func matches(pattern []string, subject string) bool {
	more := true
	for _, want := range pattern {
		if want == ">" || !more {
			return more
		}
		var token string
		token, subject, more = strings.Cut(subject, ".")
		if want != "*" && want != token {
			return false
		}
	}
	return !more
}
