package messages_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// openTexts are the members of bodies and headers whose text is anything: what somebody else says, a name, an id, a
// time, an address. Whatever else is a text is one of a closed set, or of a form, and its schema says so.
var openTexts = strings.Fields(`
	access_token_expires_at admin_consent_url at authorization_url blocked_until business_unit_id code connect_url
	connection created_at cursor deleted detail digest email entity environment_url error error_description event_id expires_at
	field fields finished_at how_to_fix id incarnation label last_error logical_name login_hint message
	missing_privilege name next_cursor operation order_by organization_id organization_name owner path queued_at
	refreshed_at request_id retry_at retry_of scopes started_at state tables tenant tenant_id title user_full_name user_id
	user_name value via Crm-Checkpoint Crm-Incarnation Crm-Operation Crm-Retry-Of Nats-Msg-Id Nats-Service-Error
	traceparent tracestate`)

// A text that is new is an enumeration, has a form, or is named above by who thought of it.
func TestTextsAreClosedOrKnownToBeOpen(t *testing.T) {
	_, doc := asyncDocument(t, messages.Tables())
	open := map[string]string{}
	for of, schema := range member(t, doc, "components", "schemas").(map[string]any) {
		if !strings.HasSuffix(of, "Row") { // rows are the environment's
			openIn(schema, of, of, open)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(open)) {
		if !slices.Contains(openTexts, name) {
			t.Errorf("%s (of %s) is any text: say its values in schemafacts.go, or that there is no set of them here",
				name, open[name])
		}
	}
	for _, name := range openTexts {
		if open[name] == "" {
			t.Errorf("%s is no text that is open", name)
		}
	}
}

// openIn collects the members of a schema that take any text, each with a schema that has it.
func openIn(value any, name, of string, open map[string]string) {
	schema, ok := value.(map[string]any)
	if !ok {
		return
	}
	types, _ := schema["type"].([]any)
	bound := false
	for _, word := range []string{"enum", "const", "pattern", "format"} {
		bound = bound || schema[word] != nil
	}
	if (schema["type"] == "string" || slices.Contains(types, any("string"))) && !bound {
		open[name] = of
	}
	for member, inner := range asObject(schema["properties"]) {
		openIn(inner, member, of, open)
	}
	openIn(schema["items"], name, of, open)
	openIn(schema["additionalProperties"], name, of, open)
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		forms, _ := schema[word].([]any)
		for _, form := range forms {
			openIn(form, name, of, open)
		}
	}
}

func asObject(value any) map[string]any {
	object, _ := value.(map[string]any)
	return object
}
