package handlers

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// described is an environment in memory that has many columns of its own.
type described struct{ canned }

func (d described) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/Attributes"):
		var columns []string
		for i := range 400 {
			columns = append(columns, fmt.Sprintf(`{"LogicalName":"new_%d","AttributeType":"String","IsValidForRead":true}`, i))
		}
		return canned(`{"value":[` + strings.Join(columns, ",") + `]}`).RoundTrip(r)
	case strings.Contains(r.URL.Path, "EntityDefinitions"):
		return canned(`{"value":[]}`).RoundTrip(r)
	}
	return d.canned.RoundTrip(r)
}

// A long request leaves nothing of its body behind: names that are kept for later ones, of
// connections and of fields, are not cut out of it.
func TestNothingKeepsARequestsBody(t *testing.T) {
	const requests, long = 200, 48 << 10
	friendly := strings.Split(strings.ReplaceAll(smallFields, `"`, ""), ",")
	for name, body := range map[string]func(i int) string{
		"connections": func(i int) string { return fmt.Sprintf(`{"connection":"tenant-%d","fields":["id"]`, i) },
		"fields": func(i int) string {
			return fmt.Sprintf(`{"connection":"acme","fields":["%s","%s","%s"]`, friendly[i%10], friendly[(i%10+1+i/10%9)%10],
				messages.Accounts.Fields[i/90+20].Name)
		},
		"columns": func(i int) string { return fmt.Sprintf(`{"connection":"acme","fields":["id","new_%d"]`, i) },
	} {
		t.Run(name, func(t *testing.T) {
			search := searchRoute(t, described{`{"value":[]}`})
			heap := func() int64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.GC() // what pools had
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			ask := func(text string) {
				text += strings.Repeat(" ", long-len(text)) + "}"
				call := route.Call{Operation: "accounts.search", RequestID: "x", Deadline: time.Now().Add(time.Hour),
					Budget: 1 << 20}
				for _, err := range search.Serve(t.Context(), call, []byte(text)).Parts {
					if err != nil {
						t.Fatal(text[:100], err)
					}
				}
			}
			ask(body(0))
			before := heap()
			for i := range requests {
				ask(body(i))
			}
			if kept := heap() - before; kept > requests*long/8 {
				t.Errorf("%d requests left %d bytes each behind", requests, kept/requests)
			}
			runtime.KeepAlive(search)
		})
	}
}
