package dynamics

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// An id of an answer is an echo or none, whether the token has a sieve yet or not.
func TestAnIdIsSearchedWithoutASieve(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	long := aToken(random)
	tokens := []string{long, long[:40], "abcdef", "a-b-c-d-e-f-g-h-i-j-k", "0123456789ab",
		"ab\xff\x00-0123456789abcdefXYZ"}
	for _, token := range tokens {
		backwards := reversed(token)
		var forms []string
		for _, text := range []string{token, backwards} {
			for offset := range 3 {
				forms = append(forms, base64.StdEncoding.EncodeToString([]byte(text[offset:])))
			}
			forms = append(forms, text, hex.EncodeToString([]byte(text)))
		}
		echoes := 0
		for round := range Fewer(300) {
			form := squeeze(forms[random.IntN(len(forms))])
			if round%2 == 0 {
				form = reversed(form)
			}
			n := min(10+random.IntN(4), len(form))
			at := random.IntN(len(form) - n + 1)
			front := random.IntN(idLength - n)
			id := strings.Repeat("-Z", front)[:front] + strings.ToUpper(form[at:at+n])
			first := redaction{tokens: []string{token}, sieves: &perToken[*echoSieve]{}}
			got, want := first.echoes(id), redaction{tokens: []string{token}}.echoes(id)
			if got != want {
				t.Fatalf("%q of the token %q: %t, without a sieve or search %t", id, token, got, want)
			}
			if want {
				echoes++
			}
		}
		if echoes == 0 || len(token) > 20 && echoes == Fewer(300) {
			t.Errorf("%d echoes of %q", echoes, token)
		}
	}
	passed := 0
	for range 1000 {
		id := fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
		if idMayHold([]byte(id), long) {
			passed++
		}
	}
	if passed > 20 { // some 2 are expected
		t.Errorf("of 1,000 ids that are no echoes %d are looked at in full", passed)
	}
}

// BenchmarkIDOfATokenNowAndThen looks at an id with a token that has no sieve.
func BenchmarkIDOfATokenNowAndThen(b *testing.B) {
	token := aToken(rand.New(rand.NewPCG(3, 4)))
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		var space [idLength]byte
		if idMayHold(appendSqueezed(space[:0], "78914942-34cb-ed11-b596-0022481d68cd"), token) {
			b.Fatal("an id is no echo")
		}
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkNewSieve makes what a token that is used often has.
func BenchmarkNewSieve(b *testing.B) {
	token := aToken(rand.New(rand.NewPCG(3, 4)))
	before := cpuTime(b)
	for b.Loop() {
		newEchoSieve(token)
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}
