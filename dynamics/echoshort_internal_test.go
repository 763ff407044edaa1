package dynamics

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// An answer is searched without an index, with one of its own, and with one that is kept:
// the verdict is the same, whatever stands in it and however it comes.
func TestAShortAnswerIsSearchedLikeALongOne(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	pick := func(from string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = from[random.IntN(len(from))]
		}
		return string(b)
	}
	alphabets := []string{"abAB", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
		" \x00\t\"%&\\;#x25u0\xff"}
	found := 0
	for round := range Fewer(4000) {
		sign := pick(alphabets[random.IntN(len(alphabets))], 16+random.IntN(40))
		if round%3 == 0 {
			sign = pick(alphabets[1], 342)
		}
		if strings.Contains(sign, ".") {
			t.Fatal("a signature has no dot")
		}
		forms := []string{sign, reversed(sign), hex.EncodeToString([]byte(sign)), strings.ToUpper(sign),
			base64.StdEncoding.EncodeToString([]byte("xyz"[:random.IntN(3)] + sign))}
		var text strings.Builder
		for range random.IntN(6) {
			switch random.IntN(4) {
			case 0:
				text.WriteString(pick(alphabets[random.IntN(3)], random.IntN(300)))
			case 1:
				text.WriteString(strings.Repeat(pick(alphabets[1], 4), random.IntN(200)))
			default:
				form := forms[random.IntN(len(forms))]
				n := min(13+random.IntN(6), len(form))
				at := random.IntN(len(form) - n + 1)
				piece := form[at : at+n]
				switch random.IntN(5) {
				case 0:
					at := random.IntN(n)
					piece = fmt.Sprintf(`%s\u%04x%s`, piece[:at], piece[at], piece[at+1:])
				case 1:
					at := random.IntN(n)
					piece = fmt.Sprintf(`%s%%%02x%s`, piece[:at], piece[at], piece[at+1:])
				case 2:
					at := random.IntN(n)
					piece = fmt.Sprintf(`%s&#%d;%s`, piece[:at], piece[at], piece[at+1:])
				}
				text.WriteString(piece)
			}
		}
		all := []byte(text.String())
		index := newEchoIndex([]string{sign})
		want := index.inAny(all)
		got, ok := inShort(sign, all)
		if !ok && len(all) < shortMost {
			t.Fatalf("%q is not searched", all)
		}
		if ok && got != want {
			t.Fatalf("%q in %q: %t without an index, %t with it", sign, all, got, want)
		}
		if want {
			found++
		}
		kept := new(echoIndexes)
		kept.keep(useOf("e.y."+sign), maxEchoIndexes, index)
		var verdicts []bool
		step := 1 + random.IntN(400)
		for _, k := range []*echoIndexes{new(echoIndexes), kept} {
			var from io.Reader = bytes.NewReader(all)
			if round%2 == 0 {
				from = iotest.DataErrReader(from)
			}
			r := k.without(&request{redact: redaction{tokens: []string{"e.y." + sign}}}, from)
			var err error
			for space := make([]byte, step); err == nil; {
				_, err = r.Read(space)
			}
			verdicts = append(verdicts, errors.Is(err, errEcho))
			r.(*echoReader).release()
		}
		if verdicts[0] != verdicts[1] {
			t.Fatalf("%q in %q by %d bytes: %t without an index, %t with it", sign, all, step, verdicts[0], verdicts[1])
		}
	}
	if found < Fewer(500) || found > Fewer(3500) {
		t.Errorf("of 4,000 answers %d hold an echo", found)
	}
}

// A token that is used all the time has its index, and one of thousands that come by turns
// has none.
func TestATokenThatIsUsedOftenHasAnIndex(t *testing.T) {
	var echoes echoIndexes
	token := func(i int) string { return fmt.Sprintf("a.b.%064d", i) }
	look := func(i int) *echoReader {
		return echoes.without(&request{redact: redaction{tokens: []string{token(i)}}}, strings.NewReader("")).(*echoReader)
	}
	for range 3 {
		for i := range 4 * maxEchoIndexes {
			if e := look(i); e.forms != nil {
				t.Fatalf("token %d of many has an index", i)
			}
		}
	}
	look(0)
	for range 3 {
		e := look(0)
		if e.forms == nil {
			t.Fatal("a token that is used again has no index")
		}
		for i := 1; i < 2*maxEchoIndexes; i++ {
			look(i)
		}
	}
	if len(echoes.known) != 1 || len(echoes.met.known) != maxEchoIndexes {
		t.Errorf("%d indexes, %d tokens", len(echoes.known), len(echoes.met.known))
	}
}

// What is kept of an answer's search holds nothing of it or of its token.
func TestAShortSearchKeepsNothing(t *testing.T) {
	s := shortEchoes.New().(*shortEcho)
	s.forms = appendForms(nil, strings.Repeat("x", 100))
	if !s.add([]byte(strings.Repeat("answer", 50))) {
		t.Fatal("not searched")
	}
	s.release()
	if forms := s.forms[:cap(s.forms)]; bytes.ContainsAny(forms, "x") {
		t.Error("the token is kept")
	}
	for _, run := range s.runs[:cap(s.runs)] {
		if run != nil {
			t.Error("the answer is kept")
		}
	}
}

// BenchmarkEchoTokens searches a small page with a token that is used now and then.
func BenchmarkEchoTokens(b *testing.B) {
	random := rand.New(rand.NewPCG(3, 4))
	text := []byte(`{"value":[` +
		strings.Repeat(`{"@odata.etag":"W/\"1\"","accountid":"78914942-34cb-ed11-b596-0022481d68cd","name":"Contoso AG"},`,
			10) + `]}`)
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var kept echoIndexes
			requests := make([]request, n)
			for i := range requests {
				requests[i].redact.tokens = []string{aToken(random)}
			}
			from, space := bytes.NewReader(nil), make([]byte, 32<<10)
			b.ReportAllocs()
			before := cpuTime(b)
			i := 0
			for b.Loop() {
				from.Reset(text)
				reader := kept.without(&requests[i%n], from).(*echoReader)
				for i++; ; {
					if _, err := reader.Read(space); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				reader.release()
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
