package messages

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
)

// Schemas are the JSON Schemas (draft 2020-12) of an operation's bodies, for the
// services API's metadata: closed for requests, open for replies. They are as
// strict as the consumer, but for what no schema can express; a test holds one
// against the other and has the list.
type Schemas struct{ Request, Reply string }

// Schemas describes the bodies of an operation of a deployment that serves these
// tables. It fails for an operation that is none of theirs.
func (op Operation) Schemas(tables []Table) (Schemas, error) {
	bodies, table := op.bodies(tables)
	if bodies.request == nil {
		return Schemas{}, fmt.Errorf("there is no operation %q", op)
	}
	request, err := schemaOf(bodies.request, table, tables)
	if err != nil {
		return Schemas{}, err
	}
	reply, err := schemaOf(bodies.reply, table, tables)
	return Schemas{request, reply}, err
}

// bodies are the types of the operation's bodies, and the table that names their members, nil
// where none does. An operation that there is not has none.
func (op Operation) bodies(tables []Table) (bodies, *Table) {
	if fixed, ok := fixedBodies[op]; ok {
		return fixed, nil
	}
	table, verb, found := op.Table(tables)
	if !found {
		return bodies{}, nil
	}
	return tableBodies[verb], &table
}

// JobSchema describes the bodies of jobs of the operation: its requests with the members of
// [JobOptions] besides. It fails for an operation that may not be a job.
func (op Operation) JobSchema(tables []Table) (string, error) {
	schema, err := op.jobSchema(tables)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(schema)
	return string(text), err
}

// jobSchema is JobSchema before it is written.
func (op Operation) jobSchema(tables []Table) (*jsonschema.Schema, error) {
	bodies, table := op.bodies(tables)
	if bodies.request == nil || !op.MayBeJob(tables) {
		return nil, fmt.Errorf("%q may not be a job", op)
	}
	schema, err := schemaFor(bodies.request, table, tables)
	if err != nil {
		return nil, err
	}
	options, err := jsonschema.For[JobOptions](nil)
	if err != nil {
		return nil, err
	}
	tighten(options, requestFacts(reflect.TypeFor[JobOptions](), nil, tables))
	asRead(reflect.TypeFor[JobOptions](), options)
	maps.Copy(schema.Properties, options.Properties)
	if cursor, searches := schema.Properties["cursor"]; searches && bodies.request == reflect.TypeFor[SearchRequest]() {
		cursor.Description, cursor.MaxLength = "a job reads everything from the beginning: leave it out", jsonschema.Ptr(0)
	}
	schema.Title += " as a job"
	return schema, nil
}

// bodies are the types of an operation's bodies.
type bodies struct{ request, reply reflect.Type }

func bodiesOf[Request, Reply any]() bodies {
	return bodies{reflect.TypeFor[Request](), reflect.TypeFor[Reply]()}
}

var fixedBodies = map[Operation]bodies{
	ConnectionsAuthorize: bodiesOf[AuthorizeRequest, AuthorizeReply](),
	ConnectionsComplete:  bodiesOf[CompleteRequest, ConnectionReply](),
	ConnectionsGet:       bodiesOf[ConnectionGetRequest, ConnectionGetReply](),
	ConnectionsList:      bodiesOf[ConnectionsListRequest, ConnectionsListReply](),
	ConnectionsDelete:    bodiesOf[ConnectionRequest, DeletedReply](),
	ConnectionsCheck:     bodiesOf[CheckRequest, ChecksReply](),
	ConnectionsLimits:    bodiesOf[ConnectionRequest, LimitsReply](),
	UsersWhoAmI:          bodiesOf[ConnectionRequest, WhoAmIReply](),
	UsersGet:             bodiesOf[UserGetRequest, UserReply](),
	JobsGet:              bodiesOf[JobRequest, JobReply](),
	JobsList:             bodiesOf[JobsListRequest, JobsListReply](),
	JobsResults:          bodiesOf[JobResultsRequest, JobResultsReply](),
	JobsCancel:           bodiesOf[JobRequest, JobReply](),
	JobsRetry:            bodiesOf[JobRetryRequest, JobReply](),
	JobsDelete:           bodiesOf[JobRequest, DeletedReply](),
}

var tableBodies = map[Verb]bodies{
	VerbSearch:  bodiesOf[SearchRequest, Page](),
	VerbGet:     bodiesOf[GetRequest, RowReply](),
	VerbCount:   bodiesOf[CountRequest, CountReply](),
	VerbFields:  bodiesOf[FieldsRequest, FieldsReply](),
	VerbChanges: bodiesOf[ChangesRequest, ChangesReply](),
}

// ofTable reports whether a body belongs to the operations of tables.
func ofTable(body reflect.Type) bool {
	for _, b := range tableBodies {
		if b.request == body || b.reply == body {
			return true
		}
	}
	return false
}

// schemaOf is the JSON Schema of a body, of one table where there is one; tables
// are those that a request may name.
func schemaOf(body reflect.Type, table *Table, tables []Table) (string, error) {
	schema, err := schemaFor(body, table, tables)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(schema)
	return string(text), err
}

// schemaFor is schemaOf before it is written.
func schemaFor(body reflect.Type, table *Table, tables []Table) (*jsonschema.Schema, error) {
	form := body
	if table != nil {
		form = table.form(body)
	} else if ofTable(body) {
		return nil, fmt.Errorf("the table describes members of %s, and there is none", body)
	}
	connection, err := jsonschema.For[Connection](nil)
	if err != nil {
		return nil, err
	}
	schema, err := jsonschema.ForType(form, &jsonschema.ForOptions{
		TypeSchemas: map[reflect.Type]*jsonschema.Schema{
			reflect.TypeFor[jsontext.Value]():       anyValue(),
			reflect.TypeFor[Where]():                {Ref: "#/$defs/where"},
			reflect.TypeFor[AuthorizedConnection](): {AnyOf: []*jsonschema.Schema{{Type: "string"}, connection}},
		},
	})
	if err != nil {
		return nil, err
	}
	if _, searches := schema.Properties["where"]; searches {
		schema.Properties["where"] = &jsonschema.Schema{Ref: "#/$defs/where"} // ForType adds "null", and nothing but null fits then
		schema.Defs = map[string]*jsonschema.Schema{"where": whereSchema()}
	}
	schema.Title = titleOf(body.Name())
	if reflect.PointerTo(body).Implements(reflect.TypeFor[Request]()) {
		tighten(schema, requestFacts(body, table, tables))
		asRead(body, schema)
	} else {
		if body == reflect.TypeFor[ErrorReply]() { // it always has its error
			schema.Properties["error"].Type, schema.Properties["error"].Types = "object", nil
		}
		open(schema)
		tighten(schema, replyFacts(body))
	}
	if table != nil {
		schema.Title = titleOf(table.Name) + " " + strings.ToLower(schema.Title)
		table.describe(schema)
	}
	return schema, nil
}

// describe puts the table's words into descriptions.
func (t Table) describe(schema *jsonschema.Schema) {
	t.describeWith(schema, strings.NewReplacer("{rows}", t.Name, "{row}", t.One, "{key}", t.Key,
		"{defaults}", strings.Join(t.DefaultFields, ", "), "{fields}", strings.Join(t.FieldNames(), ", ")))
}

func (t Table) describeWith(schema *jsonschema.Schema, words *strings.Replacer) {
	for _, property := range schema.Properties {
		property.Description = words.Replace(property.Description)
		t.describeWith(property, words)
	}
}

// open lets a reply have members that this version does not know: a newer
// crmbridge may add some. A list without items is written as one, and what may be absent is
// absent where there is nothing, never null.
func open(schema *jsonschema.Schema) {
	if schema == nil {
		return
	}
	for name, property := range schema.Properties {
		if !slices.Contains(schema.Required, name) && property.Type == "" && property.Ref == "" && len(property.Types) == 2 {
			property.Types = slices.DeleteFunc(property.Types, func(kind string) bool { return kind == "null" })
			property.Type, property.Types = property.Types[0], nil
		}
	}
	if schema.Items != nil && slices.Contains(schema.Types, "array") {
		schema.Type, schema.Types = "array", nil
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
