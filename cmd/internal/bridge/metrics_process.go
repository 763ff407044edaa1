package bridge

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

// processMetrics registers what this process knows of itself and of its connections.
func (b *Bridge) processMetrics() {
	_, revision, _ := strings.Cut(Version(), "+")
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "crmbridge_build_info", Help: "What runs here; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go": runtime.Version()},
	})
	build.Set(1)
	ends := b.certificateEnd()
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "crmbridge_" + name, Help: help}, value)
	}
	b.redisErrors = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "crmbridge_redis_errors_total",
		Help: "Commands and pipelines that Redis did not answer, or answered with an error.",
	})
	b.registry.MustRegister(build, b.redisErrors, readiness{b},
		gauge("nats_connected", "Whether this process is connected to NATS: 1 or 0.", func() float64 {
			return truth(b.linked.Load() && b.nats.IsConnected())
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "crmbridge_nats_reconnects_total",
			Help: "How often the connection to NATS was made again."}, func() float64 {
			if !b.linked.Load() {
				return 0
			}
			return float64(b.nats.Stats().Reconnects)
		}),
		gauge("redis_up", "Whether Redis did what crmbridge needs of it when it was last tried: 1 or 0. It is tried every "+
			"15 s, and at a scrape, whose answer is the next one's.", func() float64 {
			return truth(b.redisUp())
		}),
		gauge("breakers_open", "Connections whose environment did not answer, so that this process refuses their calls "+
			"or lets one through at a time.", func() float64 {
			if b.wired.Load() {
				return float64(b.dynamics.OpenCircuits())
			}
			return 0
		}),
		gauge("certificate_expires_seconds", "How long the client certificate is valid still, in seconds, below 0 once it "+
			"has ended; +Inf where there is none.", func() float64 {
			if end := ends(); !end.IsZero() {
				return time.Until(end).Seconds()
			}
			return math.Inf(1)
		}),
	)
	b.fleet = newFleetMetrics(b.registry)
}

// certificateEnd says when the client certificate ends; zero where there is none. One that
// cannot be used ends the start with its own error.
func (b *Bridge) certificateEnd() func() time.Time {
	if file := b.config.ClientCertificateFile; file != "" {
		if end, err := tokens.WatchCertificate(file); err == nil {
			return end
		}
	}
	return func() time.Time { return time.Time{} }
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// redisUp is what is known of Redis, without waiting for it.
func (b *Bridge) redisUp() bool { return b.linked.Load() && b.probe.up() }

// readiness shows the checks of /readyz. Each is there from the start, and a scrape waits for
// none of them.
type readiness struct{ b *Bridge }

var readyDesc = prometheus.NewDesc("crmbridge_ready", "Whether a check of /readyz finds what this process needs: 1 or "+
	"0. While one is 0 /readyz fails, but for streams and jobs: without them no job is run, and requests are answered.",
	[]string{"check"}, nil)

// Describe sends the description of the gauge.
func (readiness) Describe(to chan<- *prometheus.Desc) { to <- readyDesc }

// Collect sends a sample for each check.
func (r readiness) Collect(to chan<- prometheus.Metric) {
	for _, check := range r.b.checks() {
		to <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, truth(check.well()), check.name)
	}
}

// up is the last verdict. Where it is not new, Redis is asked anew, and nobody waits for that.
func (p *probe) up() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil && time.Since(p.at) >= probeFresh && p.life.Err() == nil {
		p.running = make(chan struct{})
		p.work.Go(p.ask)
	}
	return !p.at.IsZero() && p.last.err == nil
}

// redisCounter counts the commands that fail, of everybody in this process who uses Redis.
type redisCounter struct{ errors prometheus.Counter }

// DialHook counts nothing: the command that wanted the connection fails too.
func (c redisCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts commands.
func (c redisCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		c.count(err)
		return err
	}
}

// ProcessPipelineHook counts pipelines.
func (c redisCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		c.count(err)
		return err
	}
}

// count leaves out what is no error: nothing found, a caller who has gone, a script that Redis
// is told of with the next command.
func (c redisCounter) count(err error) {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) ||
		redis.HasErrorPrefix(err, "NOSCRIPT") {
		return
	}
	c.errors.Inc()
}
