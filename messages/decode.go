package messages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Decode reads a request body strictly into a T. An empty body reads as {}, so
// that an operation without members can be asked with an empty message. The
// error is an invalid_request that names the place and never repeats a value.
func Decode[T any](body []byte) (T, *Error) {
	var into T
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return into, nil
	}
	if trimmed[0] != '{' {
		return into, Invalid("", "the body is not a JSON object")
	}
	if err := json.Unmarshal(body, &into, json.RejectUnknownMembers(true)); err != nil {
		return into, decodeError(err, reflect.TypeFor[T]())
	}
	return into, nil
}

func decodeError(err error, root reflect.Type) *Error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		path := Path(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return Invalid(path, "there is no such member%s", suggestMembers(root, semantic.JSONPointer))
		}
		return Invalid(path, "must be %s, not %s", wanted(semantic.GoType), kindName(semantic.JSONKind))
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		path := Path(syntactic.JSONPointer)
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return Invalid(path, "the member is given twice")
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Invalid("", "the body ends in the middle of its JSON, at byte %d", syntactic.ByteOffset)
		}
		return Invalid("", "the body is not valid JSON in UTF-8, at byte %d", syntactic.ByteOffset)
	}
	return Invalid("", "the body is not valid JSON").Because(err)
}

// Path writes a JSON Pointer the way error details name places: where.and[0].op.
func Path(pointer jsontext.Pointer) string {
	var path strings.Builder
	for token := range pointer.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 32); err == nil {
			fmt.Fprintf(&path, "[%s]", token)
			continue
		}
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		path.WriteString(printable(token))
	}
	return path.String()
}

// printable bounds a member name that a requester made up, and keeps control
// characters out of logs and headers.
func printable(name string) string {
	const longest = 64
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > longest {
		name = string(runes[:longest]) + "…"
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
	return "; the members here are " + strings.Join(members, ", ")
}

// typeAt finds the struct type that stands at pointer below root.
func typeAt(root reflect.Type, pointer jsontext.Pointer) reflect.Type {
	at := root
	for token := range pointer.Tokens() {
		at = deref(at)
		switch at.Kind() {
		case reflect.Slice:
			at = at.Elem()
		case reflect.Struct:
			field, found := fieldNamed(at, token)
			if !found {
				return nil
			}
			at = field.Type
		default:
			return nil
		}
	}
	return deref(at)
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

func kindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a string"
	case '0':
		return "such a number"
	case '{', '}':
		return "an object"
	case '[', ']':
		return "an array"
	default:
		return "what it is"
	}
}
