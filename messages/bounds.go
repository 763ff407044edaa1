package messages

import (
	"bytes"
	"errors"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a request body that are checked while it is read: a body may be as long as
// the server's max_payload, and to decode it whole costs as much as many requests.
const (
	// maxMembers is more members and elements than a valid body can have: those of a
	// filter with MaxWhereLeaves and MaxWhereValues, of fields and of order_by.
	maxMembers = 4000
	// maxNodes is as many nodes as a filter with MaxWhereLeaves can have.
	maxNodes = MaxWhereLeaves * MaxWhereDepth
	// maxText bounds a text in bytes, as it is written: the longest that an operation
	// takes are Microsoft's, with 8 KiB.
	maxText = 64 << 10
	// maxName bounds the name of a member in bytes; none that is known has 32.
	maxName = 1 << 10
)

// A boundError is a bound that a body exceeds.
type boundError struct {
	fault *Error // without a path
	leaf  bool   // the place is the node around the one where it was found
}

func (e *boundError) Error() string { return e.fault.Message }

func exceeds(format string, args ...any) *boundError {
	return &boundError{fault: Errorf(InvalidRequest, format, args...)}
}

// The errors of bounds that are checked for a tree made in Go too.
func tooManyLeaves() *boundError {
	return exceeds("the filter has more than %d leaves", MaxWhereLeaves)
}
func tooManyValues() *boundError {
	return exceeds("the filter has more than %d values in all", MaxWhereValues)
}
func tooDeep() *boundError {
	return exceeds("the filter is nested deeper than %d levels", MaxWhereDepth)
}

// whileReading checks one body's bounds as its parts come, before each is decoded.
type whileReading struct {
	nodes, leaves, values int

	options json.Options // that call it, made once
}

// readers are kept between bodies: to make their options takes more memory than
// most bodies.
var readers = sync.Pool{New: func() any {
	w := new(whileReading)
	w.options = json.JoinOptions(json.RejectUnknownMembers(true), json.WithUnmarshalers(w.unmarshalers()))
	return w
}}

// unmarshalStrictly reads a body into a struct within the bounds.
func unmarshalStrictly(body []byte, into any) error {
	w := readers.Get().(*whileReading)
	defer readers.Put(w)
	w.nodes, w.leaves, w.values = 0, 0, 0
	return json.Unmarshal(body, into, w.options)
}

// unmarshalers look at the next value and leave the decoding to the package.
func (w *whileReading) unmarshalers() *json.Unmarshalers {
	return json.JoinUnmarshalers(
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ *Where) error { return w.node(d) }),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ *Op) error { return w.leaf() }),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ *jsontext.Value) error { return w.value(d) }),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ *[]string) error { return names(d) }),
		json.UnmarshalFromFunc(func(d *jsontext.Decoder, _ *string) error { return text(d) }),
	)
}

var goOn = errors.ErrUnsupported // means to the json package: decode it as usual

func (w *whileReading) node(d *jsontext.Decoder) error {
	// A node lies at least one level below the one around it; and and or add theirs.
	if d.StackDepth() > 2*MaxWhereDepth {
		return tooDeep()
	}
	if w.nodes++; w.nodes > maxNodes {
		return exceeds("the filter has more than %d nodes", maxNodes)
	}
	return goOn
}

func (w *whileReading) leaf() error {
	if w.leaves++; w.leaves > MaxWhereLeaves {
		err := tooManyLeaves()
		err.leaf = true
		return err
	}
	return goOn
}

func (w *whileReading) value(d *jsontext.Decoder) error {
	w.values += elements(d.UnreadBuffer(), MaxWhereValues-w.values)
	if w.values > MaxWhereValues {
		return tooManyValues()
	}
	return goOn
}

func names(d *jsontext.Decoder) error {
	most := MaxFields
	if d.StackPointer().LastToken() == "order_by" {
		most = MaxOrderBy
	}
	if elements(d.UnreadBuffer(), most) > most {
		return exceeds("must not be more than %d", most)
	}
	return goOn
}

func text(d *jsontext.Decoder) error {
	most := maxText
	if d.StackPointer().LastToken() == "cursor" {
		most = MaxCursor
	}
	rest := unread(d.UnreadBuffer())
	if len(rest) > most && rest[0] == '"' && stringEnd(rest[:most+2]) == 0 {
		return exceeds("is longer than %d bytes", most)
	}
	return goOn
}

// unread is the next value in a decoder's buffer, without the separators before it.
func unread(rest []byte) []byte {
	for i, c := range rest {
		switch c {
		case ' ', '\t', '\r', '\n', ':', ',':
		default:
			return rest[i:]
		}
	}
	return nil
}

// stringEnd is where the string at the beginning of body ends, 0 where it does not.
func stringEnd(body []byte) int {
	for end := 1; end < len(body); {
		quote := bytes.IndexByte(body[end:], '"')
		if quote < 0 {
			return 0
		}
		from := end
		end += quote + 1
		escapes := 0
		for i := end - 2; i >= from && body[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
	}
	return 0
}

// elements counts the values of the array that comes next, or those in it; it counts 1
// for another value, 0 for null, and no further than to most and one more.
func elements(rest []byte, most int) (n int) {
	rest = unread(rest)
	if len(rest) == 0 || rest[0] == 'n' {
		return 0
	}
	if rest[0] != '[' && rest[0] != '{' {
		return 1
	}
	depth, empty := 0, true
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case '[', '{':
			if depth++; depth == 1 {
				continue
			}
		case ']', '}':
			if depth--; depth == 0 {
				if empty {
					return 0
				}
				return n + 1
			}
		case ',':
			if n++; n > most {
				return n
			}
		case '"':
			end := stringEnd(rest[i:])
			if end == 0 {
				return n + 1
			}
			i += end - 1
		}
		empty = false
	}
	return n + 1
}

// readable is how much of a body is decoded: all of it, or as far as to more members
// and elements than a valid one has. Its error is for a body that is nested deeper than
// maxNesting or has a name longer than maxName: the place of a fault in them is costly.
func readable(body []byte) ([]byte, *Error) {
	depth, members := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			end := stringEnd(body[i:])
			if end == 0 {
				return body, nil
			}
			i += end - 1
			if end > maxName && bytes.HasPrefix(bytes.TrimLeft(body[i+1:], " \t\r\n"), []byte(":")) {
				return nil, Invalid("", "the body has a member whose name is longer than %d bytes", maxName)
			}
		case '{', '[':
			if depth++; depth > maxNesting {
				return nil, Invalid("", "the body is nested deeper than %d levels", maxNesting)
			}
		case '}', ']':
			depth--
		case ',':
			if members++; members > maxMembers {
				return body[:i], nil
			}
		}
	}
	return body, nil
}

// exceeded is the error for a body that is beyond a bound, nil for another fault.
func exceeded(err error, root reflect.Type) *Error {
	var bound *boundError
	var semantic *json.SemanticError
	if !errors.As(err, &bound) || !errors.As(err, &semantic) {
		return nil
	}
	pointer := semantic.JSONPointer
	if bound.leaf {
		pointer = pointer.Parent()
	}
	return Invalid(Path(known(root, pointer)), "%s", bound.fault.Message)
}
