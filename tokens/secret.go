package tokens

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "redacted"

// Secret is a text that must not be seen: an access or refresh token, a client
// secret, a cookie. Every way of printing, logging or encoding it says
// "redacted"; only [Secret.Reveal] gives the text.
//
// fmt can't call methods on unexported fields, so a struct that keeps a Secret
// in one needs its own Format.
type Secret string

// Reveal returns the text. Call it where the text leaves the process, nowhere else.
func (s Secret) Reveal() string { return string(s) }

// String returns "redacted".
func (s Secret) String() string { return redacted }

// GoString returns "redacted".
func (s Secret) GoString() string { return redacted }

// Format writes "redacted" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "redacted".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns the JSON string "redacted".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "redacted".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
