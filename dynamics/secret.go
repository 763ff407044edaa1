package dynamics

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "redacted"

// Secret holds an access token so that no formatter, logger or encoder can
// print it: every text form of a Secret is the word "redacted". The text lies
// behind a pointer, so that printers which walk unexported fields show an
// address at most. The zero Secret is empty. Safe for concurrent use.
type Secret struct{ text *string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// SecretAt wraps the text at a place that somebody else keeps, and allocates nothing. What
// is there must not be changed any more; nil is the zero Secret.
func SecretAt(text *string) Secret { return Secret{text: text} }

// Reveal returns the text. Its result belongs in an Authorization header and
// nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "redacted".
func (s Secret) String() string { return redacted }

// GoString returns "redacted".
func (s Secret) GoString() string { return redacted }

// Format prints "redacted" for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "redacted".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "redacted" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "redacted".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
