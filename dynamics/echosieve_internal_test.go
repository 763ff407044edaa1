package dynamics

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// aToken is a JWT as long as Entra's, with a signature of RSA's length.
func aToken(random *rand.Rand) string {
	part := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(100) + "." + part(900) + "." + part(256)
}

// The sieve changes no verdict: twelve characters of any form of the token are an echo at
// every place of a text, and what is none passes.
func TestTheSieveKeepsEveryEcho(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	token := aToken(random)
	sieved := redaction{tokens: []string{token}, sieves: &perToken[*echoSieve]{}}
	bare := redaction{tokens: []string{token}}
	forms := map[string]string{"plain": token, "reversed": reversed(token), "hex": hex.EncodeToString([]byte(token)),
		"base64": base64.StdEncoding.EncodeToString([]byte(token[1:])), "upper": strings.ToUpper(token)}
	for name, form := range forms {
		form = squeeze(form)
		for range Fewer(400) {
			at := random.IntN(len(form) - 12)
			front := strings.Repeat("-x", random.IntN(20))
			if !sieved.echoes(front + form[at:at+12] + " .") {
				t.Fatalf("12 characters of the token, %s, from %d on pass", name, at)
			}
		}
		for range 20 {
			at, n := random.IntN(len(form)-16), 1+random.IntN(16)
			text := fmt.Sprintf("=%s=", form[at:at+n])
			if got, want := sieved.echoes(text), bare.echoes(text); got != want {
				t.Fatalf("%d characters, %s: %t, without the sieve %t", n, name, got, want)
			}
		}
	}
	passed, sieve := 0, newEchoSieve(token)
	for range 1000 {
		id := fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", random.Uint32(), random.Uint32N(1<<16), random.Uint32N(1<<16),
			random.Uint32N(1<<16), random.Uint64N(1<<48))
		if sieved.echoes(id) {
			t.Fatalf("%s is none of the token's", id)
		}
		if sieve.may(squeeze(id)) {
			passed++
		}
	}
	if passed > 50 { // some 3 are expected
		t.Errorf("of 1,000 ids that are no echoes the sieve let %d through to be looked at", passed)
	}
	for _, short := range []string{"abcdef", "0123456789", "abcdefghijkl"} {
		h := redaction{tokens: []string{short}, sieves: &perToken[*echoSieve]{}}
		if !h.echoes("<" + short + ">") {
			t.Errorf("the token %s passes", short)
		}
	}
}

// To look at an id that is no echo must not cost what looking for each form of the token does.
func BenchmarkEchoes(b *testing.B) {
	token := aToken(rand.New(rand.NewPCG(3, 4)))
	const id = "78914942-34cb-ed11-b596-0022481d68cd"
	for name, h := range map[string]redaction{
		"sieved": {tokens: []string{token}, sieves: &perToken[*echoSieve]{}}, "bare": {tokens: []string{token}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if h.echoes(id) {
					b.Fatal("an id is no echo")
				}
			}
		})
	}
}

// Looking at an id makes none of the token's forms again.
func TestAnIdIsLookedAtWithoutTheForms(t *testing.T) {
	token := aToken(rand.New(rand.NewPCG(3, 4)))
	h := redaction{tokens: []string{token}, sieves: &perToken[*echoSieve]{}}
	const id = "78914942-34cb-ed11-b596-0022481d68cd"
	h.echoes(id)
	if n := testing.AllocsPerRun(100, func() { h.echoes(id) }); n > 10 {
		t.Errorf("%g allocations", n)
	}
}
