package dynamics

import (
	"regexp"
	"testing"
)

// The form of a moment is RFC 3339's, as an expression says it.
func FuzzFormOfAMoment(f *testing.F) {
	form := regexp.MustCompile(`^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	for _, text := range []string{"", "2026-01-31T12:00:00Z", "2026-01-31t12:00:00z", "2026-01-31T12:00:00", "2026-01-31T12:00:00.Z",
		"2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00,5Z", "2026-01-31T12:00:00+23:59", "2026-01-31T12:00:00-24:00",
		"2026-01-31T12:00:00+01:60", "2026-01-31T12:00:00+1:00", "2026-01-31 12:00:00Z", "2026-01-31T12:00:00Z\n", "2026-1-31T12:00:00Z",
		"2026-01-31T12:00:00.5+01:00", "2026-01-31T12:00:00.5", "2026-01-31T12:00:00*", "2026-01-31T12:00:00Zz", "2026-01-31\x1412:00:00Z",
		"2026-01-31T12:00:00+29:00", "2026-01-31T12:00:00+19:59", "2026-01-31T12:00:00\x1a", "2026-01-31T12.00:00Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := rfc3339(text), form.MatchString(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	})
}
