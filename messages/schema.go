package messages

import (
	"encoding/json"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
)

// Schema is the JSON Schema (draft 2020-12) of a body type, for the services
// API's metadata: closed for requests, open for replies. It is as strict as the
// consumer, but for what no schema can say; a test holds one against the other and
// has the list.
func Schema(body reflect.Type) (string, error) {
	connection, err := jsonschema.For[Connection](nil)
	if err != nil {
		return "", err
	}
	schema, err := jsonschema.ForType(body, &jsonschema.ForOptions{
		TypeSchemas: map[reflect.Type]*jsonschema.Schema{
			reflect.TypeFor[jsontext.Value]():       anyValue(),
			reflect.TypeFor[Where]():                {Ref: "#/$defs/where"},
			reflect.TypeFor[AuthorizedConnection](): {AnyOf: []*jsonschema.Schema{{Type: "string"}, connection}},
		},
	})
	if err != nil {
		return "", err
	}
	if _, searches := schema.Properties["where"]; searches {
		schema.Properties["where"] = &jsonschema.Schema{Ref: "#/$defs/where"} // ForType adds "null", and nothing but null fits then
		schema.Defs = map[string]*jsonschema.Schema{"where": whereSchema()}
	}
	schema.Title = titleOf(body.Name())
	facts := replyFacts()
	if reflect.PointerTo(body).Implements(reflect.TypeFor[Request]()) {
		facts = requestFacts(body)
	} else {
		open(schema)
	}
	tighten(schema, facts)
	text, err := json.Marshal(schema)
	return string(text), err
}

// open lets a reply have members that this version does not know: a newer
// crmbridge may add some.
func open(schema *jsonschema.Schema) {
	if schema == nil {
		return
	}
	if schema.Properties != nil {
		schema.AdditionalProperties = nil
	}
	for _, property := range schema.Properties {
		open(property)
	}
	open(schema.Items)
	for _, form := range schema.AnyOf {
		open(form)
	}
}

// whereSchema is written out because the type refers to itself.
func whereSchema() *jsonschema.Schema {
	nodes := func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: "array", MinItems: jsonschema.Ptr(1), Items: &jsonschema.Schema{Ref: "#/$defs/where"}}
	}
	ops := make([]any, 0, len(Ops()))
	for _, op := range Ops() {
		ops = append(ops, string(op))
	}
	object := func(required []string, properties map[string]*jsonschema.Schema) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "object", Required: required, Properties: properties,
			AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
	}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		object([]string{"and"}, map[string]*jsonschema.Schema{"and": nodes()}),
		object([]string{"or"}, map[string]*jsonschema.Schema{"or": nodes()}),
		object([]string{"not"}, map[string]*jsonschema.Schema{"not": {Ref: "#/$defs/where"}}),
		object([]string{"field", "op"}, map[string]*jsonschema.Schema{
			"field": {Type: "string", MinLength: jsonschema.Ptr(1)}, "op": {Type: "string", Enum: ops}, "value": anyValue()}),
	}}
}
