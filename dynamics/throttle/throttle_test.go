package throttle_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	// These tests wait more than they compute.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	// A pool that was closed while its server was away notices after a second.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// quiet keeps what go-redis says about servers that tests take away out of their output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var ada = dynamics.Principal{Organization: "org", User: "ada"}

// startRedis is a redis-server where one is installed, miniredis otherwise.
func startRedis(t *testing.T, options ...string) (addr string, kill func()) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CRMBRIDGE_TEST_REDIS") == "required" {
			t.Fatal("CRMBRIDGE_TEST_REDIS=required, and no redis-server is installed")
		}
		t.Log("Redis: miniredis, since no redis-server is installed")
		m := miniredis.RunT(t)
		return m.Addr(), m.Close
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	server := exec.Command(program, append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir",
		t.TempDir(),
		"--loglevel", "warning"}, options...)...)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	t.Cleanup(kill)
	within(t, 15*time.Second, "redis-server", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	t.Logf("Redis: %s", program)
	return addr, kill
}

// process is one process's throttle, with a connection of its own.
func process(t *testing.T, addr string, config throttle.Config, hooks ...redis.Hook) *throttle.Throttle {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1,
		ContextTimeoutEnabled: true})
	for _, h := range hooks {
		client.AddHook(h)
	}
	t.Cleanup(func() { _ = client.Close() })
	config.Redis = client
	limits, err := throttle.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(limits.Close)
	return limits
}

func within(t *testing.T, most time.Duration, what string, try func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !try(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, most)
		}
	}
}

// soon is what comes from a channel, within much more time than it takes: what does not
// come at all must not hold the tests up to their end.
func soon[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(15 * time.Second):
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}

func enter(t *testing.T, limits *throttle.Throttle) func(dynamics.Answer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	leave, err := limits.Enter(ctx, ada, "acme")
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

func TestConfigurationIsChecked(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	for name, config := range map[string]throttle.Config{
		"no Redis":             {},
		"negative concurrency": {Redis: client, Concurrency: -1},
		"negative wait":        {Redis: client, MaxBlock: -1},
		"negative queue":       {Redis: client, MaxWaiting: -1},
	} {
		if _, err := throttle.New(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// However many processes work for one user, the calls in flight never exceed the
// bound, all of it is used, and every process gets on.
func TestTheFleetSharesOneBound(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for processes to be forgotten")
	}
	t.Parallel()
	addr, _ := startRedis(t)
	const bound, processes = 8, 4
	var inFlight, most atomic.Int64
	var done [processes]atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var work sync.WaitGroup
	for p := range processes {
		limits := process(t, addr, throttle.Config{Concurrency: bound})
		for range 10 {
			work.Go(func() {
				for {
					leave, err := limits.Enter(ctx, ada, "acme")
					if err != nil {
						return
					}
					n := inFlight.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					time.Sleep(5 * time.Millisecond)
					inFlight.Add(-1)
					leave(dynamics.Answer{})
					done[p].Add(1)
				}
			})
		}
	}
	work.Wait()
	if most.Load() != bound {
		t.Errorf("at most %d calls were in flight, want %d", most.Load(), bound)
	}
	for p := range done {
		if done[p].Load() == 0 {
			t.Errorf("process %d made no call", p)
		}
	}
}

// counter counts the commands that reach Redis.
type counter struct{ n atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.n.Add(1); return next(ctx, cmd) }
}
func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A slot that is held costs no round trip.
func TestNoRoundTripWhileSlotsAreHeld(t *testing.T) {
	addr, _ := startRedis(t)
	commands := &counter{}
	limits := process(t, addr, throttle.Config{}, commands)
	enter(t, limits)(dynamics.Answer{})
	begun, before := time.Now(), commands.n.Load()
	const calls = 10_000
	for range calls {
		enter(t, limits)(dynamics.Answer{})
	}
	renewals := int64(time.Since(begun)/(100*time.Millisecond)) + 3
	if n := commands.n.Load() - before; n > renewals {
		t.Errorf("%d commands for %d calls, want at most %d", n, calls, renewals)
	}
}

// asksOf counts the questions for a user's slots.
type asksOf struct{ n atomic.Int64 }

func (c *asksOf) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *asksOf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); cmd.Name() == "evalsha" && len(args) > 3 && strings.Contains(fmt.Sprint(args[3]), "{") {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}
func (c *asksOf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A call of a user who is asked for now and then takes one question for a slot and one that gives
// it back. A third one may come where the call or the machine is slow.
func TestASingleCallAsksTwice(t *testing.T) {
	addr, _ := startRedis(t)
	asked := &asksOf{}
	limits := process(t, addr, throttle.Config{}, asked)
	enter(t, limits)(dynamics.Answer{}) // until the script is loaded and blocks are heard of
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	gone := func() bool { // the user's slots were given back, by the question that does that
		keys, err := client.Keys(t.Context(), "crmbridge:throttle:{*").Result()
		if err != nil {
			return false
		}
		for _, key := range keys {
			if n, err := client.HLen(t.Context(), key).Result(); err != nil || n > 0 {
				return false
			}
		}
		return true
	}
	within(t, 10*time.Second, "the first call's slot is given back", gone)
	least := int64(100)
	for range 5 {
		before := asked.n.Load()
		enter(t, limits)(dynamics.Answer{})
		within(t, 10*time.Second, "the slot is given back", gone)
		least = min(least, asked.n.Load()-before)
	}
	if least != 2 {
		t.Errorf("%d questions for one call, want 2", least)
	}
}

// From a refusal on no call of any process begins until Retry-After has passed, but
// for the time that telling takes; then they come back few at first.
func TestABlockHoldsForTheFleet(t *testing.T) {
	t.Parallel()
	addr, _ := startRedis(t)
	for attempt := 1; ; attempt++ {
		stall := watchStalls(t, addr)
		fault := blockHolds(t, addr, attempt)
		if worst := stall(); fault == nil || worst < 50*time.Millisecond || attempt == 5 {
			if fault != nil {
				t.Errorf("%v; the machine stood still for at most %s", fault, worst)
			}
			return
		}
	}
}

// watchStalls measures for how long the machine lets nobody run, this process or Redis: what
// comes late then is not the throttle's fault.
func watchStalls(t *testing.T, addr string) (worst func() time.Duration) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		defer client.Close()
		var most time.Duration
		for last := time.Now(); ; last = time.Now() {
			_ = client.Ping(t.Context()).Err()
			select {
			case <-stop:
				result <- most
				return
			case <-time.After(5 * time.Millisecond):
				most = max(most, time.Since(last))
			}
		}
	}()
	return func() time.Duration { close(stop); return <-result }
}

// everyoneHears waits until so many processes have subscribed to blocks: one that has not
// hears of them with its next question for slots only. Processes of attempts before may
// still be there.
func everyoneHears(t *testing.T, addr string, processes int64) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	const channel = "crmbridge:throttle:blocked"
	within(t, 15*time.Second, "the processes subscribe", func() bool {
		return client.PubSubNumSub(t.Context(), channel).Val()[channel] >= processes
	})
}

func blockHolds(t *testing.T, addr string, attempt int) error {
	const wait = time.Second
	p := dynamics.Principal{Organization: "org", User: fmt.Sprint("ada", attempt)}
	first, second := process(t, addr, throttle.Config{}), process(t, addr, throttle.Config{})
	everyoneHears(t, addr, 2*int64(attempt))
	var mu sync.Mutex
	var begins []time.Time
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			for {
				leave, err := second.Enter(ctx, p, "acme")
				if err != nil {
					return
				}
				mu.Lock()
				begins = append(begins, time.Now())
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
				leave(dynamics.Answer{})
			}
		})
	}
	leave, err := first.Enter(ctx, p, "acme")
	if err != nil {
		cancel()
		work.Wait()
		return err
	}
	refused := time.Now()
	leave(dynamics.Answer{Limit: dynamics.LimitRequests, RetryAfter: wait})
	time.Sleep(wait + 500*time.Millisecond)
	cancel()
	work.Wait()
	late, early, after, latest := 0, 0, 0, time.Duration(0)
	for _, at := range begins {
		switch since := at.Sub(refused); {
		case since < 0:
			early++
		case since > 300*time.Millisecond && since < wait-20*time.Millisecond:
			late, latest = late+1, since
		case since >= wait-20*time.Millisecond && since < wait+200*time.Millisecond:
			after++
		}
	}
	if late > 0 || early == 0 && len(begins) == 0 {
		return fmt.Errorf("%d calls of %d began while the user was blocked, the last after %s, %d before",
			late, len(begins), latest, early)
	}
	// Two slots for a quarter of a second and calls of 5 ms: without the ramp it
	// would be 800 in the first 200 ms.
	if after == 0 || after > 160 {
		return fmt.Errorf("%d calls in the first 200 ms after the block; they must come back, and few at first", after)
	}
	return nil
}

// deaf is a process that cannot subscribe, and whose first question for slots is answered
// late: what it then gets is from before a block that it has not heard of.
type deaf struct {
	late  time.Duration
	asked atomic.Int64
}

func (d *deaf) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := next(ctx, network, addr)
		return deafConn{c}, err
	}
}

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if len(cmd.Args()) > 10 && err == nil && d.asked.Add(1) == 1 {
			time.Sleep(d.late)
		}
		return err
	}
}

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type deafConn struct{ net.Conn }

func (c deafConn) Write(b []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(b), []byte("\nsubscribe\r")) {
		return 0, errors.New("this connection takes no subscription")
	}
	return c.Conn.Write(b)
}

// Slots from before a block are not used by a process that could not hear of it.
func TestSlotsFromBeforeABlockAreNotUsed(t *testing.T) {
	t.Parallel()
	addr, _ := startRedis(t)
	hook := &deaf{late: 400 * time.Millisecond}
	first, second := process(t, addr, throttle.Config{}), process(t, addr, throttle.Config{}, hook)
	began := make(chan time.Time, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() {
		if leave, err := second.Enter(ctx, ada, "acme"); err == nil {
			began <- time.Now()
			leave(dynamics.Answer{})
		}
	})
	within(t, 10*time.Second, "the second process asks", func() bool { return hook.asked.Load() > 0 })
	leave := enter(t, first)
	refused := time.Now()
	leave(dynamics.Answer{Limit: dynamics.LimitRequests, RetryAfter: 2 * time.Second})
	if since := soon(t, began, "the call").Sub(refused); since < 1900*time.Millisecond {
		t.Errorf("a call began %s after a refusal for 2 s", since)
	}
	work.Wait()
}

// A call that could not begin before its deadline is refused at once, and so is one
// that would wait too long.
func TestRefusedAtOnceDuringABlock(t *testing.T) {
	addr, _ := startRedis(t)
	for name, test := range map[string]struct{ block, deadline time.Duration }{
		"beyond the deadline": {5 * time.Second, 2 * time.Second},
		"beyond the bound":    {time.Minute, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			limits := process(t, addr, throttle.Config{})
			p := dynamics.Principal{Organization: "org", User: name}
			ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
			defer cancel()
			leave, err := limits.Enter(ctx, p, "acme")
			if err != nil {
				t.Fatal(err)
			}
			leave(dynamics.Answer{Limit: dynamics.LimitTime, RetryAfter: test.block})
			begun := time.Now()
			_, err = limits.Enter(ctx, p, "acme")
			fault, ok := errors.AsType[*dynamics.Error](err)
			if !ok || fault.Kind != dynamics.Throttled || fault.RetryAfter < test.block*8/10 || fault.RetryAfter > test.block {
				t.Errorf("%v", err)
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("refused after %s", took)
			}
			// A process that joins later hears of it from Redis.
			late := process(t, addr, throttle.Config{})
			within(t, 2*time.Second, "the late process is refused", func() bool {
				leave, err := late.Enter(ctx, p, "acme")
				if err == nil {
					leave(dynamics.Answer{}) // the first one is still telling
				}
				return dynamics.KindOf(err) == dynamics.Throttled
			})
		})
	}
}

// Slots of a process that dies come back, those of one that ends at once.
func TestSlotsOfTheDeadComeBack(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: a dead process is given up after seconds")
	}
	addr, _ := startRedis(t)
	const bound = 3
	dead, other := process(t, addr, throttle.Config{Concurrency: bound}),
		process(t, addr, throttle.Config{Concurrency: bound})
	for range bound {
		enter(t, dead)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := other.Enter(ctx, ada, "acme"); dynamics.KindOf(err) != dynamics.Cancelled {
		t.Fatalf("a fourth call of three: %v", err)
	}
	dead.Close() // its calls never end, as if they had died with it
	for range bound {
		enter(t, other)
	}
}

// Two connections of one user take turns, however many calls of the first wait.
func TestLanesTakeTurns(t *testing.T) {
	addr, _ := startRedis(t)
	limits := process(t, addr, throttle.Config{Concurrency: 1})
	hold := enter(t, limits)
	bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	var order []string
	var work, queued sync.WaitGroup
	wait := func(queue string) {
		queued.Add(1)
		work.Go(func() {
			queued.Done()
			leave, err := limits.Enter(bounded, ada, queue)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, queue)
			mu.Unlock()
			leave(dynamics.Answer{})
		})
	}
	for range 20 {
		wait("flood")
	}
	queued.Wait()
	time.Sleep(300 * time.Millisecond) // they are in the queue by now
	wait("other")
	queued.Wait()
	time.Sleep(300 * time.Millisecond)
	hold(dynamics.Answer{})
	work.Wait()
	for i, queue := range order {
		if queue == "other" && i <= 2 {
			return
		}
	}
	t.Errorf("the other connection's call came late: %v", order)
}

func TestBoundedQueue(t *testing.T) {
	addr, _ := startRedis(t)
	limits := process(t, addr, throttle.Config{Concurrency: 1, MaxWaiting: 2})
	hold := enter(t, limits)
	defer hold(dynamics.Answer{})
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	results := make(chan error, 5)
	for range 5 {
		work.Go(func() {
			_, err := limits.Enter(ctx, ada, "acme")
			results <- err
		})
	}
	for range 3 {
		err := soon(t, results, "a refusal")
		fault, ok := errors.AsType[*dynamics.Error](err)
		if !ok || fault.Kind != dynamics.Overloaded || fault.RetryAfter <= 0 {
			t.Errorf("%v", err)
		}
	}
	cancel()
	for range 2 {
		if err := soon(t, results, "the end of who waits"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	work.Wait()
}

// Without Redis each process goes on with its share, and keeps to a block that it
// knows of.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: the fleet is watched for seconds without Redis")
	}
	addr, kill := startRedis(t)
	const bound = 8
	one, two := process(t, addr, throttle.Config{Concurrency: bound}),
		process(t, addr, throttle.Config{Concurrency: bound})
	holdOne, holdTwo := enter(t, one), enter(t, two)
	time.Sleep(600 * time.Millisecond) // each has asked again and knows of the other
	kill()
	time.Sleep(1500 * time.Millisecond)
	var held []func(dynamics.Answer)
	for range bound/2 - 1 {
		held = append(held, enter(t, one))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := one.Enter(ctx, ada, "acme"); err == nil {
		t.Error("one process used more than its share")
	}
	for _, leave := range held {
		leave(dynamics.Answer{})
	}
	holdTwo(dynamics.Answer{})
	holdOne(dynamics.Answer{Limit: dynamics.LimitRequests, RetryAfter: 700 * time.Millisecond})
	begun := time.Now()
	enter(t, one)(dynamics.Answer{})
	if waited := time.Since(begun); waited < 600*time.Millisecond || waited > 4*time.Second {
		t.Errorf("a call after a block of 700ms began after %s", waited)
	}
}

// A refusal for too many at once takes slots away from the fleet.
func TestARefusalForConcurrencyTakesSlots(t *testing.T) {
	addr, _ := startRedis(t)
	const bound = 8
	limits := process(t, addr, throttle.Config{Concurrency: bound})
	began := time.Now()
	enter(t, limits)(dynamics.Answer{Limit: dynamics.LimitConcurrency, RetryAfter: 10 * time.Millisecond})
	// Slots come back by the ramp until three quarters are there, however long this
	// machine takes; one more would be one that has grown, which takes its time.
	const want, grows = bound * 3 / 4, 5 * time.Second
	got := 0
	for {
		wait := 300 * time.Millisecond
		if got < want {
			wait = time.Minute
		}
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err := limits.Enter(ctx, ada, "acme")
		cancel()
		if err != nil {
			break
		}
		got++
	}
	if grown := int(time.Since(began) / grows); got < want || got > want+grown {
		t.Errorf("%d slots after the refusal, want %d and at most %d that have grown", got, want, grown)
	}
}

func TestCloseEndsWaiting(t *testing.T) {
	addr, _ := startRedis(t)
	limits := process(t, addr, throttle.Config{Concurrency: 1})
	enter(t, limits)
	result := make(chan error, 1)
	go func() {
		_, err := limits.Enter(t.Context(), ada, "acme")
		result <- err
	}()
	time.Sleep(50 * time.Millisecond)
	limits.Close()
	if err := soon(t, result, "the end of who waits"); !errors.Is(err, dynamics.ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := limits.Enter(t.Context(), ada, "acme"); !errors.Is(err, dynamics.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// slowRedis holds every command until its context ends.
type slowRedis struct{ asked chan struct{} }

func (s slowRedis) DialHook(next redis.DialHook) redis.DialHook { return next }
func (s slowRedis) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, _ redis.Cmder) error {
		select {
		case s.asked <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}
}
func (s slowRedis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A process that stops while it asks Redis does not say that Redis is away.
func TestClosingIsNoOutage(t *testing.T) {
	addr, _ := startRedis(t)
	var log bytes.Buffer
	slow := slowRedis{asked: make(chan struct{}, 1)}
	limits := process(t, addr, throttle.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, slow)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _, _ = limits.Enter(ctx, ada, "acme") })
	soon(t, slow.asked, "a question to Redis")
	limits.Close()
	cancel()
	work.Wait()
	if log.Len() > 0 {
		t.Errorf("it logged %s", log.String())
	}
}

func BenchmarkEnter(b *testing.B) {
	m := miniredis.RunT(b)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	limits, err := throttle.New(throttle.Config{Redis: client})
	if err != nil {
		b.Fatal(err)
	}
	defer limits.Close()
	b.ReportAllocs()
	for b.Loop() {
		leave, err := limits.Enter(b.Context(), ada, "acme")
		if err != nil {
			b.Fatal(err)
		}
		leave(dynamics.Answer{})
	}
}
