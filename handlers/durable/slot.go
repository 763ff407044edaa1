package durable

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// leastHeld is what a page is taken to hold in any case, in bytes.
const leastHeld = 4 << 10

// memoryWait is how long a page waits for memory with its turn; then the job is given back.
const memoryWait = 10 * time.Second

// turn waits until a job may read one more page: see [route.Job]. The first one uses the
// slot of the claim. Who finds no memory gives the slot to others meanwhile.
func (l *Lane) turn(ctx context.Context, o *openJob) (context.Context, func(), error) {
	for until := time.Now().Add(memoryWait); ; {
		if err := l.slot(ctx, o); err != nil {
			return ctx, nil, err
		}
		account, err := l.options.Memory.Open(leastHeld)
		if err == nil {
			page := dynamics.WithBackground(budget.With(ctx, account))
			return page, sync.OnceFunc(func() {
				account.Close()
				l.board.turned(o)
				l.slots.Give()
			}), nil
		}
		l.slots.Give()
		full, ok := errors.AsType[*budget.Error](err)
		if !ok || time.Now().Add(full.After).After(until) {
			return ctx, nil, err
		}
		wait := time.NewTimer(full.After)
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx, nil, context.Cause(ctx)
		case <-wait.C:
		}
	}
}

// slot waits for a slot and the connection's turn.
func (l *Lane) slot(ctx context.Context, o *openJob) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, has := l.board.queuePage(o, l.now())
	if has {
		return nil
	}
	l.wake()
	select {
	case <-p.granted:
		return nil
	case <-ctx.Done():
		if !l.board.withdraw(p, l.now()) {
			l.slots.Give()
		}
		return context.Cause(ctx)
	}
}
