package throttle

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Blocked says which of some users Dataverse's limits keep out now, or let make one call at a
// time, each by a name that is the same for the same user. It asks Redis once for all of them.
func (t *Throttle) Blocked(ctx context.Context, users []dynamics.Principal) ([]string, error) {
	now, err := t.config.Redis.Time(ctx).Result()
	if err != nil {
		return nil, err
	}
	found := make([]*redis.SliceCmd, len(users))
	if _, err = t.config.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, user := range users {
			found[i] = p.HMGet(ctx, keyOf(user), "u", "probe")
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var blocked []string
	for i, one := range found {
		v := one.Val()
		if len(v) != 2 {
			continue
		}
		text, _ := v[0].(string)
		until, _ := strconv.ParseInt(text, 10, 64)
		if v[1] != nil || until > now.UnixMilli() {
			blocked = append(blocked, keyOf(users[i]))
		}
	}
	return blocked, nil
}
