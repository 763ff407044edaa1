package interactive

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

// Of a batch the last ones have no room; once there is room for a part of all, nobody
// knows which hold; and where an attempt broke off, none does.
func TestWhatAnAttemptSays(t *testing.T) {
	broke := errors.New("broke off")
	for name, c := range map[string]struct {
		full    int
		batch   int   // how many of the three, the last ones
		was     error // of the batch, before
		verdict error // of the first of the batch
		err     error
		refused [3]error
		doubt   bool
	}{
		"all hold":                 {refused: [3]error{}, batch: 3},
		"no room for one":          {full: 1, batch: 3, refused: [3]error{nil, nil, errFull}},
		"no room for two":          {full: 2, batch: 3, refused: [3]error{nil, errFull, errFull}},
		"a permission besides":     {full: 1, batch: 3, verdict: nats.ErrPermissionViolation, refused: [3]error{nats.ErrPermissionViolation, nil, errFull}},
		"room again":               {batch: 1, was: errFull, doubt: true},
		"room again for all":       {batch: 3, was: errFull},
		"a permission came back":   {batch: 1, was: nats.ErrPermissionViolation},
		"it broke off":             {batch: 3, err: broke, refused: [3]error{broke, broke, broke}},
		"it broke off, being full": {full: 1, batch: 3, err: broke, refused: [3]error{broke, broke, broke}},
	} {
		s := newSubscriptions(nil, nil)
		for range 3 {
			s.add(&subscribed{})
		}
		batch := s.all[3-c.batch:]
		for _, x := range batch {
			x.refused, x.trying = c.was, true
		}
		batch[0].verdict = c.verdict
		s.full, s.busy = c.full, true
		s.judge(batch, c.err)
		for i, x := range s.all {
			if !errors.Is(x.refused, c.refused[i]) || (x.refused == nil) != (c.refused[i] == nil) || x.trying {
				t.Errorf("%s: %d: %v, want %v", name, i, x.refused, c.refused[i])
			}
		}
		if s.doubt != c.doubt || s.busy {
			t.Errorf("%s: doubt %v, want %v", name, s.doubt, c.doubt)
		}
	}
}
