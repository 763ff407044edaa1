package messages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// decode reads a request body strictly into a struct, whose type is root: see
// [Codec.Decode].
func decode(body []byte, into any, root reflect.Type) *Error {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return nil
	}
	if trimmed[0] != '{' {
		return Invalid("", "the body is not a JSON object")
	}
	part, fault := readable(body)
	if fault != nil {
		return fault
	}
	err := unmarshalStrictly(part, into)
	if err == nil {
		return nil
	}
	if fault := exceeded(err, root); fault != nil {
		return fault
	}
	if len(part) < len(body) && errors.Is(err, io.ErrUnexpectedEOF) {
		return Invalid("", "the body has more than %d members and elements", maxMembers)
	}
	return decodeError(err, part, root)
}

func decodeError(err error, body []byte, root reflect.Type) *Error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		path := Path(known(root, semantic.JSONPointer))
		if errors.Is(err, json.ErrUnknownName) {
			return Invalid(path, "there is no such member%s", suggestMembers(root, semantic.JSONPointer))
		}
		if errors.Is(err, errCount) {
			return Invalid(path, "must be a whole number from 1 on")
		}
		return Invalid(path, "must be %s, not %s", wanted(semantic.GoType),
			kindName(semantic.JSONKind, semantic.GoType))
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		path := Path(known(root, syntactic.JSONPointer))
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			if known(root, syntactic.JSONPointer) != syntactic.JSONPointer {
				return Invalid(path, "has a member twice")
			}
			return Invalid(path, "the member is given twice")
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Invalid("", "the body ends in the middle of its JSON, at byte %d", syntactic.ByteOffset)
		case complete(body):
			return Invalid("", "there is something after the JSON object, at byte %d; a body is one object",
				syntactic.ByteOffset)
		}
		return Invalid("", "the body is not valid JSON in UTF-8, at byte %d", syntactic.ByteOffset)
	}
	return Invalid("", "the body is not valid JSON") // without a cause: its text could repeat a value
}

// maxNesting is where a body is refused as too deep before it is decoded: the path of
// an error in it would grow with the square of its depth. No valid body comes near it:
// see MaxWhereDepth.
const maxNesting = 1000

// complete reports whether body begins with a whole JSON value.
func complete(body []byte) bool {
	_, err := jsontext.NewDecoder(bytes.NewReader(body)).ReadValue()
	return err == nil
}

// Path writes a JSON Pointer the way error details name places: where.and[0].op.
// Names that a requester made up are bounded and made printable, and so is the
// whole.
func Path(pointer jsontext.Pointer) string {
	const longest = 512
	var path strings.Builder
	for token := range pointer.Tokens() {
		if path.Len() > longest {
			path.WriteString("…")
			break
		}
		if isIndex(token) {
			fmt.Fprintf(&path, "[%s]", token)
			continue
		}
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		path.WriteString(Printable(token))
	}
	return path.String()
}

func isIndex(token string) bool {
	n, err := strconv.ParseUint(token, 10, 32)
	return err == nil && strconv.FormatUint(n, 10) == token
}

// Printable bounds a member name that a requester made up, and keeps characters
// that control a terminal or a line out of logs and headers.
func Printable(name string) string {
	const longest = 64
	cut := len(name) > (longest+1)*utf8.UTFMax
	if cut {
		name = name[:(longest+1)*utf8.UTFMax] // the rest is not shown; it may be long
	}
	name = strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > longest || cut {
		name = string(runes[:min(len(runes), longest)]) + "…"
	}
	return name
}

func suggestMembers(root reflect.Type, pointer jsontext.Pointer) string {
	members := memberNames(typeAt(root, pointer.Parent()))
	if len(members) == 0 {
		return ""
	}
	if near := Nearest(pointer.LastToken(), members, 1); len(near) > 0 {
		return fmt.Sprintf("; did you mean %s?", near[0])
	}
	// An id is called after what it is of.
	if i := slices.IndexFunc(members, func(member string) bool { return strings.HasSuffix(member, "_"+pointer.LastToken()) }); i >= 0 {
		return fmt.Sprintf("; did you mean %s?", members[i])
	}
	return "; the members here are " + strings.Join(members, ", ")
}

// typeAt finds the type at pointer below root, nil where it is not known.
func typeAt(root reflect.Type, pointer jsontext.Pointer) reflect.Type {
	at := deref(root)
	for token := range pointer.Tokens() {
		at = child(at, token)
	}
	return at
}

// known cuts pointer off where it enters a part of the body that has no fixed
// form: names in there belong to a value, and values are never repeated.
func known(root reflect.Type, pointer jsontext.Pointer) jsontext.Pointer {
	var path jsontext.Pointer
	at := deref(root)
	for token := range pointer.Tokens() {
		if at == nil || at == rawValue {
			break
		}
		path = path.AppendToken(token)
		at = child(at, token)
	}
	return path
}

var rawValue = reflect.TypeFor[jsontext.Value]()

func child(t reflect.Type, token string) reflect.Type {
	switch {
	case t == nil || t == rawValue:
		return nil
	case t.Kind() == reflect.Slice:
		return deref(t.Elem())
	case t.Kind() == reflect.Struct:
		if field, found := fieldNamed(t, token); found {
			return deref(field.Type)
		}
	}
	return nil
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, field := range reflect.VisibleFields(t) {
		if jsonName(field) == name {
			return field, true
		}
	}
	return reflect.StructField{}, false
}

func memberNames(t reflect.Type) []string {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for _, field := range reflect.VisibleFields(t) {
		if name := jsonName(field); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// jsonName is the member name of a field, "" for embedded and hidden ones.
func jsonName(field reflect.StructField) string {
	if field.Anonymous || !field.IsExported() {
		return ""
	}
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

func wanted(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	switch deref(t).Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "of another type"
	}
}

// kindName is KindName where a value of this type was wanted.
func kindName(kind jsontext.Kind, t reflect.Type) string {
	if kind == '0' && wanted(t) == "a whole number" {
		return "a fraction or a number out of range"
	}
	return KindName(kind)
}

// KindName says for an error what a JSON value is.
func KindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{', '}':
		return "an object"
	case '[', ']':
		return "an array"
	default:
		return "what it is"
	}
}
