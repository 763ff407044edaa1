package throttle_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

// A cluster refuses scripts whose keys are not all in one slot, and that touch others.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server is installed, and miniredis is no cluster")
	}
	addr, _ := startRedis(t, "--cluster-enabled", "yes")
	node := redis.NewClient(&redis.Options{Addr: addr})
	defer node.Close()
	if err := node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	within(t, 15*time.Second, "the cluster is up", func() bool {
		return node.Set(t.Context(), "up", 1, 0).Err() == nil
	})
	var fleet [2]*throttle.Throttle
	for p := range fleet {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = client.Close() })
		var err error
		if fleet[p], err = throttle.New(throttle.Config{Redis: client, LongestBlock: time.Second}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet[p].Close)
	}
	enter(t, fleet[0])(answered)
	enter(t, fleet[1])(refusedForADay)
	within(t, 5*time.Second, "the block is in Redis", func() bool { return blockKey(t, node) != "" })
	fleet[1].ProbeSoon(t.Context(), ada)
	for _, limits := range fleet { // the first one is the probe
		within(t, 10*time.Second, "a call after the block", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			leave, err := limits.Enter(ctx, ada, "acme")
			if err == nil {
				leave(answered)
			}
			return err == nil
		})
	}
	within(t, 5*time.Second, "the block is over", func() bool {
		return !node.HExists(t.Context(), blockKey(t, node), "probe").Val()
	})
	within(t, 10*time.Second, "both have sent a heartbeat", func() bool {
		return node.HLen(t.Context(), "crmbridge:throttle:fleet").Val() == 2
	})
	enter(t, fleet[0])(dynamics.Answer{})
}
