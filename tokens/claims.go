package tokens

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A claims challenge says what the next token must prove, for example a second
// factor. Dataverse sends it with a 401, Entra with a refusal. It is kept with the
// grant, sent along with the next refresh, and where that does not help, with the
// person to the sign-in page:
// https://learn.microsoft.com/entra/identity-platform/claims-challenge

// maxClaims bounds a challenge, which goes into a URL.
const maxClaims = 4 << 10

// readClaims takes the challenge as Dataverse sends it, base64 of either alphabet,
// or as Entra does, JSON; "" where it is neither. It comes from outside and is
// passed on to the authority only.
func readClaims(sent string) Secret {
	text := strings.TrimSpace(sent)
	if len(text) > 2*maxClaims {
		return ""
	}
	if !strings.HasPrefix(text, "{") {
		text = strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(text)
		decoded, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			return ""
		}
		text = string(decoded)
	}
	v := jsontext.Value(bytes.TrimSpace([]byte(text)))
	if v.Kind() != '{' || !v.IsValid() || v.Compact() != nil || len(v) > maxClaims {
		return ""
	}
	return Secret(v)
}

// challenge is what the next sign-in must be asked for after this refusal of a
// refresh: Entra's own challenge, else the one that the refresh tried to answer.
func (e *Error) challenge(r record) Secret {
	switch {
	case e.claims != nil:
		return e.claims()
	case r.challenge != "":
		return r.challenge
	}
	return r.claims
}

// note keeps the record's challenge and changes nothing else, not even how long a
// pending record lives. Failing to is no reason to fail: the next refusal brings
// the challenge again.
func (s *Store) note(ctx context.Context, id, incarnation string, claims Secret) {
	for range saveTries {
		r, err := s.load(ctx, id)
		if err != nil || r.Incarnation != incarnation || r.claims == claims {
			return
		}
		if r = r.challenged(claims); r.claims != claims {
			return
		}
		if _, err := s.put(ctx, r.fence(), r, keepTTL); !errors.Is(err, errConflict) {
			return
		}
	}
}
