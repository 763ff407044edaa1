package dynamics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// meter is a gate that says how many calls there have been.
type meter struct {
	gate
	calls int
}

func (m *meter) Usage(context.Context, dynamics.Principal) (dynamics.Usage, error) {
	return dynamics.Usage{CallsToday: m.calls}, nil
}

func (m *meter) Today(dynamics.Principal) (int, time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls + len(m.entered) - len(m.answers), time.Hour, true
}

// The call after the last one that the customer allows is not sent, and gives its slot back.
func TestTheCustomersAllowanceForTheDay(t *testing.T) {
	for daily, want := range map[int]int{0: 5, 3: 3, 5: 5, 1: 1} {
		m, served := &meter{}, 0
		r := gatedBy(t, m, daily, func(w http.ResponseWriter, _ *http.Request) {
			served++
			_, _ = io.WriteString(w, emptyPage)
		})
		for i := range 5 {
			_, err := firstPage(t.Context(), r.open(t), nameOnly)
			if e, ok := errors.AsType[*dynamics.Error](err); ok != (i >= want) {
				t.Fatalf("%d a day, call %d: %v", daily, i+1, err)
			} else if ok && (e.Kind != dynamics.Throttled || e.RetryAfter != time.Hour || !e.OfDay() ||
				e.Limit != dynamics.NoLimit) {
				t.Errorf("%+v", e)
			}
			m.calls = served
		}
		if served != want || len(m.answers) != len(m.entered) || len(m.entered) != 5 {
			t.Errorf("%d a day: %d were sent, %d of %d slots came back", daily, served, len(m.answers), len(m.entered))
		}
		for i, a := range m.answers {
			if a.Sent != (i < want) {
				t.Errorf("call %d: sent %v", i+1, a.Sent)
			}
		}
	}
}

func gatedBy(t *testing.T, m *meter, daily int, handler http.HandlerFunc) *rig {
	t.Helper()
	r := newRig(t, handler, func(c *dynamics.Config) { c.Gate = m })
	r.tokens.set(func(a *dynamics.Access) { a.Principal, a.DailyCalls = ada, daily })
	return r
}
