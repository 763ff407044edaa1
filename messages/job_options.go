package messages

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// EncodingZstd is the one encoding of results other than none.
const EncodingZstd = "zstd"

// JobOptions are members of a job's body that say how it is run. They come beside those of
// the operation's request, which has no members of these names.
type JobOptions struct {
	// Parallel false has the rows read one page after the other.
	Parallel *bool `json:"parallel,omitzero" jsonschema:"false reads the rows one page after the other; default true"`
	// Encoding is how the bodies of the results are compressed: "" or EncodingZstd.
	Encoding string `json:"encoding,omitzero" jsonschema:"zstd compresses the results; default none"`
}

// Members of JobOptions.
const (
	optionParallel = "parallel"
	optionEncoding = "encoding"
)

// SplitJobOptions takes the options out of a job's body. What is left is the operation's
// request, of the same length: blanks stand where the options were, so that an error of the
// request names the bytes of the body that was sent. A body without options is returned as
// it is, also where the operation will refuse it. The error names the option that is wrong,
// or the place where the body is no JSON, and never repeats a value.
func SplitJobOptions(body []byte) (JobOptions, []byte, *Error) {
	var options JobOptions
	part, fault := readable(body)
	if fault != nil {
		return options, nil, fault
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(part), jsontext.AllowDuplicateNames(true))
	if begin, err := decoder.ReadToken(); err != nil || begin.Kind() != '{' {
		return options, body, nil
	}
	rest, seen, kept := body, []string(nil), false
	for {
		from := int(decoder.InputOffset())
		name, value, err := member(decoder)
		switch {
		case err != nil && seen == nil:
			return options, body, nil
		case err != nil && len(part) < len(body):
			return options, nil, Invalid("", "the body has more than %d members and elements", maxMembers)
		case err != nil:
			return options, nil, decodeError(err, body, reflect.TypeFor[JobOptions]())
		case value == nil:
			return options, rest, nil
		case name != optionParallel && name != optionEncoding:
			kept = true
			continue
		case slices.Contains(seen, name):
			return options, nil, Invalid(name, "the member is given twice")
		}
		if fault := options.set(name, value); fault != nil {
			return options, nil, fault
		}
		if seen == nil {
			rest = slices.Clone(body)
		}
		seen = append(seen, name)
		blank(rest, from, int(decoder.InputOffset()), kept)
	}
}

// member reads a member of an object; at the object's end there is no value.
func member(decoder *jsontext.Decoder) (string, jsontext.Value, error) {
	token, err := decoder.ReadToken()
	if err != nil || token.Kind() == '}' {
		return "", nil, err
	}
	name := token.String() // before the next read
	value, err := decoder.ReadValue()
	return name, value, err
}

// blank removes a member, from the end of what is before it to its own end. The comma that
// goes with it is the one before, or the one behind where no member before it is kept.
func blank(body []byte, from, to int, kept bool) {
	for i := from; i < to; i++ {
		body[i] = ' '
	}
	if kept {
		return
	}
	for i := to; i < len(body); i++ {
		switch body[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case ',':
			body[i] = ' '
		}
		return
	}
}

// set reads the value of an option; null is as good as absent.
func (o *JobOptions) set(name string, value jsontext.Value) *Error {
	switch {
	case value.Kind() == 'n':
	case name == optionParallel:
		var parallel bool
		if json.Unmarshal(value, &parallel) != nil {
			return Invalid(name, "must be true or false, not %s", kindName(value.Kind(), nil))
		}
		o.Parallel = &parallel
	default:
		if json.Unmarshal(value, &o.Encoding) != nil || o.Encoding != "" && o.Encoding != EncodingZstd {
			o.Encoding = ""
			return Invalid(name, "must be %q, or be left out", EncodingZstd)
		}
	}
	return nil
}

// JoinJobOptions adds the options to the body of an operation's request; it is the other
// way of [SplitJobOptions].
func JoinJobOptions(body []byte, options JobOptions) ([]byte, *Error) {
	members, err := json.Marshal(options)
	if err != nil {
		return nil, Invalid("", "the job's options cannot be encoded")
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case string(members) == "{}":
		return body, nil
	case len(trimmed) == 0:
		return members, nil
	case trimmed[0] != '{':
		return nil, Invalid("", "the body is not a JSON object")
	}
	joined := slices.Concat([]byte("{"), members[1:len(members)-1])
	if rest := bytes.TrimLeft(trimmed[1:], " \t\r\n"); len(rest) > 0 && rest[0] != '}' {
		joined = append(joined, ',')
	}
	return append(joined, trimmed[1:]...), nil
}
