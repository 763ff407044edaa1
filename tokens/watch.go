package tokens

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A subscription on which nothing arrives may be live or dead, and on one to a server
// that is not the primary any more nothing ever arrives. So each process sends itself
// heartbeats on the path that changes take, to prove that the subscription is live:
// published by a script that writes, and in a cluster at every primary. A primary that
// its replicas have left (min-replicas-to-write) still passes messages on but refuses
// writes: deletions happen elsewhere then, and its messages prove nothing. Messages of
// one primary arrive in their order. So once a heartbeat has come back, every change
// that was published before it was sent has arrived too.

const (
	heartbeatEvery   = 250 * time.Millisecond
	heartbeatWait    = 600 * time.Millisecond
	heartbeatSilence = 2 * time.Second // without one: subscribe anew
	watchFirst       = 50 * time.Millisecond
	watchMost        = time.Second
	watchSpeaks      = time.Minute // between log lines about the same trouble
)

// watch keeps a subscription until the source ends.
func (s *Source) watch() {
	var spoke time.Time
	for wait := watchFirst; ; wait = min(wait*2, watchMost) {
		heard, err := s.listen(s.loops)
		s.local.gap()
		if s.loops.Err() != nil {
			return
		}
		if heard {
			wait = watchFirst
		}
		if time.Since(spoke) > watchSpeaks {
			spoke = time.Now()
			s.log.Warn("changes of connections are not heard, so every token is read from Redis", "error", err.Error())
		}
		if !pause(s.loops, wait/2+rand.N(wait)) {
			return
		}
	}
}

// listen holds one subscription. heard: it worked for a while.
func (s *Source) listen(ctx context.Context) (heard bool, err error) {
	own := keyPrefix + "alive:" + s.name
	sub := s.store.rdb.Subscribe(ctx)
	closing := sync.OnceFunc(func() { _ = sub.Close() })
	defer closing()
	subscribing, cancel := context.WithTimeout(ctx, heartbeatSilence)
	err = sub.Subscribe(subscribing, changedChannel, own)
	cancel()
	if err != nil {
		return false, err
	}
	ctx, stop := context.WithCancel(ctx)
	var beating sync.WaitGroup
	defer beating.Wait()
	defer stop()
	back := newHeartbeats()
	// Receive has no time-out; closing the subscription ends it.
	beating.Go(func() { defer closing(); s.sendHeartbeats(ctx, own, back) })
	subscribed := 0
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			return back.ever(), cmp.Or(back.failure(), err)
		}
		switch m := m.(type) {
		case *redis.Subscription:
			// Two channels, two answers; a third one would be a subscription that was
			// silently made again.
			if subscribed++; subscribed == 2 {
				back.start(s.local.renewed())
			} else if subscribed > 2 {
				return back.ever(), errors.New("the subscription broke")
			}
		case *redis.Message:
			if m.Channel == own {
				back.arrived(m.Payload)
				continue
			}
			s.heard(m.Payload)
		}
	}
}

func (s *Source) heard(message string) {
	id, rest, _ := strings.Cut(message, " ")
	incarnation, text, _ := strings.Cut(rest, " ")
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		version = 0 // of a later crmbridge perhaps: the copy goes, that is always right
	}
	s.local.changed(id, incarnation, version)
}

// sendHeartbeats sends them until ctx ends or none has come back for too long.
func (s *Source) sendHeartbeats(ctx context.Context, channel string, back *heartbeats) {
	last := time.Now()
	for round := 1; time.Since(last) < heartbeatSilence; round++ {
		sent := time.Now()
		if epoch, ok := s.heartbeatOnce(ctx, channel, round, back); ok {
			last = time.Now()
			s.local.confirmed(epoch, sent)
		}
		if !pause(ctx, heartbeatEvery*3/4+rand.N(heartbeatEvery/4)) {
			return
		}
	}
}

func (s *Source) heartbeatOnce(ctx context.Context, channel string, round int, back *heartbeats) (
	epoch int64, ok bool,
) {
	ctx, cancel := context.WithTimeout(ctx, heartbeatWait)
	defer cancel()
	back.expect()
	keys, err := s.heartbeatKeys(ctx)
	sent := make([]string, len(keys))
	failed := make([]error, len(keys))
	var sending sync.WaitGroup
	for i, key := range keys {
		sent[i] = back.name + "." + strconv.Itoa(round) + "." + strconv.Itoa(i)
		sending.Go(func() {
			failed[i] = guard(s.log, "the heartbeat", "",
				func() error { return s.store.heartbeat(ctx, key, channel, sent[i]) })
		})
	}
	sending.Wait()
	if err = errors.Join(append(failed, err)...); err != nil || len(keys) == 0 {
		back.failed(err)
		return 0, false
	}
	return back.wait(ctx, sent)
}

// heartbeats knows which of the present round have come back.
type heartbeats struct {
	name string // of this subscription: a late heartbeat of the one before proves nothing

	mu    sync.Mutex
	epoch int64 // 0: the subscription does not stand yet
	came  map[string]bool
	more  chan struct{} // of capacity 1: something came
	any   bool
	err   error // why the last one could not be sent
}

func newHeartbeats() *heartbeats {
	return &heartbeats{name: random(6), came: map[string]bool{}, more: make(chan struct{}, 1)}
}

func (b *heartbeats) start(epoch int64) { b.mu.Lock(); defer b.mu.Unlock(); b.epoch = epoch }

func (b *heartbeats) ever() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.any }

func (b *heartbeats) expect() { b.mu.Lock(); defer b.mu.Unlock(); b.came = map[string]bool{} }

func (b *heartbeats) failed(err error) { b.mu.Lock(); defer b.mu.Unlock(); b.err = err }

func (b *heartbeats) failure() error { b.mu.Lock(); defer b.mu.Unlock(); return b.err }

func (b *heartbeats) arrived(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.came[name], b.any, b.err = true, true, nil
	select {
	case b.more <- struct{}{}:
	default:
	}
}

func (b *heartbeats) wait(ctx context.Context, names []string) (epoch int64, ok bool) {
	for {
		b.mu.Lock()
		epoch, ok = b.epoch, b.epoch > 0
		for _, name := range names {
			ok = ok && b.came[name]
		}
		b.mu.Unlock()
		if ok {
			return epoch, true
		}
		select {
		case <-ctx.Done():
			return 0, false
		case <-b.more:
		}
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
