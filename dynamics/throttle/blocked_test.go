package throttle_test

import (
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

// Every process sees who is kept out, each user once by a name of its own.
func TestBlockedUsersAreCounted(t *testing.T) {
	addr, _ := startRedis(t)
	one, other := process(t, addr, throttle.Config{}), process(t, addr, throttle.Config{})
	grace := dynamics.Principal{Organization: "org", User: "grace"}
	users := []dynamics.Principal{ada, grace, ada}
	if blocked, err := other.Blocked(t.Context(), users); err != nil || len(blocked) != 0 {
		t.Fatal(blocked, err)
	}
	enter(t, one)(dynamics.Answer{Limit: dynamics.LimitTime, RetryAfter: time.Minute})
	within(t, 10*time.Second, "the other process sees it", func() bool {
		blocked, err := other.Blocked(t.Context(), users)
		return err == nil && len(blocked) == 2 && blocked[0] == blocked[1]
	})
}
