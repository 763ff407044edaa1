package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
)

// Whatever goes wrong with a connection to NATS, its error names the servers and
// neither password nor token of their URLs.
func TestNATSErrorsHoldNoPassword(t *testing.T) {
	guarded, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, Username: "crm", Password: "right"})
	if err != nil {
		t.Fatal(err)
	}
	guarded.Start()
	t.Cleanup(func() { guarded.Shutdown(); guarded.WaitForShutdown() })
	if !guarded.ReadyForConnections(time.Minute) {
		t.Fatal("NATS did not start")
	}
	refusing := guarded.Addr().String()
	for servers, says := range map[string]string{
		"nats://crm:CANARY@" + refusing:                                refusing + ": ",
		"nats://CANARY@" + refusing:                                    refusing + ": ",
		"nats://crm:CANARY@127.0.0.1:1":                                "127.0.0.1:1: ",
		"nats://crm:CANARY@127.0.0.1:1, nats://crm:CANARY@127.0.0.1:2": "127.0.0.1:1, 127.0.0.1:2: ",
		"nats://crm:CANARY@127.0.0.1:port":                             "NATS_URL",
		"nats://127.0.0.1:1,nats://crm:CANARY%zz@127.0.0.1:2":          "NATS_URL",
		"nats://crm:CAN%2FARY@127.0.0.1:1":                             "127.0.0.1:1: ",
		"nats://crm:CANARY@127.0.0.1:1,nats://crm:CAN@ARY@127.0.0.1:2": "127.0.0.1:1, 127.0.0.1:2: ",
	} {
		nc, err := ConnectNATS(NATS{URL: servers}, "test")
		if err == nil {
			nc.Close()
			t.Errorf("%s: connected", servers)
			continue
		}
		if text := err.Error(); strings.Contains(text, "CAN") || strings.Contains(text, "ARY") || strings.Contains(text, "crm:") || !strings.Contains(text, says) {
			t.Errorf("%s: %v, want %q and no password", servers, err, says)
		}
	}
}

// An error that repeats an URL, as those of reading it do, is shown without it.
func TestCausesRepeatNoURL(t *testing.T) {
	const text = "nats://crm:CANARY%zz@127.0.0.1:1"
	bad := &url.Error{Op: "parse", URL: text, Err: url.EscapeError("%zz")}
	for _, err := range []error{bad, fmt.Errorf("connect: %w", bad), nats.ErrNoServers} {
		said := natsError(NATS{URL: "nats://crm:CANARY@n1:1"}, err)
		if text := said.Error(); strings.Contains(text, "CANARY") || !strings.HasPrefix(text, "connect to NATS at n1:1: ") {
			t.Error(text)
		}
	}
}

// redisInfo stands for a Redis that answers INFO.
type redisInfo struct {
	info string
	err  error
}

func (r redisInfo) DialHook(redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
}
func (r redisInfo) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		if r.err != nil {
			cmd.SetErr(r.err)
			return r.err
		}
		cmd.(*redis.StringCmd).SetVal(r.info)
		return nil
	}
}
func (r redisInfo) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type redisSays string

func (s redisSays) Error() string { return string(s) }
func (redisSays) RedisError()     {}

// A Redis that throws keys away which never expire would throw connections away: a
// process does not start with it. What is only lost in a crash is warned about.
func TestARedisThatEvictsIsRefused(t *testing.T) {
	info := func(policy, aof string) string {
		return "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:" + policy + "\r\n# Persistence\r\naof_enabled:" + aof + "\r\n"
	}
	for name, c := range map[string]struct {
		redis             redisInfo
		refuses, warns    string
		configurationFail bool
	}{
		"as it should be":   {redis: redisInfo{info: info("noeviction", "1")}},
		"evicts expiring":   {redis: redisInfo{info: info("volatile-lru", "1")}},
		"evicts anything":   {redis: redisInfo{info: info("allkeys-lru", "1")}, refuses: "allkeys-lru", configurationFail: true},
		"evicts at random":  {redis: redisInfo{info: info("allkeys-random", "1")}, refuses: "set its maxmemory-policy to noeviction", configurationFail: true},
		"evicts the rarest": {redis: redisInfo{info: info("allkeys-lfu", "1")}, refuses: "allkeys-lfu", configurationFail: true},
		"keeps no file":     {redis: redisInfo{info: info("noeviction", "0")}, warns: "no append-only file"},
		"does not say":      {redis: redisInfo{info: "# Server\r\n"}},
		"may not be asked":  {redis: redisInfo{err: redisSays("NOPERM User crmbridge has no permissions to run the 'info' command")}, warns: "may not use INFO"},
		"is not there":      {redis: redisInfo{err: errors.New("connection refused")}, refuses: "ask Redis how it is set up"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
			defer client.Close()
			client.AddHook(c.redis)
			err := checkRedis(t.Context(), client, slog.New(slog.NewTextHandler(&log, nil)))
			if (err == nil) != (c.refuses == "") || err != nil && !strings.Contains(err.Error(), c.refuses) {
				t.Errorf("%v, want a refusal with %q", err, c.refuses)
			}
			if errors.Is(err, ErrConfiguration) != c.configurationFail {
				t.Errorf("the operator must mend it: %v, want %v", !c.configurationFail, c.configurationFail)
			}
			if (log.Len() > 0) != (c.warns != "") || !strings.Contains(log.String(), c.warns) {
				t.Errorf("warned %q, want %q", log.String(), c.warns)
			}
		})
	}
}
