package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// Replies are for programs: they name members of a request, operations and operators. A person
// reads of flags, arguments and commands.

// inCommands names the commands for the operations that advice names.
var inCommands = strings.NewReplacer(
	"connections.authorize (crmbridge connect) gives the link", "'crmbridge connect' gives the link",
	"connections.authorize gives the link", "'crmbridge connect' gives the link",
	"make it with connections.authorize", "make it with 'crmbridge connect ID URL'",
	"environment URL: ", "",
	"with connections.check", "with 'crmbridge connections check'",
	"jobs.delete what has been read", "'crmbridge jobs delete' what has been read",
	"with allow_user_change", "with --allow-user-change",
	"(daily_calls)", "(--daily-calls)",
	"cancel it first (jobs.cancel)", "cancel it first with 'crmbridge jobs cancel'",
	"with jobs.delete", "with 'crmbridge jobs delete'",
	"the operation fields lists", "the command fields lists",
)

// typedAs are the flags and arguments for members of requests.
var typedAs = map[string]string{
	"where": "--where", "fields": "--fields", "order_by": "--order-by", "page_size": "--page-size", "limit": "--limit",
	"cursor": "--cursor", "tables": "--tables", "tenant": "--tenant", "login_hint": "--login-hint", "prompt": "--prompt",
	"daily_calls": "--daily-calls", "grant": "--grant", "new_job_id": "--as", "connection": "<connection>",
	"environment_url": "<environment-url>", "user_id": "<user>", "email": "<user>", "job_id": "<job>",
}

// typedFor is the flag or argument for a place of a request, and the place itself where there is none.
// Of a filter that is an expression the spot is shown. Another flag that stands for the member is in
// others.
func typedFor(path string, expression bool, others map[string]string) string {
	member := path
	if end := strings.IndexAny(path, ".["); end > 0 {
		member = path[:end]
	}
	for _, table := range messages.Tables() {
		if path == table.IDMember() {
			return "<row>"
		}
		for _, field := range table.Fields { // where Dataverse refuses a column
			if path == field.Logical {
				return field.Name
			}
		}
	}
	flag := cmp.Or(others[member], typedAs[member])
	switch rest := strings.TrimPrefix(path[len(member):], "."); {
	case flag == "":
		return path
	case member == "where" && !expression && rest != "":
		return flag + ": " + rest
	}
	return flag
}

// operatorSigns are operators as an expression has them, where that is not their name.
var operatorSigns = map[string]string{
	"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "is_null": "is null", "not_null": "is not null",
	"not_in": "not in", "not_contains": "not contains", "starts_with": "starts with", "ends_with": "ends with",
	"contains_any": "contains any", "contains_none": "contains none",
}

var (
	knownOperators = regexp.MustCompile(`which knows ([a-z_ ]+)$`)
	quotedOperator = regexp.MustCompile(`operator "([a-z_]+)"`)
	usedOperator   = regexp.MustCompile(`\buse ([a-z_]+)$`)
)

// inSigns puts the operators of a message about an expression as expressions have them.
func inSigns(message string) string {
	sign := func(op string) string { return cmp.Or(operatorSigns[op], op) }
	for _, how := range []struct {
		pattern *regexp.Regexp
		put     func(ops string) string
	}{
		{knownOperators, func(ops string) string {
			words := strings.Fields(ops)
			for i, op := range words {
				words[i] = sign(op)
			}
			return "which knows " + strings.Join(words, ", ")
		}},
		{quotedOperator, func(op string) string { return "operator " + sign(op) }},
		{usedOperator, func(op string) string { return "use " + sign(op) }},
	} {
		message = how.pattern.ReplaceAllStringFunc(message, func(found string) string {
			return how.put(how.pattern.FindStringSubmatch(found)[1])
		})
	}
	return message
}

// inFields are friendly names for columns that have one, and the same, in every table.
var inFields = sync.OnceValue(func() *strings.Replacer {
	names := map[string]string{}
	for _, table := range messages.Tables() {
		for _, field := range table.Fields {
			if known, ok := names[field.Logical]; ok && known != field.Name {
				names[field.Logical] = field.Logical
			} else {
				names[field.Logical] = field.Name
			}
		}
	}
	var pairs []string
	for _, logical := range slices.Sorted(maps.Keys(names)) {
		// Dataverse puts the columns of its messages in quotes.
		pairs = append(pairs, "'"+logical+"'", "'"+names[logical]+"'")
	}
	return strings.NewReplacer(pairs...)
})

// A flagged error is about members of a request that other flags than usual stand for.
type flagged struct {
	error
	flags map[string]string // by member
}

func (f *flagged) Unwrap() error { return f.error }

// flaggedAs says which flag stood for a member, if it was given.
func flaggedAs(err error, given bool, member, flag string) error {
	if err == nil || !given {
		return err
	}
	return &flagged{err, map[string]string{member: flag}}
}

// flagsFor are all flags that stood for a member.
func flagsFor(err error) map[string]string {
	flags := map[string]string{}
	for f, ok := errors.AsType[*flagged](err); ok; f, ok = errors.AsType[*flagged](f.error) {
		maps.Copy(flags, f.flags)
	}
	return flags
}

// spoken is the text of an error of crmbridge, in the words of the command line.
func spoken(err error, fault *messages.Error) string {
	_, expression := errors.AsType[*spotted](err)
	text, others := err.Error(), flagsFor(err)
	if expression {
		text = inSigns(text)
	}
	for _, detail := range fault.Details {
		if detail.Path == "" {
			continue
		}
		if before, after, found := strings.Cut(text, detail.Path+": "); found {
			text = before + typedFor(detail.Path, expression, others) + ": " + after
			break
		}
		if flag := typedFor(detail.Path, expression, others); flag != detail.Path { // the member begins a sentence
			text = strings.Replace(text, ": "+detail.Path+" ", ": "+flag+": ", 1)
		}
	}
	if len(fault.Details) == 1 && expression && strings.HasPrefix(fault.Details[0].Message, "is not a GUID") {
		text = strings.Replace(text, "is not a GUID", "an id or a lookup is compared with an id; this is not a GUID", 1)
	}
	if fault.Dynamics != nil {
		text = inFields().Replace(text)
	}
	return inCommands.Replace(text)
}

// printSpoken prints it, with what the message does not contain below.
func printSpoken(stderr io.Writer, err error, fault *messages.Error) {
	say := func(text string) { _ = term.Prose(stderr, 2, text) } // where stderr takes nothing, there is nobody to tell
	say(term.Safe(spoken(err, fault)))
	printCaret(stderr, err)
	others := flagsFor(err)
	if len(fault.Details) > 1 {
		for _, detail := range fault.Details {
			say("  " + term.Safe(typedFor(detail.Path, false, others)+": "+inCommands.Replace(detail.Message)))
		}
	}
	if fault.RetryAfterMS > 0 {
		say("  try again after " + fault.RetryAfter().String())
	}
	if again, ok := errors.AsType[*connectAgain](err); ok && fault.AdminConsentURL == "" {
		say("  " + term.Safe(again.command()) + " gives the link for a person to sign in")
	}
	if fault.AdminConsentURL != "" {
		say("  an administrator consents at " + term.Safe(fault.AdminConsentURL))
	}
	if fault.Code == messages.DeadlineExceeded && (strings.Contains(fault.Message, "deadline passed") ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)) {
		say("  --timeout gives it longer")
	}
}
