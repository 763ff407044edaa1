package tokens_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(beASource) != "" {
		if err := sourceProcess(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	redis.SetLogger(quiet{})
	// These tests wait more than they compute.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// quiet keeps what go-redis says about servers that tests take away out of their output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// eachRedis runs test on miniredis and, where redis-server is on the PATH, on a
// real Redis; CRMBRIDGE_TEST_REDIS=required makes its absence a failure.
func eachRedis(t *testing.T, test func(*testing.T, redis.UniversalClient)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); test(t, client(t, startMini(t))) })
	t.Run("redis", func(t *testing.T) {
		if testing.Short() {
			t.Skip("skipped by -short: miniredis alone")
		}
		t.Parallel()
		test(t, client(t, startRedis(t)))
	})
}

// startMini starts a miniredis whose time goes on.
func startMini(t testing.TB) string {
	t.Helper()
	m := miniredis.RunT(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		const step = 50 * time.Millisecond
		for tick := time.NewTicker(step); ; m.FastForward(step) {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return m.Addr()
}

// patience is the time-out of clients in tests where Redis is never away: a machine
// that stalls must not make it look so.
const patience = time.Minute

func client(t testing.TB, addr string) redis.UniversalClient {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: 1,
		DialTimeout: patience, ReadTimeout: patience, PoolTimeout: patience})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func startRedis(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CRMBRIDGE_TEST_REDIS") == "required" {
			t.Fatal("CRMBRIDGE_TEST_REDIS=required, and no redis-server is installed")
		}
		t.Skip("no redis-server is installed; miniredis has run the same test")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := client(t, addr)
	await(t, "redis-server", func() bool { return c.Ping(t.Context()).Err() == nil })
	t.Logf("real Redis: %s on %s", path, addr)
	return addr
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	// Much longer than anything takes: only what does not come at all is a failure,
	// also on a machine that is busy with other things.
	const most = time.Minute
	for end := time.Now().Add(most); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, most)
		}
	}
}

// soon is what comes from a channel, within much more time than it takes: what does not
// come at all must not hold the tests up to their end.
func soon[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(2 * time.Minute): // a refresh gives up after one
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}

// dump returns every key and value of the database.
func dump(t *testing.T, c redis.UniversalClient) string {
	t.Helper()
	var b strings.Builder
	ctx := context.Background()
	for _, k := range c.Keys(ctx, "*").Val() {
		b.WriteString(k + "\n")
		switch c.Type(ctx, k).Val() {
		case "hash":
			for f, v := range c.HGetAll(ctx, k).Val() {
				b.WriteString(f + "=" + v + "\n")
			}
		case "zset":
			b.WriteString(strings.Join(c.ZRange(ctx, k, 0, -1).Val(), "\n"))
		case "list":
			b.WriteString(strings.Join(c.LRange(ctx, k, 0, -1).Val(), "\n"))
		case "string":
			b.WriteString(c.Get(ctx, k).Val())
		default:
			t.Fatalf("key %q has an unexpected type", k)
		}
	}
	return b.String()
}
