package dynamics

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"sync"
)

// An idSearch tells most ids that hold no piece of a token without the token's sieve, which
// costs as much as ten such searches: it goes through the token's forms, and looks up in a
// table of the id's chunks. Like a sieve it never passes an echo.
type idSearch struct {
	bits   [64]uint64
	chunks []uint64
	coded  []byte
	form   []byte
}

var idSearches = sync.Pool{New: func() any { return new(idSearch) }}

// idMayHold reports whether a squeezed id can hold a piece of a form of the token.
func idMayHold(id []byte, token string) bool {
	s := idSearches.Get().(*idSearch)
	defer s.release()
	s.add(id)
	slices.Reverse(id) // instead of all forms
	s.add(id)
	slices.Reverse(id)
	s.coded = append(s.coded[:0], token...)
	for range 2 {
		plain := s.coded[:len(token)]
		if s.squeezed(plain) {
			return true
		}
		s.coded = hex.AppendEncode(s.coded, plain)
		if s.squeezed(s.coded[len(token):]) {
			return true
		}
		for offset := range min(3, len(token)) {
			s.coded = base64.RawStdEncoding.AppendEncode(s.coded[:len(token)], plain[offset:])
			if s.squeezed(s.coded[len(token):]) {
				return true
			}
		}
		s.coded = s.coded[:len(token)]
		slices.Reverse(s.coded)
	}
	return false
}

// release leaves nothing of the token.
func (s *idSearch) release() {
	clear(s.coded[:cap(s.coded)])
	clear(s.form[:cap(s.form)])
	s.chunks = s.chunks[:0]
	clear(s.bits[:])
	idSearches.Put(s)
}

func idBit(chunk uint64) (word int, bit uint64) {
	h := chunk * 0x9E3779B97F4A7C15 >> 52
	return int(h >> 6), 1 << (h & 63)
}

// add notes each chunk of the id.
func (s *idSearch) add(id []byte) {
	for i := 0; i+echoChunk <= len(id); i++ {
		chunk := chunkAt(id, i)
		word, bit := idBit(chunk)
		s.bits[word] |= bit
		s.chunks = append(s.chunks, chunk)
	}
}

// squeezed reports whether a form, before it is squeezed, may have a piece in common with
// the id. One that is too short for a whole piece always may.
func (s *idSearch) squeezed(form []byte) bool {
	if cap(s.form) < len(form) {
		s.form = make([]byte, len(form)+len(form)/2)
	}
	to, n := s.form[:len(form)], 0
	for _, c := range form {
		kept := squeezes[c]
		to[n] = kept
		n += int(-kept >> 7) // letters and digits are below 0x80: 1 unless it is 0
	}
	if to = to[:n]; n < echoPiece {
		return true
	}
	for i := 0; i+echoChunk <= len(to); i += echoStride {
		chunk := chunkAt(to, i)
		if word, bit := idBit(chunk); s.bits[word]&bit != 0 && slices.Contains(s.chunks, chunk) {
			return true
		}
	}
	return false
}

// squeezes is what squeeze makes of a character, 0 of one that it drops.
var squeezes = func() (to [256]byte) {
	for c := range to {
		if kept := squeeze(string([]byte{byte(c)})); kept != "" {
			to[c] = kept[0]
		}
	}
	return to
}()
