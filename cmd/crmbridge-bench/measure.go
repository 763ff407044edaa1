package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A promises collects what holds and what does not.
type promises struct {
	*printer
	broken []string
}

// keep prints a measured figure beside what is promised of it.
func (p *promises) keep(held bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	verdict := "ok    "
	if !held {
		verdict = "BROKEN"
		p.broken = append(p.broken, text)
	}
	p.say("%s %s", verdict, text)
}

// verdict is an error that names what does not hold.
func (p *promises) verdict(name string) error {
	if len(p.broken) > 0 {
		return fmt.Errorf("%s: BROKEN\n  %s", name, strings.Join(p.broken, "\n  "))
	}
	p.say("%s: ok", name)
	return nil
}

// quantile is the value below which a share of the durations is.
func quantile(of []time.Duration, share float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func median(of []time.Duration) time.Duration { return quantile(of, 0.5) }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// people are users of the emulated environment, so that connections do not share the limit of
// one.
func people(n int) []emulator.User {
	users := make([]emulator.User, n)
	for i := range users {
		name := fmt.Sprintf("person%d@contoso.example", i)
		users[i] = emulator.User{Name: fmt.Sprintf("Person %d", i), UserName: name, Roles: []string{"System Administrator"}}
	}
	return users
}

// connectAll makes connections, each by one of the people in turn, several at once.
func (w *world) connectAll(connections []string) error {
	client := messages.NewClient(w.nc)
	users := len(w.options.Users)
	var mu sync.Mutex
	var first error
	var running sync.WaitGroup
	next := make(chan int)
	for range 8 {
		running.Go(func() {
			for i := range next {
				ctx, cancel := context.WithTimeout(w.ctx, 2*time.Minute)
				user := w.options.Users[i%users].UserName
				err := signin.Connect(ctx, client, connections[i], w.emulatorURL, user)
				cancel()
				if err != nil {
					mu.Lock()
					if first == nil {
						first = fmt.Errorf("connect %s: %w", connections[i], err)
					}
					mu.Unlock()
				}
			}
		})
	}
	for i := range connections {
		next <- i
	}
	close(next)
	running.Wait()
	return first
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i+1)
	}
	return names
}

// small is a job of one call.
func small(connection, id string) job {
	return newJob(messages.UsersWhoAmI, connection, id, map[string]any{})
}

// timed publishes n jobs one after the other, each after the end of the one before, and says
// how long each took.
func (w *world) timed(e *ends, n int, make func(i int) job) ([]time.Duration, error) {
	var took []time.Duration
	for i := range n {
		j := make(i)
		if err := w.publish(&j); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(w.ctx, 2*time.Minute)
		d, err := e.took(ctx, j)
		cancel()
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return took, nil
}

// awaitEmpty waits until CRM_JOBS is empty.
func (w *world) awaitEmpty(atMost time.Duration) error {
	return await(w.ctx, atMost, "no job message left", func(ctx context.Context) error {
		left, err := w.left(ctx)
		if err == nil && left > 0 {
			err = fmt.Errorf("%s has %d", messages.JobsStream, left)
		}
		return err
	})
}
