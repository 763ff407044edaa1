package dynamics_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

var errDeleted = errors.New("there is no such connection")

// What becomes of a connection while a request of it waits, and how the request ends.
var endings = map[string]struct {
	change func(*source)
	want   error
}{
	"deleted":      {func(s *source) { s.err = errDeleted }, errDeleted},
	"made again":   {func(s *source) { s.access.Incarnation = "2" }, dynamics.ErrConnectionChanged},
	"another user": {func(s *source) { s.access.Principal.User = "grace" }, dynamics.ErrConnectionChanged},
	"elsewhere":    {func(s *source) { s.access.Environment = "https://two.crm.dynamics.com" }, dynamics.ErrConnectionChanged},
}

// However a session's first call comes to wait, it does not go out with an access
// that is older than a tenth of a second.
func TestAnOldAccessIsNotSent(t *testing.T) {
	for name, end := range endings {
		for where, wait := range map[string]struct{ before, atGate time.Duration }{
			"before the call": {before: 101 * time.Millisecond}, "at the gate": {atGate: 101 * time.Millisecond},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var sent atomic.Int64
					g := &gate{hold: wait.atGate}
					client, tokens := virtual(t, func(*http.Request) (*http.Response, error) {
						sent.Add(1)
						return said(200, whoAmI)
					}, func(c *dynamics.Config) { c.Gate = g })
					s := opened(t, client)
					tokens.set(end.change)
					time.Sleep(wait.before)
					if _, err := s.WhoAmI(t.Context()); !errors.Is(err, end.want) || sent.Load() != 0 {
						t.Errorf("%v; %d calls went out", err, sent.Load())
					}
				})
			})
		}
	}
}

// An access of a moment ago is used as it is: a request asks for its token once.
func TestAFreshAccessIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, tokens := virtual(t, func(*http.Request) (*http.Response, error) { return said(200, whoAmI) })
		s := opened(t, client)
		tokens.set(func(s *source) { s.err = errDeleted })
		time.Sleep(99 * time.Millisecond)
		if _, err := s.WhoAmI(t.Context()); err != nil {
			t.Errorf("the first call: %v", err)
		}
		if _, err := s.WhoAmI(t.Context()); !errors.Is(err, errDeleted) {
			t.Errorf("the second: %v", err)
		}
	})
}

// So does one that is made after a fault, however soon: it asks anew.
func TestNoFurtherAttemptForADeletedConnection(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int64
				var client *dynamics.Client
				var tokens *source
				client, tokens = virtual(t, func(*http.Request) (*http.Response, error) {
					sent.Add(1)
					tokens.set(end.change)
					return said(503, "")
				}, func(c *dynamics.Config) { c.RetryDelay = time.Millisecond })
				if _, err := opened(t, client).WhoAmI(t.Context()); !errors.Is(err, end.want) || sent.Load() != 1 {
					t.Errorf("%v after %d calls", err, sent.Load())
				}
			})
		})
	}
}

// refusals is a source that writes down which token was refused.
type refusals struct {
	source
	tokens []string
}

func (r *refusals) Refused(ctx context.Context, connection string, a dynamics.Access) (dynamics.Access, error) {
	r.tokens = append(r.tokens, a.Token.Reveal())
	return r.Access(ctx, connection)
}

// A 401 is about the token that was sent, not about an older one that the session had
// before it waited for its turn.
func TestTheTokenThatWasSentIsTheOneThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := &refusals{}
		tokens.access = dynamics.Access{Tables: told, Environment: virtualOrg, Token: dynamics.NewSecret("first"),
			Principal: ada}
		client, _ := virtual(t, func(*http.Request) (*http.Response, error) { return said(401, "") },
			func(c *dynamics.Config) { c.Tokens, c.Gate = tokens, &gate{hold: time.Second} })
		s := opened(t, client)
		tokens.set(func(s *source) { s.access.Token = dynamics.NewSecret("second") })
		_, err := s.WhoAmI(t.Context())
		if kind(t, err, dynamics.Unauthorized); !slices.Equal(tokens.tokens, []string{"second"}) {
			t.Errorf("refused: %v", tokens.tokens)
		}
	})
}

// What a slow environment answers is not delivered for a connection that is gone.
func TestAnAnswerForADeletedConnectionIsNotDelivered(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, tokens := virtual(t, func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/api/data/v9.2/WhoAmI" {
						return slowly(r, 3*time.Second, 200, whoAmI)
					}
					return slowly(r, 3*time.Second, 200, oneRow)
				})
				s, another := opened(t, client), opened(t, client)
				time.AfterFunc(time.Second, func() { tokens.set(end.change) })
				var work sync.WaitGroup
				work.Go(func() {
					if page, err := firstPage(t.Context(), s, nameOnly); !errors.Is(err, end.want) {
						t.Errorf("%v, %v", page, err)
					}
				})
				if who, err := another.WhoAmI(t.Context()); !errors.Is(err, end.want) {
					t.Errorf("%v, %v", who, err)
				}
				work.Wait()
			})
		})
	}
}

// Nor is it to those who waited for the same page, whatever the one who asked had
// found before: each asks for itself.
func TestNobodyGetsThePageOfADeletedConnection(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int64
				client, tokens := virtual(t, func(r *http.Request) (*http.Response, error) {
					sent.Add(1)
					return slowly(r, 3*time.Second, 200, oneRow)
				})
				var work sync.WaitGroup
				for range 5 {
					s := opened(t, client)
					work.Go(func() {
						if page, err := firstPage(t.Context(), s, nameOnly); !errors.Is(err, end.want) {
							t.Errorf("%v, %v", page, err)
						}
					})
				}
				time.AfterFunc(2*time.Second, func() { tokens.set(end.change) })
				work.Wait()
				if sent.Load() != 1 {
					t.Errorf("%d calls", sent.Load())
				}
			})
		})
	}
}

// Nor is what a slow environment answers about a table, once the person has connected
// again for others, whoever asked for it.
func TestAnAnswerOfATableThatIsNoLongerPermittedIsNotDelivered(t *testing.T) {
	for name, answer := range map[string]string{
		"page": `{"value":[]}`, "row": `{"contactid":"` + someID + `","name":"x"}`, "count": `{"value":[{"c":1}]}`, "exceeds": `{"value":[{"c":1}]}`,
		"options": `{"value":[]}`, "probe of rows": `{"value":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, tokens := virtual(t, func(r *http.Request) (*http.Response, error) { return slowly(r, 3*time.Second, 200, answer) })
				time.AfterFunc(2*time.Second, func() { tokens.set(func(s *source) { s.access.Tables = []string{"accounts"} }) })
				var work sync.WaitGroup
				for range 2 {
					s := opened(t, client)
					work.Go(func() {
						if err := readings[name](t.Context(), s, contacts); dynamics.KindOf(err) != dynamics.NotConsented {
							t.Errorf("%v", err)
						}
					})
				}
				work.Wait()
			})
		})
	}
}
