package throttle

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Processes is how many processes have said within the last seconds that they are there.
func Processes(ctx context.Context, client redis.UniversalClient) (int, error) {
	beats, err := client.HGetAll(ctx, fleetKey).Result()
	if err != nil {
		return 0, err
	}
	now, err := client.Time(ctx).Result()
	if err != nil {
		return 0, err
	}
	alive := 0
	for _, beat := range beats {
		at, err := strconv.ParseInt(beat, 10, 64)
		if err == nil && now.Sub(time.UnixMilli(at)).Abs() <= silentAfter {
			alive++
		}
	}
	return alive, nil
}
