package tokens

import (
	"context"
	"errors"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// defaultLease is how long a refresher that died keeps others waiting. While it
// lives it extends its lease.
const defaultLease = 10 * time.Second

// errTaken says that another refresher holds the lock.
var errTaken = errors.New("another process refreshes")

// locks gives out one lock per connection over all processes.
type locks struct {
	sync  *redsync.Redsync
	lease time.Duration
}

func newLocks(rdb redis.UniversalClient, lease time.Duration) locks {
	if lease <= 0 {
		lease = defaultLease
	}
	return locks{redsync.New(goredis.NewPool(rdb)), lease}
}

// lockPatience is how much of the lease one call to Redis may take: a Redis that
// stalls for a moment must not fail everybody who waits for the refresh.
const lockPatience = 0.3

// hold takes the lock on key, or says errTaken at once, and keeps it until the
// returned function is called. Whoever was paused past the lease has lost it
// without knowing; the compare-and-set of the save is what protects then.
func (l locks) hold(ctx context.Context, key string) (release func(), err error) {
	m := l.sync.NewMutex(key, redsync.WithExpiry(l.lease), redsync.WithTries(1),
		redsync.WithTimeoutFactor(lockPatience))
	if err := m.TryLockContext(ctx); err != nil {
		if _, taken := errors.AsType[*redsync.ErrTaken](err); taken {
			return nil, errTaken
		}
		return nil, redisError(err)
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(l.lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
				// A failure means a lost lease or an absent Redis; both show at the save.
				_, _ = m.ExtendContext(renewing)
			}
		}
	}()
	return func() {
		stop()
		<-done
		// With an own bound: the lock must go although the work's context ended.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_, _ = m.UnlockContext(ending)
	}, nil
}
