package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

const (
	probeFresh = time.Second      // how long a verdict counts; however many ask, Redis is asked no more often
	probeWait  = 2 * time.Second  // for an answer
	probeEvery = 15 * time.Second // without being asked, for the log and the clock
	probeKept  = time.Minute      // the key that is written

	// skewMost is how far this machine's clock and Redis's may be apart without a word.
	skewMost = 5 * time.Second
)

// probeScript does what crmbridge does with Redis, a write from a script, and reads
// its clock. A PING is answered by a replica and by a Redis whose memory is full, too.
var probeScript = redis.NewScript(`
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return redis.call('TIME')`)

// probeTags are hash tags whose slots lie about 1024 apart, so that in a cluster each
// primary with a sixteenth of the slots is written to.
var probeTags = [...]string{
	"p852", "p942", "p769", "p679", "p83", "p954", "p192", "p239",
	"p484", "p48", "p904", "p814", "p629", "p739", "p409", "p519",
}

// A probe finds out whether Redis does what crmbridge needs of it.
type probe struct {
	client redis.UniversalClient
	log    *slog.Logger
	offset prometheus.Gauge

	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	at      time.Time // of the last verdict
	last    verdict
	running chan struct{} // closed when the attempt under way has ended; nil for none
	away    time.Time     // when the log last heard that Redis does not what it should; zero while it does
	warned  bool          // of the clock
}

// A verdict is what came of asking Redis once.
type verdict struct {
	err  error         // in words for an operator; nil where it does what it should
	skew time.Duration // this machine's clock less Redis's, 0 where they agree as far as one can tell
}

// note says what does not keep requests from being answered.
func (v verdict) note() string {
	if v.skew == 0 {
		return ""
	}
	return skewWords(v.skew)
}

func newProbe(client redis.UniversalClient, log *slog.Logger, registry prometheus.Registerer) *probe {
	p := &probe{client: client, log: log, offset: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "crmbridge_clock_offset_seconds",
		Help: "This machine's clock less that of Redis, in seconds, as it was read last.",
	})}
	registry.MustRegister(p.offset)
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// watch asks now and then until close.
func (p *probe) watch() {
	p.work.Go(func() {
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for {
			select {
			case <-p.life.Done():
				return
			case <-tick.C:
				p.look(p.life)
			}
		}
	})
}

func (p *probe) close() {
	p.mu.Lock() // after it nobody begins to ask
	p.end()
	p.mu.Unlock()
	p.work.Wait()
}

// look is the verdict of the last second, or a new one. Who asks meanwhile waits for
// the same.
func (p *probe) look(ctx context.Context) verdict {
	p.mu.Lock()
	if p.running == nil && time.Since(p.at) < probeFresh {
		defer p.mu.Unlock()
		return p.last
	}
	if p.running == nil {
		p.running = make(chan struct{})
		p.work.Go(p.ask)
	}
	running := p.running
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return verdict{err: errNoAnswer}
	case <-running:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *probe) ask() {
	ctx, cancel := context.WithTimeout(p.life, probeWait)
	defer cancel()
	v := p.try(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.at = v, time.Now()
	close(p.running)
	p.running = nil
	if p.life.Err() == nil {
		p.tell(v)
	}
}

// tell logs that Redis does not do what it should, at once and once a minute while that lasts,
// and once that it does again.
func (p *probe) tell(v verdict) {
	if v.err != nil {
		if p.at.Sub(p.away) >= lostAgain-probeFresh { // as it is asked every so often
			p.away = p.at
			p.log.Warn("Redis does not do what it is asked", "error", v.err.Error())
		}
		return
	}
	if !p.away.IsZero() {
		p.away = time.Time{}
		p.log.Info("Redis does what it is asked again")
	}
	switch {
	case v.skew != 0 && !p.warned:
		p.log.Warn(skewWords(v.skew))
	case v.skew == 0 && p.warned:
		p.log.Info("this machine's clock and Redis's agree again")
	}
	p.warned = v.skew != 0
}

// try asks once.
func (p *probe) try(ctx context.Context) verdict {
	tags := probeTags[:1]
	if _, cluster := p.client.(*redis.ClusterClient); cluster {
		tags = probeTags[:]
	}
	verdicts := make(chan verdict, len(tags))
	for _, tag := range tags {
		p.work.Go(func() { verdicts <- p.tryKey(ctx, "crmbridge:{"+tag+"}:probe") })
	}
	worst := verdict{}
	for range tags {
		v := <-verdicts
		if worst.err == nil && (v.err != nil || v.skew.Abs() > worst.skew.Abs()) {
			worst = v
		}
	}
	return worst
}

func (p *probe) tryKey(ctx context.Context, key string) verdict {
	sent := time.Now()
	now, err := probeScript.Run(ctx, p.client, []string{key}, probeKept.Milliseconds()).Int64Slice()
	took := time.Since(sent)
	if err != nil {
		return verdict{err: redisTrouble(err)}
	}
	if len(now) != 2 {
		return verdict{err: errors.New("what Redis answers to TIME is no time")}
	}
	// It was read some time between sending and receiving.
	offset := sent.Add(took / 2).Sub(time.Unix(now[0], now[1]*1000))
	p.offset.Set(offset.Seconds())
	if offset.Abs()-took/2 > skewMost {
		return verdict{skew: offset.Round(100 * time.Millisecond)}
	}
	return verdict{}
}

var errNoAnswer = errors.New("no answer from Redis")

// redisTrouble words an error of Redis for an operator.
func redisTrouble(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errNoAnswer
	}
	return errors.New(tokens.RedisTrouble(err))
}

func skewWords(skew time.Duration) string {
	side := "ahead of"
	if skew < 0 {
		side = "behind"
	}
	return fmt.Sprintf("the clock of this machine is %s %s that of Redis: deadlines that requesters "+
		"send, and the ends of "+
		"access tokens and sign-ins, are misjudged by as much; keep both in time (NTP)", skew.Abs(), side)
}
