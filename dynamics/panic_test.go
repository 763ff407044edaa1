package dynamics_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// A panic in any goroutine that a request starts, wherever below it, ends that
// request and nothing else.
func TestAPanicEndsItsRequestOnly(t *testing.T) {
	const members = `{"value":[{"teamid":"` + someID + `","name":"Sales"},` +
		`{"teamid":"78914942-34cb-ed11-b596-0022481d68ce","name":"Service"}]}`
	network := func(r *http.Request) (*http.Response, error) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/teammembership_association"):
			return said(200, members)
		case strings.HasSuffix(r.URL.Path, "/systemuserroles_association"):
			return said(200, `{"value":[]}`)
		case strings.Contains(r.URL.RawQuery, "apply=aggregate"):
			return said(400, `{"error":{"code":"0x8004e023","message":"AggregateQueryRecordLimit exceeded."}}`)
		case strings.Contains(r.URL.RawQuery, "orderby"):
			return said(200, `{"value":[{"accountid":"`+someID+`","createdon":"2024-01-01T00:00:00Z"}]}`)
		}
		return nil, nil
	}
	asks := map[string]func(*dynamics.Session) error{
		"the roles of teams": func(s *dynamics.Session) error { _, _, err := s.Roles(t.Context(), someID); return err },
		"parts of a count":   func(s *dynamics.Session) error { _, err := s.Count(t.Context(), accounts, nil); return err },
	}
	for name, ask := range asks {
		for where, throw := range map[string]func(*panics, *dynamics.Config){
			"in the transport": func(p *panics, c *dynamics.Config) {
				c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					if resp, err := network(r); resp != nil {
						return resp, err
					}
					panic(errors.New(canaryToken))
				})
			},
			"in the observer": func(p *panics, c *dynamics.Config) {
				c.Observe = func(_ context.Context, call dynamics.Call) {
					if call.Op == "teams.roles" || call.Op == "accounts.count" && p.after(1) {
						panic(canaryToken)
					}
				}
			},
			"in the gate": func(p *panics, c *dynamics.Config) { c.Gate = &panickyGate{panics: p} },
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				client, _ := virtual(t, func(r *http.Request) (*http.Response, error) {
					if resp, err := network(r); resp != nil {
						return resp, err
					}
					return said(200, `{"value":[]}`)
				}, func(c *dynamics.Config) { throw(&panics{}, c) })
				err := ask(opened(t, client))
				p, ok := errors.AsType[*dynamics.Panic](err)
				if !ok || p.Stack == "" || strings.Contains(fmt.Sprint(err, p.Kind), canaryToken) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// panics counts up to where one is due.
type panics struct{ n atomic.Int64 }

func (p *panics) after(n int64) bool { return p.n.Add(1) > n }

// panickyGate lets three calls through: what is asked before the goroutines start.
type panickyGate struct {
	*panics
	none []func(dynamics.Answer)
}

func (g *panickyGate) Enter(context.Context, dynamics.Principal, string) (func(dynamics.Answer), error) {
	if g.after(3) {
		return g.none[g.n.Load()], nil
	}
	return func(dynamics.Answer) {}, nil
}
