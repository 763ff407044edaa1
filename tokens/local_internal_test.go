package tokens

import (
	"strconv"
	"testing"
	"time"
)

// The rules by which a copy in memory may be used, each against the clock.
func TestLocalRules(t *testing.T) {
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	active := func(version int64) record {
		return record{Connection: Connection{ID: "a", Incarnation: "i", Version: version, Status: StatusActive}, access: "x",
			refresh: "y"}
	}
	const sec, minute = time.Second, time.Minute
	for name, c := range map[string]struct {
		do         func(l *local)
		at         time.Duration
		hit, cutOf bool // may be used at once; may be used when Redis is away
	}{
		"nothing is known": {func(*local) {}, 0, false, false},
		"heard just now":   {func(*local) {}, 900 * time.Millisecond, true, true},
		"no beat for longer than the trust": {func(*local) {},
			901 * time.Millisecond, false, true},
		"deleted within the promised second": {func(*local) {}, sec, false, true},
		"beats go on":                        {func(l *local) { l.confirmed(1, at(20*sec)) }, 20 * sec, true, true},
		"not read again for too long":        {func(l *local) { l.confirmed(1, at(31*sec)) }, 31 * sec, false, true},
		"cut off for less than 5 min": {func(l *local) { l.confirmed(1, at(10*sec)); l.gap() },
			10*sec + 5*minute, false, true},
		"cut off for 5 min": {func(l *local) { l.confirmed(1, at(10*sec)); l.gap() },
			10*sec + 5*minute + 1, false, false},
		"subscribed anew": {func(l *local) { l.confirmed(1, at(10*sec)); l.confirmed(l.renewed(), at(11*sec)) },
			11 * sec, false, true},
		"the new subscription makes it no younger": {func(l *local) {
			l.confirmed(1, at(10*sec))
			l.confirmed(l.renewed(), at(4*minute))
		}, 10*sec + 5*minute + 1, false, false},
		"a beat of the subscription before": {func(l *local) { l.renewed(); l.confirmed(1, at(sec)) }, sec, false, true},
		"told of a newer version":           {func(l *local) { l.changed("a", "i", 3) }, 0, false, false},
		"told of this version":              {func(l *local) { l.changed("a", "i", 2) }, 0, true, true},
		"told of another incarnation":       {func(l *local) { l.changed("a", "j", 1) }, 0, false, false},
		"told of the deletion":              {func(l *local) { l.changed("a", "i", 0) }, 0, false, false},
		"told of another connection":        {func(l *local) { l.changed("b", "i", 0) }, 0, true, true},
		"changed by this process":           {func(l *local) { l.drop("a") }, 0, false, false},
		"a later look found it revoked": {func(l *local) {
			r := active(3)
			r.Status = StatusReauthorizationRequired
			l.put(l.begin("a", at(sec)), r)
		}, 0, false, false},
		"a slower look found an older one": {func(l *local) { l.put(loading{l.entries["a"], 1, at(-sec)}, active(1)) }, 0,
			true, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLocal(localCutOff, time.Minute)
			epoch := l.renewed()
			l.confirmed(epoch, at(0))
			if name != "nothing is known" {
				l.put(l.begin("a", at(0)), active(2))
			}
			c.do(l)
			h, _ := l.get("a", at(c.at))
			hit, may := h != nil, l.fallback("a", at(c.at)) != nil
			if hit != c.hit || may != c.cutOf {
				t.Errorf("usable at once %v, want %v; when Redis is away %v, want %v", hit, c.hit, may, c.cutOf)
			}
			if hit && (h.Version != 2 || h.refresh != "") {
				t.Errorf("version %d, want 2, and no refresh token in memory", h.Version)
			}
		})
	}
}

// What a beat of the subscription before confirms says nothing about this one.
func TestABeatOfTheSubscriptionBeforeProvesNothing(t *testing.T) {
	l, now := newLocal(localCutOff, time.Minute), time.Now()
	before := l.renewed()
	l.confirmed(before, now)
	l.failed(now)
	l.renewed()
	l.confirmed(before, now)
	if l.proven(now) || !l.isAway() {
		t.Errorf("Redis counts as proven: %v, as away: %v", l.proven(now), l.isAway())
	}
	l.gap()
	l.confirmed(l.epoch, now)
	if !l.proven(now.Add(localTrust)) || l.proven(now.Add(localTrust+1)) || l.isAway() {
		t.Error("proven by its own beat, for as long as that is trusted")
	}
}

// A look that began before a change must not bring the old grant back.
func TestLookOvertakenByAChange(t *testing.T) {
	now := time.Now()
	r := record{Connection: Connection{ID: "a", Incarnation: "i", Version: 1, Status: StatusActive}}
	for name, change := range map[string]func(l *local){
		"told":               func(l *local) { l.changed("a", "i", 0) },
		"made here":          func(l *local) { l.drop("a") },
		"before subscribing": func(l *local) { l.confirmed(l.renewed(), now) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLocal(localCutOff, time.Minute)
			l.confirmed(l.renewed(), now)
			look := l.begin("a", now)
			change(l)
			l.put(look, r)
			if h, _ := l.get("a", now); h != nil {
				t.Error("the old grant is used")
			}
		})
	}
}

func TestLocalIsBounded(t *testing.T) {
	l, now := newLocal(localCutOff, time.Minute), time.Now()
	l.confirmed(l.renewed(), now)
	for i := range localMost + 100 {
		id := strconv.Itoa(i)
		l.put(l.begin(id, now), record{Connection: Connection{ID: id, Incarnation: "i", Version: 1, Status: StatusActive}})
		if h, _ := l.get("0", now); h == nil {
			t.Fatalf("what is used all the time was thrown away after %d others", i)
		}
	}
	if len(l.entries) != localMost || l.recent.Len() != localMost {
		t.Errorf("%d entries, want %d", len(l.entries), localMost)
	}
}

// While Redis is away one request of many tries it.
func TestOneTriesForAll(t *testing.T) {
	l, now := newLocal(localCutOff, time.Minute), time.Now()
	if !l.mayTry(now) {
		t.Error("Redis is not away, and is not asked")
	}
	l.failed(now)
	tries := 0
	for i := range 100 {
		if l.mayTry(now.Add(awayPause + time.Duration(i))) {
			tries++
		}
	}
	if l.mayTry(now.Add(awayPause-1)) || tries != 1 {
		t.Errorf("%d tries, want 1", tries)
	}
	l.confirmed(l.epoch, now)
	if !l.mayTry(now) || l.isAway() {
		t.Error("Redis is back, and is not asked")
	}
}
