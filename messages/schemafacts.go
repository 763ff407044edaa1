package messages

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/google/jsonschema-go/jsonschema"
)

// The facts are what a Go type does not hold of a member: its bounds, its values, its
// form. A name means the same in all bodies, so that the facts go by the member's name.

// A fact adds what is known of a member to its schema.
type fact func(*jsonschema.Schema)

func oneOf(values ...string) fact {
	return func(s *jsonschema.Schema) {
		s.Enum = nil
		for _, v := range values {
			s.Enum = append(s.Enum, v)
		}
	}
}

func from1To(most float64) fact {
	return func(s *jsonschema.Schema) {
		s.Type, s.Minimum, s.Maximum = "integer", jsonschema.Ptr(1.0), jsonschema.Ptr(most)
	}
}

func matching(pattern string) fact { return func(s *jsonschema.Schema) { s.Pattern = pattern } }

func atMost(characters int) fact {
	return func(s *jsonschema.Schema) { s.MaxLength = jsonschema.Ptr(characters) }
}

func upTo(most int) fact { return func(s *jsonschema.Schema) { s.MaxItems = jsonschema.Ptr(most) } }

func fromOneItemTo(most int) fact {
	return func(s *jsonschema.Schema) { s.MinItems, s.MaxItems = jsonschema.Ptr(1), jsonschema.Ptr(most) }
}

// guidPattern is a GUID as requesters may write it.
const guidPattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"

// mostCount is the greatest Count, as far as JSON's numbers tell it from its
// neighbours.
const mostCount = 1 << 63

// requestFacts are those of requests; of one table where there is one, and tables
// are those that a request may name.
func requestFacts(body reflect.Type, table *Table, tables []Table) map[string]fact {
	pageSize := from1To(MaxPageSize)
	switch body {
	case reflect.TypeFor[ConnectionsListRequest]():
		pageSize = from1To(MaxConnectionsPageSize)
	case reflect.TypeFor[JobsListRequest]():
		pageSize = from1To(MaxJobsPageSize)
	}
	facts := map[string]fact{
		"connection": matching("^[A-Za-z0-9_-]{0,64}$"), // "" is as good as absent
		"page_size":  pageSize, "limit": from1To(mostCount), "daily_calls": from1To(MaxDailyCalls),
		"mode": oneOf(ModePage, ModeStream), "grant": oneOf(GrantAuthorizationCode, GrantClientCredentials),
		"prompt": oneOf("login", "consent", "select_account", "none"),
		"fields": fromOneItemTo(MaxFields), "order_by": upTo(MaxOrderBy),
		"user_id": matching("^$|" + guidPattern), "page": from1To(mostCount),
		"job_id": matching("^[A-Za-z0-9_-]{1,64}$"), "new_job_id": matching("^[A-Za-z0-9_-]{0,64}$"),
		"encoding": oneOf("", EncodingZstd), "email": atMost(MaxEmail), "login_hint": atMost(MaxLoginHint),
	}
	if table != nil {
		facts[table.IDMember()] = matching(guidPattern)
	}
	if names := TableNames(tables); len(names) > 0 {
		facts["tables"] = func(s *jsonschema.Schema) {
			fromOneItemTo(MaxFields)(s)
			oneOf(names...)(s.Items)
		}
	}
	return facts
}

// replyFacts are those of replies.
func replyFacts(body reflect.Type) map[string]fact {
	var codes []string
	for _, code := range Codes() {
		codes = append(codes, string(code))
	}
	slices.Sort(codes)
	facts := map[string]fact{
		"code": oneOf(codes...), "status": oneOf(Statuses()...),
		"grant":      oneOf(GrantAuthorizationCode, GrantClientCredentials, ""), // "" of an unreadable record
		"kind":       oneOf(EventKinds()...),
		"phase":      oneOf(SignInPhases()...),
		"type":       oneOf(FieldTypes()...),
		"breaker":    oneOf(BreakerClosed, BreakerOpen, BreakerHalfOpen),
		"blocked_by": oneOf(BlockedByRequests, BlockedByExecutionTime, BlockedByConcurrency),
		"depth":      oneOf(DepthOrganization, DepthDeep, DepthLocal, DepthBasic),
		"count":      func(s *jsonschema.Schema) { s.Minimum = jsonschema.Ptr(0.0) },
		"total":      func(s *jsonschema.Schema) { s.Minimum = jsonschema.Ptr(0.0) },
	}
	if body != reflect.TypeFor[AuthorizeReply]() { // its state is OAuth's
		facts["state"] = func(s *jsonschema.Schema) {
			s.Enum = nil
			for _, state := range JobStates() {
				s.Enum = append(s.Enum, string(state))
			}
		}
	}
	return facts
}

// tighten applies the facts to every member of a schema that has them, and gives each
// member a title. What Dataverse said of an error has a status and a code of its own,
// which are not crmbridge's.
func tighten(schema *jsonschema.Schema, facts map[string]fact) {
	if schema == nil {
		return
	}
	for name, property := range schema.Properties {
		if property.Ref == "" {
			property.Title = titleOf(name)
		}
		add, known := facts[name]
		if known && (len(property.Properties) == 0) {
			add(property)
		}
		if name != "dynamics" {
			tighten(property, facts)
		}
	}
	tighten(schema.Items, facts)
	for _, form := range schema.AnyOf {
		tighten(form, facts)
	}
}

// anyValue is any JSON value, said so that generators of code and documents read it.
func anyValue() *jsonschema.Schema {
	return &jsonschema.Schema{Types: []string{"null", "boolean", "number", "string", "array", "object"}}
}

// titleOf makes words of a name: SearchRequest, page_size.
func titleOf(name string) string {
	var b strings.Builder
	for i, c := range name {
		switch {
		case c == '_':
			b.WriteByte(' ')
		case i > 0 && unicode.IsUpper(c):
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(c))
		case i == 0:
			b.WriteRune(unicode.ToUpper(c))
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
