package tokens_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a redis-server process that can be killed, stopped and started again.
type server struct {
	t    *testing.T
	addr string
	args []string
	cmd  *exec.Cmd
}

// redisProgram is where redis-server is installed.
func redisProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CRMBRIDGE_TEST_REDIS") == "required" {
			t.Fatal("CRMBRIDGE_TEST_REDIS=required, and no redis-server is installed")
		}
		t.Skip("needs a redis-server, and none is installed")
	}
	return path
}

func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	program, port := redisProgram(t), freePort(t)
	s := &server{t: t, addr: "127.0.0.1:" + strconv.Itoa(port)}
	s.args = append([]string{program}, args...)
	s.args = append(s.args, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--loglevel",
		"warning")
	if !strings.HasSuffix(strings.Join(args, " "), "--sentinel") {
		s.args = append(s.args, "--save", "")
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	defer c.Close()
	await(s.t, "redis-server", func() bool { return c.Ping(context.Background()).Err() == nil })
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may be dead already
	_ = s.cmd.Wait()
}

func (s *server) signal(x syscall.Signal) {
	if err := s.cmd.Process.Signal(x); err != nil {
		s.t.Error(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.N(25000) // and the cluster bus 10000 above it
		one, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		two, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000))
		_ = one.Close()
		if err != nil {
			continue
		}
		_ = two.Close()
		return port
	}
	t.Fatal("no free ports")
	return 0
}

// universal is a client as crmbridge serve has it, as far as o does not say more.
func universal(t *testing.T, o redis.UniversalOptions) redis.UniversalClient {
	t.Helper()
	o.ContextTimeoutEnabled = true
	o.DialerRetries, o.DialerRetryTimeout, o.MaxRetries = 2, 50*time.Millisecond, 2
	if o.DialTimeout == 0 {
		o.DialTimeout = 2 * time.Second
	}
	c := redis.NewUniversalClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ofMany returns o for one of many processes: 20 of them that open their
// connections at once, on a machine that stalls, need more time than one.
func ofMany(o redis.UniversalOptions) redis.UniversalOptions {
	o.PoolSize = 4
	o.DialTimeout, o.ReadTimeout, o.PoolTimeout = patience, patience, patience
	return o
}

// startCluster starts three primaries and returns their addresses.
func startCluster(t *testing.T) []string {
	t.Helper()
	var addrs []string
	for range 3 {
		addrs = append(addrs, newServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "15000").addr)
	}
	ctx := t.Context()
	for i, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr})
		defer c.Close()
		if err := c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := c.ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err(); err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(addrs[0])
		if i > 0 {
			if err := c.ClusterMeet(ctx, host, port).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr})
		defer c.Close()
		await(t, "the cluster", func() bool {
			info := c.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return addrs
}

const masterName = "grants"

// startSentinel starts a primary, its replica and a sentinel.
func startSentinel(t *testing.T) (primary, replica, sentinel *server) {
	t.Helper()
	primary = newServer(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(primary.addr)
	replica = newServer(t, "--replicaof", host+" "+port)
	r := redis.NewClient(&redis.Options{Addr: replica.addr})
	defer r.Close()
	await(t, "the replica", func() bool {
		return strings.Contains(r.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	// A primary that the machine lets wait for less than 2.5 s must not count as dead.
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 1\nsentinel down-after-milliseconds %[1]s 2500\n"+
		"sentinel failover-timeout %[1]s 3000\n", masterName, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel = newServer(t, file, "--sentinel")
	s := redis.NewSentinelClient(&redis.Options{Addr: sentinel.addr})
	defer s.Close()
	await(t, "the sentinel", func() bool {
		found, err := s.Replicas(t.Context(), masterName).Result()
		return err == nil && len(found) == 1
	})
	return primary, replica, sentinel
}
