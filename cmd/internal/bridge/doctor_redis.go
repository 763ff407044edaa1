package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics/throttle"
	"github.com/crmbridge/crmbridge/tokens"
)

const (
	redisPage = "deploy/README.md#redis"
	// slowRedis is a round trip that requests feel: a new token costs several.
	slowRedis = 50 * time.Millisecond
	// oldKey is when a key should be rotated.
	oldKey = 366 * 24 * time.Hour
)

func (d *Doctor) checkRedis(ctx context.Context) {
	if !d.usable("redis", "REDIS_URL") {
		return
	}
	d.redis = redis.NewUniversalClient(d.config.Redis)
	quiet := slog.New(slog.DiscardHandler)
	probe := newProbe(d.redis, quiet, prometheus.NewRegistry())
	defer probe.close()
	asked, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	v := probe.look(asked)
	if v.err != nil {
		d.failed("redis", v.err.Error(), redisRemedy(v.err))
		d.redis = closed(d.redis)
		return
	}
	d.passed("redis", "it writes from a script, as crmbridge does")
	d.checkRoundTrip(ctx)
	if v.skew != 0 {
		d.warned("redis.clock", skewWords(v.skew), "keep both machines in time: timedatectl set-ntp true")
	}
	d.checkRedisSettings(ctx)
	d.checkChannels(ctx)
	if n, err := throttle.Processes(ctx, d.redis); err == nil {
		d.processes = n
	}
}

// closed closes a Redis that is of no use.
func closed(client redis.UniversalClient) redis.UniversalClient {
	_ = client.Close() // nothing is in flight
	return nil
}

func redisRemedy(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "user or password"):
		return "mend user and password in REDIS_URL: they are those of the ACL (deploy/redis.acl); see " + redisPage
	case strings.Contains(text, "refuses the"), strings.Contains(text, "inside of a script"):
		return "give the user the rights of deploy/redis.acl: redis-cli ACL LOAD"
	case strings.Contains(text, "password"):
		return "put user and password into REDIS_URL; see " + redisPage
	case strings.Contains(text, "refuses"):
		return "redis-cli INFO; see " + redisPage
	}
	return "start Redis, or mend REDIS_URL: redis-cli -u REDIS_URL PING; see " + redisPage
}

// checkRoundTrip takes the shortest of a few, since one may have met with anything.
func (d *Doctor) checkRoundTrip(ctx context.Context) {
	best := time.Duration(0)
	for range 5 {
		begun := time.Now()
		if d.redis.Ping(ctx).Err() != nil {
			return // the next check says it
		}
		if took := time.Since(begun); best == 0 || took < best {
			best = took
		}
	}
	words := fmt.Sprintf("a round trip takes %s", best.Round(10*time.Microsecond))
	if best > slowRedis {
		d.warned("redis.round_trip", words, "run Redis nearer to crmbridge: every new token takes several round trips")
		return
	}
	d.passed("redis.round_trip", "%s", words)
}

func (d *Doctor) checkRedisSettings(ctx context.Context) {
	info, err := d.redis.Info(ctx).Result()
	if err != nil {
		d.warned("redis.eviction", "it is not known whether Redis keeps what it is given: "+redisTrouble(err).Error(),
			"let the user use INFO (deploy/redis.acl)")
		return
	}
	if policy := infoField(info, "maxmemory_policy"); strings.HasPrefix(policy, "allkeys-") {
		d.failed("redis.eviction", "maxmemory-policy is "+policy+": when Redis is full it throws connections away",
			"redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf; see "+redisPage)
	} else {
		d.passed("redis.eviction", "maxmemory-policy %s keeps connections", policy)
	}
	if infoField(info, "aof_enabled") == "0" {
		d.warned("redis.append_only", "Redis has no append-only file: connections made or refreshed since its last "+
			"snapshot are lost when it crashes", "redis-cli CONFIG SET appendonly yes, and in redis.conf; see "+redisPage)
	} else {
		d.passed("redis.append_only", "what is written survives a crash")
	}
}

// checkChannels sends itself a message on a channel of crmbridge's: without that right no
// process hears of deletions and blocks in time.
func (d *Doctor) checkChannels(ctx context.Context) {
	const remedy = "let the user publish and subscribe to the channels crmbridge:* (deploy/redis.acl): " +
		"ACL SETUSER crmbridge resetchannels &crmbridge:*"
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	channel := "crmbridge:doctor:" + uuid.NewString()
	sub := d.redis.Subscribe(ctx, channel)
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		d.failed("redis.channels", "it does not let this user subscribe: "+redisTrouble(err).Error(), remedy)
		return
	}
	if err := d.redis.Publish(ctx, channel, "1").Err(); err != nil {
		d.failed("redis.channels", "it does not let this user publish: "+redisTrouble(err).Error(), remedy)
		return
	}
	if _, err := sub.ReceiveMessage(ctx); err != nil {
		d.failed("redis.channels", "what is published does not arrive", remedy)
		return
	}
	d.passed("redis.channels", "what is published arrives")
}

// checkKeyset tries whether the key set opens what is stored.
func (d *Doctor) checkKeyset(ctx context.Context) {
	const page = "deploy/README.md#keys"
	if !d.usable("keyset", "TOKEN_KEYSET") {
		return
	}
	if d.redis == nil {
		d.skipped("keyset", "not looked at: Redis cannot be asked")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	d.store = tokens.NewStore(d.redis, d.config.Keyset)
	tried, unopened, err := d.store.CheckKeys(ctx)
	switch {
	case tokens.CodeOf(err) == tokens.CodeConfigurationError:
		d.failed("keyset", err.Error(), "set the TOKEN_KEYSET with which the connections were made; see "+page)
		d.store = nil
		return
	case err != nil:
		d.failed("keyset", "it is not known whether it opens what is stored: "+err.Error(), "crmbridge keys list; see "+page)
		d.store = nil
		return
	case unopened > 0:
		d.warned("keyset", fmt.Sprintf("%d of %d connections that were tried do not open", unopened, tried),
			"bring the missing key back, or delete what is unreadable in 'crmbridge connections list'; see "+page)
	default:
		d.passed("keyset", "opens what is stored (%d tried)", tried)
	}
	d.checkKeyAge(page)
	d.findSample(ctx)
}

// checkKeyAge goes by the key set's file: a key set does not say when its keys were made.
func (d *Doctor) checkKeyAge(page string) {
	if d.Settings.TokenKeysetFile == "" {
		return
	}
	file, err := os.Stat(d.Settings.TokenKeysetFile)
	if err != nil {
		return // it has just been read
	}
	words := "the key set's file is of " + file.ModTime().UTC().Format(time.DateOnly)
	if time.Since(file.ModTime()) > oldKey {
		d.warned("keyset.age", words, "crmbridge keys rotate; see "+page)
		return
	}
	d.passed("keyset.age", "%s", words)
}

// findSample finds a connection whose directory and environment there are: the one that is
// checked, or any.
func (d *Doctor) findSample(ctx context.Context) {
	if d.Connection != "" {
		if c, err := d.store.Get(ctx, d.Connection); err == nil && c.TenantID != "" {
			d.sample = c
			return
		}
	}
	list, _, err := d.store.List(ctx, "", 100)
	if err != nil {
		return // without one less can be found out
	}
	for _, c := range list {
		if c.Status == tokens.StatusActive && c.TenantID != "" {
			d.sample = c
			return
		}
	}
}
