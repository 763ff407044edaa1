package term

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// JSON prints a value indented, members in the order of their type, numbers
// with the digits they came with. Characters that Safe would take out are
// escaped: the same JSON, harmless on a terminal.
func JSON(to io.Writer, value any) error {
	encoded, err := json.Marshal(value, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = to.Write(append(escaped(encoded, true), '\n'))
	return err
}

// JSONLine is JSON on one line.
func JSONLine(to io.Writer, value any) error {
	encoded, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = to.Write(append(escaped(encoded, false), '\n'))
	return err
}

// OneLine is a JSON text as one line with its end, its members as they are. Characters that [Safe]
// would take out are escaped: the same JSON, harmless on a terminal. Error: it is no JSON.
func OneLine(text []byte) ([]byte, error) {
	value := jsontext.Value(bytes.Clone(text))
	if err := value.Compact(); err != nil {
		return nil, err
	}
	return append(escaped(value, false), '\n'), nil
}

// escaped is JSON whose strings hold nothing that acts on a terminal. lines says that line ends
// stand between members, where they are indentation.
func escaped(encoded []byte, lines bool) []byte {
	safe := make([]byte, 0, len(encoded)+1)
	for _, r := range string(encoded) {
		if (r != '\n' || !lines) && (breaks(r) || turns(r) || conceals(r)) {
			for _, unit := range utf16.AppendRune(nil, r) {
				safe = fmt.Appendf(safe, `\u%04x`, unit)
			}
			continue
		}
		safe = utf8.AppendRune(safe, r)
	}
	return safe
}
