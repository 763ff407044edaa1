package live

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A fault is something that goes wrong and is mended again, and what must be told of it.
type fault struct {
	name string
	// alerts must fire while it lasts, and stop firing after its end; may are such as may fire
	// besides. What fires under no fault that lists it is wrong.
	alerts, may []string
	// needs is what must be whole for the fault to be seen, breaks what it takes from others.
	needs, breaks []string
	begin, end    func() error
	// during is what requesters do meanwhile, again and again, with a pause of so long, many at
	// once, and with lingers until the alerts are silent again.
	during  func()
	pause   time.Duration
	many    int
	lingers bool
}

// What faults break and need.
const (
	theNATS    = "NATS"
	theRedis   = "Redis"
	theEntra   = "Entra"
	thePlaces  = "places"
	theProcess = "the process apart"
)

// everyRequest needs these.
var everyRequest = []string{theNATS, theRedis, thePlaces}

// excludes reports whether two faults must not be there at once: one would be hidden by the other,
// or an alert could be that of either.
func (f *fault) excludes(g *fault) bool {
	return overlap(f.breaks, g.needs) || overlap(g.breaks, f.needs) || overlap(f.breaks, g.breaks) ||
		overlap(f.alerts, slices.Concat(g.alerts, g.may)) || overlap(g.alerts, f.may)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// The states of a fault.
const (
	waiting   = iota
	lasting   // until all of its alerts have fired
	mended    // until none of its alerts fires
	recovered // it is over
)

// A lapse is a fault in the course of the run.
type lapse struct {
	*fault
	state int
	since time.Time
	seen  []string // of its alerts, which have fired
	stop  func()   // ends what requesters do
	told  string   // for the report
}

// bounds of a fault: how long until its alerts fire, and until they are silent. The longest alert
// needs 70 s; the rest is for busy machines.
const (
	mostUntilFiring = 4 * time.Minute
	mostUntilSilent = 3 * time.Minute
)

// A schedule runs faults, as many at once as go together, and watches which alerts fire.
type schedule struct {
	m      *monitor
	lapses []*lapse
	fired  map[string]time.Time // when an alert was first seen to
	first  time.Time            // when some alert was
}

func newSchedule(m *monitor, faults []*fault) *schedule {
	s := &schedule{m: m, fired: map[string]time.Time{}}
	for _, f := range faults {
		s.lapses = append(s.lapses, &lapse{fault: f, stop: func() {}})
	}
	return s
}

// run runs all faults, each once; it ends when all are over, or with the first thing that is wrong.
func (s *schedule) run() error {
	defer func() {
		for _, l := range s.lapses {
			l.stop()
		}
	}()
	for ; ; time.Sleep(300 * time.Millisecond) {
		firing := s.m.alerts("firing")
		s.note(firing)
		present := slices.Concat(firing, s.m.alerts("pending"))
		over := true
		for _, l := range s.lapses {
			if err := s.advance(l, firing, present); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			over = over && l.state == recovered
		}
		if err := s.explain(firing); err != nil {
			return err
		}
		if over {
			return nil
		}
	}
}

// note keeps when alerts fired first.
func (s *schedule) note(firing []string) {
	for _, name := range firing {
		if s.first.IsZero() {
			s.first = time.Now()
		}
		if s.fired[name].IsZero() {
			s.fired[name] = time.Now()
		}
	}
}

// present reports whether a fault may still have effects.
func (l *lapse) present() bool { return l.state == lasting || l.state == mended }

// advance takes a fault into its next state where it is time for that. present are the alerts that
// fire or soon may: none of its own may be that of what was before.
func (s *schedule) advance(l *lapse, firing, present []string) error {
	switch l.state {
	case waiting:
		if slices.ContainsFunc(s.lapses, func(o *lapse) bool { return o.present() && o.excludes(l.fault) }) ||
			overlap(l.alerts, present) {
			return nil
		}
		return s.begin(l)
	case lasting:
		for _, name := range l.alerts {
			if slices.Contains(firing, name) && !slices.Contains(l.seen, name) {
				l.seen = append(l.seen, name)
				l.told += fmt.Sprintf(" %s fires after %s;", name, time.Since(l.since).Round(time.Second))
			}
		}
		if len(l.seen) == len(l.alerts) {
			return s.mend(l) // again and again, until it can be
		}
		if time.Since(l.since) > mostUntilFiring {
			return fmt.Errorf("of %v only %v fired within %s", l.alerts, l.seen, mostUntilFiring)
		}
	case mended:
		if !overlap(slices.Concat(l.alerts, l.may), present) {
			l.state = recovered
			l.stop()
			s.tell("over: %s:%s silent %s after its end", l.name, l.told, time.Since(l.since).Round(time.Second))
		} else if time.Since(l.since) > mostUntilSilent {
			return fmt.Errorf("%v fire or may still, %s after the end", present, mostUntilSilent)
		}
	}
	return nil
}

func (s *schedule) begin(l *lapse) error {
	s.tell("begins: %s", l.name)
	if l.fault.begin != nil {
		if err := l.fault.begin(); err != nil {
			return err
		}
	}
	if l.during != nil {
		l.stop = repeat(max(l.many, 1), l.pause, l.during)
	}
	l.state, l.since = lasting, time.Now()
	return nil
}

// mend ends a fault. What is needed for that may be broken by another one: it is tried again.
func (s *schedule) mend(l *lapse) error {
	if !l.lingers {
		l.stop()
		l.stop = func() {}
	}
	if l.end != nil {
		if err := l.end(); err != nil {
			if time.Since(l.since) > mostUntilFiring+patience {
				return err
			}
			return nil
		}
	}
	s.tell("is mended: %s", l.name)
	l.state, l.since = mended, time.Now()
	return nil
}

// explain finds the alerts that fire under no fault that they are for, or that is allowed to have
// them.
func (s *schedule) explain(firing []string) error {
	for _, name := range firing {
		if !slices.ContainsFunc(s.lapses, func(l *lapse) bool {
			return l.state != waiting && slices.Contains(slices.Concat(l.alerts, l.may), name)
		}) {
			return fmt.Errorf("%s fires, and %s", name, s.now())
		}
	}
	return nil
}

// now says which faults are there.
func (s *schedule) now() string {
	var names []string
	for _, l := range s.lapses {
		if l.present() {
			names = append(names, l.name)
		}
	}
	return "present are: " + strings.Join(names, ", ")
}

func (s *schedule) tell(format string, args ...any) {
	s.m.t.Helper()
	s.m.t.Logf(format, args...)
}
