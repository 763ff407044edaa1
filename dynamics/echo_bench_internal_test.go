package dynamics

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkEchoReader looks for a token of Entra's size in answers of three kinds: a small
// one, a page of 2 MB, and one in which many texts hold escapes.
func BenchmarkEchoReader(b *testing.B) {
	token := aToken(rand.New(rand.NewPCG(3, 4)))
	page := func(rows int, text string) []byte {
		var all strings.Builder
		for i := range rows {
			fmt.Fprintf(&all, `{"@odata.etag":"W/\"%d\"","accountid":"78914942-34cb-ed11-b596-0022481d68cd","name":"Contoso %d %s",`+
				`"industrycode@OData.Community.Display.V1.FormattedValue":"Consulting","industrycode":%d,`+
				`"_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser","_ownerid_value":"39e0dbe4-131b-e111-ba7e-78e7d1620f5e"},`,
				i, i, text, i)
		}
		return []byte(all.String())
	}
	for name, text := range map[string][]byte{"small": page(10, "AG"), "large": page(5000, "AG"),
		"escapes": page(5000, `100 % \"Ltd\" \u0026 Co`)} {
		b.Run(name, func(b *testing.B) {
			var kept echoIndexes
			r := request{redact: redaction{tokens: []string{token}}}
			from := bytes.NewReader(nil)
			space := make([]byte, 32<<10)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				from.Reset(text)
				reader := kept.without(&r, from)
				for {
					if _, err := reader.Read(space); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuTime(t testing.TB) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
