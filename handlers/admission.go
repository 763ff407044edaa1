package handlers

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/fair"
	"github.com/crmbridge/crmbridge/messages"
)

// An admission bounds the requests in hand, of all connections together and of
// each, so that one connection whose environment is slow or whose requesters flood
// holds up nobody else. Of one connection's requests only so many run as Dataverse
// takes at once; the others wait, requesters in turn.
type admission struct {
	most    int // in hand altogether
	running int // of one connection at once

	mu     sync.Mutex
	inHand int
	lines  map[string]*line // of the connections that have, or lately had, something in hand
}

// maxLines is how many connections' pace is remembered while they have nothing in hand.
const maxLines = 1000

// A line is one connection's requests in hand.
type line struct {
	inHand  int
	running int
	waiting fair.Queue[*place]
	took    time.Duration // of its requests, as a moving average
}

// A place is one request in hand.
type place struct {
	in    *admission
	name  string
	line  *line
	turn  chan struct{} // closed when it may run
	ahead int           // that waited when it came
	begun time.Time     // when it came to run, zero before
}

func newAdmission(most, running int) *admission {
	return &admission{most: most, running: min(most, running), lines: map[string]*line{}}
}

// greed says how much of what is left a connection may take: at most so many times
// the free places. One connection alone gets three quarters of all, two get three
// sevenths each, and there is always room for one that has nothing in hand.
const greed = 3

// admit takes a request in hand, or says how long its requester should wait.
func (a *admission) admit(name, requester string) (*place, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lines[name]
	if l == nil {
		l = &line{}
	}
	free := a.most - a.inHand
	if free <= 0 || l.inHand >= max(greed*free, 1) || a.standing(l) {
		return nil, a.patience(l)
	}
	a.lines[name] = l
	a.inHand++
	l.inHand++
	p := &place{in: a, name: name, line: l, turn: make(chan struct{}), ahead: l.waiting.Len()}
	if l.running < a.running {
		a.start(p)
	} else {
		l.waiting.Push(requester, p)
	}
	return p, 0
}

// burst is how long a request may wait for its turn in any case.
const burst = 100 * time.Millisecond

// standing reports whether one more request would wait longer than one takes: then
// more is asked of the connection than it gives, and a longer queue would make every
// answer late and none more.
func (a *admission) standing(l *line) bool {
	return l.running == a.running && l.took*time.Duration(l.waiting.Len())/time.Duration(a.running) > max(l.took, burst)
}

func (a *admission) start(p *place) {
	p.line.running++
	p.begun = time.Now()
	close(p.turn)
}

// Bounds of what a requester is told to wait when there is no room.
const (
	leastPatience = 250 * time.Millisecond
	mostPatience  = 10 * time.Second
)

// patience is about the time in which the requests in hand will have ended.
func (a *admission) patience(l *line) time.Duration {
	rounds := time.Duration(l.inHand/a.running + 1)
	return min(max(l.took*rounds, leastPatience), mostPatience)
}

// wait returns when the request may run. One whose turn will not come before its
// deadline, as far as the line's pace tells, is refused at once, and at the latest
// when ctx ends.
func (p *place) wait(ctx context.Context) error {
	select {
	case <-p.turn:
		return nil
	default:
	}
	if deadline, ok := ctx.Deadline(); ok {
		if need := p.expected(); need > time.Until(deadline) {
			return messages.Errorf(messages.Overloaded,
				"too many requests of this connection wait to be answered before the deadline; try again").After(min(need, mostPatience))
		}
	}
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *place) expected() time.Duration {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return p.line.took * time.Duration(p.ahead/p.in.running+1)
}

// leave ends the request and lets the next one run.
func (p *place) leave() {
	a, l := p.in, p.line
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inHand--
	l.inHand--
	if p.begun.IsZero() { // it never ran
		l.waiting.Remove(func(o *place) bool { return o == p })
	} else {
		l.learn(time.Since(p.begun))
		l.running--
		if next, ok := l.waiting.Pop(); ok {
			a.start(next)
		}
	}
	if l.inHand == 0 && len(a.lines) > maxLines {
		delete(a.lines, p.name)
	}
}

// learn follows the pace of the connection's requests.
func (l *line) learn(took time.Duration) {
	const weight = 8
	if l.took == 0 {
		l.took = took
	}
	l.took += (took - l.took) / weight
}

// requester tells requesters of a connection apart by the inbox that they listen
// on: NATS clients make one each and add a token a request.
func requester(reply string) string {
	if i := strings.LastIndexByte(reply, '.'); i > 0 {
		return reply[:i]
	}
	return reply
}
