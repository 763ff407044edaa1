package messages

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// sharedBodies are the parts of bodies that are a schema of their own in the document, so that
// generated code has one type for each: the inner ones first.
var sharedBodies = []reflect.Type{
	reflect.TypeFor[Detail](), reflect.TypeFor[DynamicsError](), reflect.TypeFor[Error](), reflect.TypeFor[Role](),
	reflect.TypeFor[User](), reflect.TypeFor[Field](), reflect.TypeFor[PermissionCheck](), reflect.TypeFor[Connection](),
	reflect.TypeFor[Job](),
}

// A sharedSchema is one that others refer to.
type sharedSchema struct {
	name string
	form string // as bareForm writes it
}

// componentName is the name of a body's schema: AccountsSearchRequest for one of a table.
func componentName(body reflect.Type, table *Table) string {
	if table == nil {
		return body.Name()
	}
	return strings.ReplaceAll(titleWords(table.Name), " ", "") + body.Name()
}

// titleWords begins each word of a name with a capital: SalesOrders of sales_orders.
func titleWords(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(strings.ToUpper(word[:min(1, len(word))]) + word[min(1, len(word)):])
	}
	return b.String()
}

// share makes the schemas that others refer to.
func (d *asyncAPI) share() error {
	where, err := plain(whereSchema())
	if err != nil {
		return err
	}
	d.put("Where", where)
	d.shareRows()
	for _, body := range append(sharedBodies, reflect.TypeFor[ErrorReply]()) {
		schema, err := schemaFor(body, nil, d.tables)
		if err != nil {
			return err
		}
		if body == reflect.TypeFor[DynamicsError]() {
			if schema, err = jsonschema.ForType(body, nil); err != nil { // its code and status are Dataverse's
				return err
			}
			schema.Title = titleOf(body.Name())
			open(schema)
			tighten(schema, nil)
		}
		form, err := plain(schema)
		if err != nil {
			return err
		}
		name := componentName(body, nil)
		d.schemas[name] = d.rewritten(form, true)
		d.shared = append(d.shared, sharedSchema{name, bareForm(form)})
	}
	return nil
}

// body adds the schema of a body and returns the reference to it.
func (d *asyncAPI) body(body reflect.Type, table *Table) (object, error) {
	name := componentName(body, table)
	if _, there := d.schemas[name]; there {
		return ref("components", "schemas", name), nil
	}
	schema, err := schemaFor(body, table, d.tables)
	if err != nil {
		return nil, err
	}
	form, err := plain(schema)
	if err != nil {
		return nil, err
	}
	if table != nil {
		d.withRows(form, table)
	}
	return d.put(name, form), nil
}

func (d *asyncAPI) put(name string, form object) object {
	if _, titled := form["title"]; !titled {
		form["title"] = titleOf(name)
	}
	d.schemas[name] = d.rewritten(form, true)
	return ref("components", "schemas", name)
}

// plain is a schema as JSON.
func plain(schema *jsonschema.Schema) (object, error) {
	text, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var form object
	err = json.Unmarshal(text, &form)
	return form, err
}

// rewritten has what other schemas have too replaced by references to them.
func (d *asyncAPI) rewritten(value any, root bool) any {
	switch value := value.(type) {
	case float64:
		if value == mostCount { // the float64 is one more than an int64 holds
			return json.Number(strconv.FormatInt(math.MaxInt64, 10))
		}
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = d.rewritten(item, false)
		}
		return out
	case object:
		if !root {
			if reference, nullable := d.sharedAs(value); reference != nil && nullable {
				return object{"title": value["title"], "oneOf": []any{reference, object{"type": "null"}}}
			} else if reference != nil {
				return reference
			}
		}
		out := object{}
		for name, member := range value {
			switch {
			case name == "$defs":
			case name == "$ref" && member == "#/$defs/where":
				out[name] = "#/components/schemas/Where"
			default:
				out[name] = d.rewritten(member, false)
			}
		}
		return out
	}
	return value
}

// sharedAs finds the schema that a part of another one is, apart from its title, its description
// and whether it may be null.
func (d *asyncAPI) sharedAs(part object) (reference object, nullable bool) {
	if _, has := part["properties"]; !has {
		return nil, false
	}
	form := bareForm(part)
	for _, shared := range d.shared {
		if shared.form == form {
			_, nullable := part["type"].([]any)
			return ref("components", "schemas", shared.name), nullable
		}
	}
	return nil, false
}

// bareForm writes an object's schema without what depends on the place where it stands.
func bareForm(schema object) string {
	bare := object{}
	for name, member := range schema {
		switch name {
		case "title", "description", "type":
		default:
			bare[name] = member
		}
	}
	text, err := json.Marshal(bare)
	if err != nil {
		panic(err) // it was read from JSON
	}
	return string(text)
}

// prune removes the schemas that nothing of the document refers to.
func (d *asyncAPI) prune() {
	used := map[string]bool{}
	var mark func(value any)
	mark = func(value any) {
		switch value := value.(type) {
		case object:
			if to, ok := value["$ref"].(string); ok {
				name, ofSchemas := strings.CutPrefix(to, "#/components/schemas/")
				if ofSchemas && !used[name] {
					used[name] = true
					mark(d.schemas[name])
				}
			}
			for _, member := range value {
				mark(member)
			}
		case []any:
			for _, item := range value {
				mark(item)
			}
		}
	}
	mark(d.messages)
	for name := range d.schemas {
		if !used[name] {
			delete(d.schemas, name)
		}
	}
}
