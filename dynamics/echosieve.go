package dynamics

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"time"
)

// echoLife is for how long something is kept that was made of a token: about as long as Entra's
// access tokens are valid.
const echoLife = 90 * time.Minute

// perToken keeps what was made of each token that is in use, by a hash of the token. The
// zero value keeps nothing yet.
type perToken[V any] struct {
	mu sync.Mutex
	fifo[tokenSum, madeOf[V]]
	met fifo[tokenSum, struct{}] // of late; see often
}

// A tokenSum is two hashes by secret seeds: as good as a long one, for a fifth of the time.
type tokenSum [2]uint64

var tokenSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func sumOf(token string) tokenSum {
	return tokenSum{maphash.String(tokenSeeds[0], token), maphash.String(tokenSeeds[1], token)}
}

// A tokenUse is one use of a token, by which all that is kept of it is found: a request
// makes it once.
type tokenUse struct {
	sum tokenSum
	at  time.Time
}

func useOf(token string) tokenUse { return tokenUse{sumOf(token), time.Now()} }

type madeOf[V any] struct {
	value V
	made  time.Time
}

// of is what is made of a token. At most that many are kept.
func (k *perToken[V]) of(use tokenUse, most int, of func() V) V {
	if value, ok := k.kept(use); ok {
		return value
	}
	return k.keep(use, most, of())
}

// often is of for tokens that come again before so many others have come; of another one
// nothing is made. Where thousands are in use by turns, none would be there when it is
// wanted again, and those that are used all the time are not driven out by the others.
func (k *perToken[V]) often(use tokenUse, most int, of func() V) (value V, ok bool) {
	if value, ok := k.kept(use); ok {
		return value, true
	}
	k.mu.Lock()
	_, met := k.met.known[use.sum]
	if !met {
		k.met.put(use.sum, struct{}{}, most)
	}
	k.mu.Unlock()
	if !met {
		return value, false
	}
	return k.keep(use, most, of()), true
}

func (k *perToken[V]) kept(use tokenUse) (value V, ok bool) {
	k.mu.Lock()
	kept, ok := k.known[use.sum]
	k.mu.Unlock()
	return kept.value, ok && use.at.Sub(kept.made) < echoLife
}

// keep drops what is too old, which is what was put first, and gives back the value.
func (k *perToken[V]) keep(use tokenUse, most int, value V) V {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.len > 0 && use.at.Sub(k.known[k.oldest()].made) >= echoLife {
		k.drop()
	}
	k.put(use.sum, madeOf[V]{value, use.at}, most)
	return value
}

// An echoSieve tells most texts that hold no piece of a token without looking at the token: it
// is a Bloom filter of the chunks of all the token's forms. It never passes an echo. To make
// the forms of a token of Entra's takes 0.4 ms and 200 KB, and to look a text up in the sieve
// some microseconds.
type echoSieve struct {
	bits  []uint64
	short bool // a form is too short for chunks
}

const (
	// sieveHashes are looked up of each chunk, in sieveRoom bits at least for each: one of
	// 10,000 chunks passes that is none of the token's.
	sieveHashes = 6
	sieveRoom   = 24
	// maxEchoSieves bounds those that are kept. One takes 32 KB for a token of Entra's.
	maxEchoSieves = 512
	// maxSieved is the longest token that gets one, in bytes: others take too much memory.
	maxSieved = 4 << 10
)

func newEchoSieve(token string) *echoSieve {
	s := &echoSieve{}
	var forms [][]byte
	chunks := 0
	for _, form := range formsOf(token) {
		form := []byte(squeeze(form))
		switch {
		case len(form) >= echoPiece:
			forms, chunks = append(forms, form), chunks+len(form)/echoStride
		case len(form) >= echoShort:
			s.short = true
		}
	}
	s.bits = make([]uint64, max(1<<bits.Len(uint(sieveRoom*chunks))/64, 1))
	for _, form := range forms {
		for i := 0; i+echoChunk <= len(form); i += echoStride {
			at, step := sieveHash(chunkAt(form, i))
			for range sieveHashes {
				s.bits[at>>6&uint64(len(s.bits)-1)] |= 1 << (at & 63)
				at += step
			}
		}
	}
	return s
}

// sieveHash is where a chunk's bits begin, and how far apart they are.
func sieveHash(chunk uint64) (at, step uint64) {
	high, low := bits.Mul64(chunk^0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
	return high ^ low, low>>7 | 1
}

// may reports whether a squeezed text can hold a piece of a form: where it cannot, there is
// none.
func (s *echoSieve) may(text string) bool { return s.mayHold([]byte(text)) }

func (s *echoSieve) mayHold(text []byte) bool {
	if s.short {
		return true
	}
	for i := 0; i+echoChunk <= len(text); i++ {
		if s.has(chunkAt(text, i)) {
			return true
		}
	}
	return false
}

func (s *echoSieve) has(chunk uint64) bool {
	at, step := sieveHash(chunk)
	for range sieveHashes {
		if s.bits[at>>6&uint64(len(s.bits)-1)]&(1<<(at&63)) == 0 {
			return false
		}
		at += step
	}
	return true
}
