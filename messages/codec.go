package messages

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
)

// A Codec reads and writes one type of body as it is on the wire. Make it once and
// keep it; it is safe for concurrent use.
//
// The members of some bodies are named by a table: contacts.get takes contact_id
// and answers with contact. A Codec of such a body holds a second struct type,
// which differs from T in its tags alone. Decoding into it gives every part of
// decoding the right names at once: unknown members, suggestions, paths of errors
// and the JSON Schema.
type Codec[T any] struct {
	form  reflect.Type // T with the table's names
	table *Table       // nil where no table names anything
}

// NewCodec makes the Codec of a body that is the same for every table. It panics
// where the table names members of T: such a body takes [CodecFor].
func NewCodec[T any]() Codec[T] {
	form := reflect.TypeFor[T]()
	if namedByTable(form) {
		panic(fmt.Sprintf("messages: the table names members of %s; use CodecFor", form))
	}
	return Codec[T]{form: form}
}

// CodecFor makes the Codec of a body for one table.
func CodecFor[T any](table Table) Codec[T] {
	return Codec[T]{form: table.form(reflect.TypeFor[T]()), table: &table}
}

// Decode reads a request body strictly. An empty body reads as {}, so that an
// operation without members can be asked with an empty message. The error is an
// invalid_request that names the place and never repeats a value.
func (c Codec[T]) Decode(body []byte) (T, *Error) { return c.scan(body, false) }

// DecodeShared is Decode for who leaves body unchanged for as long as the request is used:
// values of a filter may be parts of it.
func (c Codec[T]) DecodeShared(body []byte) (T, *Error) { return c.scan(body, true) }

// DecodeIn is DecodeShared into a request and memory of the caller's, which are empty. The
// memory is the request's for as long as that is used. With an error the request is empty.
func (c Codec[T]) DecodeIn(body []byte, in *T, memory *SearchMemory) (fault *Error) {
	if search, ok := any(in).(*SearchRequest); ok && scanSearch(body, search, true, memory) {
		return nil
	}
	*in, fault = c.decode(body)
	return fault
}

func (c Codec[T]) scan(body []byte, shared bool) (T, *Error) {
	var in T
	if search, ok := any(&in).(*SearchRequest); ok && scanSearch(body, search, shared, nil) {
		return in, nil
	}
	return c.decode(body)
}

// decode is Decode of a body of any form.
func (c Codec[T]) decode(body []byte) (T, *Error) {
	into := new(T)
	if fault := decode(body, c.Wire(into), c.form); fault != nil {
		var none T
		return none, fault
	}
	return *into, nil
}

// Encode writes a body.
func (c Codec[T]) Encode(body *T) ([]byte, error) {
	return json.Marshal(c.Wire(body))
}

// Read reads a reply leniently: a newer crmbridge may have added members.
func (c Codec[T]) Read(body []byte, into *T) error {
	return json.Unmarshal(body, c.Wire(into))
}

// Schema is the JSON Schema of the body: see [Operation.Schemas].
func (c Codec[T]) Schema() (string, error) {
	return schemaOf(reflect.TypeFor[T](), c.table, nil)
}

// Wire is the same body under the names that it has on the wire, for an encoder of the
// caller's. It points to the same memory: Go converts between struct types that
// differ in their tags alone, without a copy.
func (c Codec[T]) Wire(body *T) any {
	if c.form == reflect.TypeFor[T]() {
		return body
	}
	return reflect.ValueOf(body).Convert(reflect.PointerTo(c.form)).Interface()
}

// Decode is [Codec.Decode] of a body that no table names.
func Decode[T any](body []byte) (T, *Error) { return NewCodec[T]().Decode(body) }

// namedBy is the tag of members that the table names.
const namedBy = "table"

func namedByTable(body reflect.Type) bool {
	if body.Kind() != reflect.Struct {
		return false
	}
	for i := range body.NumField() {
		if _, named := body.Field(i).Tag.Lookup(namedBy); named {
			return true
		}
	}
	return false
}

// form is the struct type body with the members named by the table.
func (t Table) form(body reflect.Type) reflect.Type {
	if !namedByTable(body) {
		return body
	}
	fields := make([]reflect.StructField, 0, body.NumField())
	for i := range body.NumField() {
		field := body.Field(i)
		field.Offset, field.Index = 0, nil // StructOf sets them
		if part, named := field.Tag.Lookup(namedBy); named {
			_, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			name := strings.TrimSuffix(t.member(part)+","+options, ",")
			field.Tag = reflect.StructTag(fmt.Sprintf("json:%q jsonschema:%q", name, field.Tag.Get("jsonschema")))
		}
		fields = append(fields, field)
	}
	return reflect.StructOf(fields)
}

// member is the name that the table gives to a part of a body.
func (t Table) member(part string) string {
	switch part {
	case "rows":
		return t.Name
	case "row":
		return t.One
	case "id":
		return t.IDMember()
	}
	panic("messages: no table names " + part) // a slip in a tag, which every test meets
}
