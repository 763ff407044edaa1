package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// defaultRedisURL is a Redis on this machine.
const defaultRedisURL = "redis://127.0.0.1:6379/0"

// redisAnswer is how long Redis may take for an answer: its scripts take microseconds.
const redisAnswer = 2 * time.Second

// redisOptions reads a Redis URL: redis:// and rediss:// for one server,
// redis+cluster:// (rediss+cluster://) with the addresses of some nodes, and
// redis+sentinel:// (rediss+sentinel://) with those of the sentinels, then
// /MASTER and /DB. Its errors never repeat the URL, which may hold a password.
func redisOptions(text string) (*redis.UniversalOptions, error) {
	if text == "" {
		text = defaultRedisURL
	}
	options, err := parseRedis(text)
	if err != nil {
		return nil, err
	}
	options.ContextTimeoutEnabled = true // a request's deadline ends its Redis calls too
	// A Redis that is away is found out within about a second: requesters have
	// better use for their deadline, and the next request tries again anyway.
	options.DialTimeout = 2 * time.Second
	options.DialerRetries = 2
	options.DialerRetryTimeout = 50 * time.Millisecond
	options.MaxRetries = 2
	// A connection that died without a sign costs one call this long, and is not used
	// again after a minute's rest.
	options.ReadTimeout, options.WriteTimeout = redisAnswer, redisAnswer
	options.ConnMaxIdleTime = time.Minute
	// Neither is needed, and a user with few permissions would be refused both.
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return options, nil
}

func parseRedis(text string) (*redis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	secure := strings.HasPrefix(scheme, "rediss")
	switch strings.Replace(scheme, "rediss", "redis", 1) {
	case "redis":
		single, err := redis.ParseURL(text)
		if err != nil {
			return nil, errRedisURL
		}
		if strings.Contains(rest, "?") {
			return nil, errors.New("takes no options after a ?; crmbridge sets time-outs and pools itself")
		}
		return &redis.UniversalOptions{Addrs: []string{single.Addr}, DB: single.DB, Username: single.Username,
			Password: single.Password, TLSConfig: single.TLSConfig}, nil
	case "redis+cluster":
		options, path, err := manyAddresses(rest, secure)
		if err != nil || strings.Trim(path, "/") != "" {
			return nil, errRedisURL
		}
		options.IsClusterMode = true
		return options, nil
	case "redis+sentinel":
		options, path, err := manyAddresses(rest, secure)
		if err != nil {
			return nil, err
		}
		master, db, _ := strings.Cut(strings.Trim(path, "/"), "/")
		options.MasterName = master
		if db != "" {
			options.DB, err = strconv.Atoi(db)
		}
		if master == "" || err != nil {
			return nil, errRedisURL
		}
		options.SentinelUsername, options.SentinelPassword = options.Username, options.Password
		return options, nil
	default:
		return nil, errRedisURL
	}
}

var errRedisURL = errors.New("is not a Redis URL; examples: redis://127.0.0.1:6379/0, " +
	"rediss://:PASSWORD@redis.example:6380/0, " +
	"redis+cluster://n1:6379,n2:6379, redis+sentinel://s1:26379,s2:26379/MASTER/0")

// manyAddresses reads [user:password@]host:port,host:port[/path].
func manyAddresses(rest string, secure bool) (*redis.UniversalOptions, string, error) {
	hosts, path, _ := strings.Cut(rest, "/")
	options := &redis.UniversalOptions{}
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		u, err := url.Parse("redis://" + hosts[:at] + "@host")
		if err != nil {
			return nil, "", errRedisURL
		}
		options.Username = u.User.Username()
		options.Password, _ = u.User.Password()
		hosts = hosts[at+1:]
	}
	for _, addr := range strings.Split(hosts, ",") {
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			return nil, "", errRedisURL
		}
		options.Addrs = append(options.Addrs, addr)
	}
	if secure {
		options.TLSConfig = tlsFor("")
	}
	return options, path, nil
}

// checkRedis refuses a Redis that may throw grants away, and warns about one
// that forgets them in a crash. A user who may not ask is warned about: whether Redis
// does what crmbridge needs is for the probe to find out.
func checkRedis(ctx context.Context, client redis.UniversalClient, log *slog.Logger) error {
	info, err := client.Info(ctx).Result()
	if redis.IsPermissionError(err) {
		log.Warn("this user of Redis may not use INFO, so it is not checked that Redis keeps what it is given: " +
			"its maxmemory-policy must be noeviction, and it should have an append-only file")
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask Redis how it is set up: %w", redisTrouble(err))
	}
	if policy := infoField(info, "maxmemory_policy"); strings.HasPrefix(policy, "allkeys-") {
		return ConfigurationError(fmt.Errorf("REDIS_URL: this Redis evicts keys by %s and would throw "+
			"connections away when it is full; set its maxmemory-policy to noeviction", policy))
	}
	if infoField(info, "aof_enabled") == "0" {
		log.Warn("Redis has no append-only file: connections made or refreshed since its last snapshot are lost " +
			"when it crashes; set appendonly yes")
	}
	return nil
}

func infoField(info, name string) string {
	for line := range strings.SplitSeq(info, "\n") {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			return value
		}
	}
	return ""
}
