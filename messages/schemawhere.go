package messages

import (
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

// asRead has the schema of a request take what the consumer takes for absent: null, and a text
// without characters; and says what a type cannot say of its members together. Texts are as long as
// they may be: bounds in bytes, of which a character takes one or more.
func asRead(body reflect.Type, schema *jsonschema.Schema) {
	for name, property := range schema.Properties {
		if property.Type == "string" || slices.Contains(property.Types, "string") {
			most := maxText
			if name == "cursor" {
				most = MaxCursor
			}
			if property.MaxLength == nil {
				property.MaxLength = jsonschema.Ptr(most)
			}
			if slices.Contains(schema.Required, name) && property.Pattern == "" {
				property.MinLength = jsonschema.Ptr(1)
			}
		}
		if !slices.Contains(schema.Required, name) {
			schema.Properties[name] = orNull(property)
		}
	}
	switch body {
	case reflect.TypeFor[UserGetRequest]():
		oneOfTwo(schema, "user_id", "email")
	case reflect.TypeFor[CompleteRequest]():
		oneOfTwo(schema, "code", "error")
	case reflect.TypeFor[AuthorizeRequest](): // nobody signs in for an application
		schema.If = &jsonschema.Schema{Required: []string{"grant"}, Properties: map[string]*jsonschema.Schema{
			"grant": {Enum: []any{GrantClientCredentials}}}}
		schema.Then = &jsonschema.Schema{Properties: map[string]*jsonschema.Schema{
			"login_hint": {Enum: []any{"", nil}}, "prompt": {Enum: []any{"", nil}}}}
	}
}

// orNull takes null too.
func orNull(schema *jsonschema.Schema) *jsonschema.Schema {
	if schema.Ref != "" {
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{schema, {Type: "null"}}}
	}
	if schema.Type != "" {
		schema.Types, schema.Type = []string{schema.Type, "null"}, ""
	}
	if schema.Enum != nil {
		if slices.Contains(schema.Types, "string") && !slices.Contains(schema.Enum, any("")) {
			schema.Enum = append(schema.Enum, "")
		}
		schema.Enum = append(schema.Enum, nil)
	}
	return schema
}

// oneOfTwo wants one of two texts, and not both. It is said by a condition, which generators of code
// pass over: a union of types would be of no use to who writes a request.
func oneOfTwo(schema *jsonschema.Schema, one, other string) {
	given := func(member string) *jsonschema.Schema {
		return &jsonschema.Schema{Required: []string{member}, Properties: map[string]*jsonschema.Schema{
			member: {Type: "string", MinLength: jsonschema.Ptr(1)}}}
	}
	schema.If = given(one)
	schema.Then = &jsonschema.Schema{Properties: map[string]*jsonschema.Schema{other: {Enum: []any{"", nil}}}}
	schema.Else = given(other)
}

// whereSchema is written out because the type refers to itself.
func whereSchema() *jsonschema.Schema {
	nodes := func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: "array", MinItems: jsonschema.Ptr(1), MaxItems: jsonschema.Ptr(MaxWhereLeaves),
			Items: &jsonschema.Schema{Ref: "#/$defs/where"}}
	}
	object := func(required []string, properties map[string]*jsonschema.Schema) *jsonschema.Schema {
		for _, other := range []string{"and", "or", "not", "field", "op", "value"} { // null is as good as absent
			if properties[other] == nil {
				properties[other] = &jsonschema.Schema{Type: "null"}
			}
		}
		return &jsonschema.Schema{Type: "object", Required: required, Properties: properties,
			AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
	}
	ops := make([]any, 0, len(Ops()))
	for _, op := range Ops() {
		ops = append(ops, string(op))
	}
	leaf := object([]string{"field", "op"}, map[string]*jsonschema.Schema{
		"field": {Type: "string", MinLength: jsonschema.Ptr(1), MaxLength: jsonschema.Ptr(maxText)},
		"op":    {Type: "string", Enum: ops}, "value": anyValue()})
	leaf.If, leaf.Then, leaf.Else = valuesByOp()
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		object([]string{"and"}, map[string]*jsonschema.Schema{"and": nodes()}),
		object([]string{"or"}, map[string]*jsonschema.Schema{"or": nodes()}),
		object([]string{"not"}, map[string]*jsonschema.Schema{"not": {Ref: "#/$defs/where"}}),
		leaf,
	}}
}

// valuesByOp says by conditions which values go with an operator, whatever the type of the column;
// the last operators are what is left.
func valuesByOp() (condition, then, otherwise *jsonschema.Schema) {
	type way struct {
		takes Arity
		of    valueKinds
		lists bool // eq compares several choices with a list
	}
	var ways []way
	ops := map[way][]any{}
	for _, known := range operators {
		w := way{known.takes, known.of, known.op == Eq}
		if ops[w] == nil {
			ways = append(ways, w)
		}
		ops[w] = append(ops[w], string(known.op))
	}
	for _, w := range slices.Backward(ways) {
		then = &jsonschema.Schema{Required: []string{"value"}, Properties: map[string]*jsonschema.Schema{
			"value": w.takes.values(w.of, w.lists)}}
		if w.takes == NoValue {
			then.Required = nil
		}
		if otherwise == nil { // the last of all
			otherwise = then
			continue
		}
		condition = &jsonschema.Schema{Properties: map[string]*jsonschema.Schema{"op": {Enum: ops[w]}}}
		if w != ways[0] {
			otherwise = &jsonschema.Schema{If: condition, Then: then, Else: otherwise}
		}
	}
	return condition, then, otherwise
}

// values is the schema of what an operator takes.
func (a Arity) values(of valueKinds, lists bool) *jsonschema.Schema {
	one := func(kinds valueKinds) *jsonschema.Schema {
		return &jsonschema.Schema{Types: []string{"string", "number", "boolean"}[:kinds], MinLength: jsonschema.Ptr(1)}
	}
	switch a {
	case NoValue:
		return &jsonschema.Schema{Type: "null"}
	case TwoValues:
		return &jsonschema.Schema{Type: "array", Items: one(of), MinItems: jsonschema.Ptr(2), MaxItems: jsonschema.Ptr(2)}
	case ValueList:
		return &jsonschema.Schema{Type: "array", Items: one(of), MinItems: jsonschema.Ptr(1),
			MaxItems: jsonschema.Ptr(MaxWhereValues)}
	}
	schema := one(of)
	if lists {
		schema.Types = append(slices.Clone(schema.Types), "array")
		schema.Items, schema.MinItems, schema.MaxItems = one(ordered), jsonschema.Ptr(1), jsonschema.Ptr(MaxWhereValues)
	}
	return schema
}
