package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// These measure whole fleets under load, each by ratios within one run:
//
//	go test ./cmd/internal/e2e -run '^$' -bench 'Limit|Flood|Overload' -benchtime 1x

// BenchmarkLimit offers a fleet of four processes three times what the limit of one
// user allows, over two connections and three windows. allowed-% is how much of what
// the limit allows got through, late-calls how many calls began between 250 ms after
// a block's first refusal and the end of its Retry-After.
func BenchmarkLimit(b *testing.B) {
	const window, requests = 10 * time.Second, 500
	for b.Loop() {
		u := &upstream{}
		w := bridgetest.NewWrapped(b, emulator.Options{Accounts: 10, Latency: 10 * time.Millisecond,
			Limits: emulator.Limits{Window: window, Requests: requests}}, u.wrap)
		for i := range 4 {
			bridgetest.Serve(b, w.Settings(i == 0))
		}
		w.Connect("acme")
		w.Connect("second")
		u.forget()
		load := newLoad(b, w)
		begun := time.Now()
		load.run(b, messages.UsersWhoAmI, 3*requests/int(window/time.Second), 3*window, 20*time.Second, "acme", "second")
		through := u.okBy(begun.Add(3 * window))
		codes := exactlyOne(b, load.settle(b), "ok", "throttled", "overloaded", "deadline_exceeded")
		blocks, late, _ := u.blocks(250 * time.Millisecond)
		b.Logf("%v; %d blocks", codes, blocks)
		b.ReportMetric(100*float64(through)/(3*requests), "allowed-%")
		b.ReportMetric(float64(late), "late-calls")
	}
}

// BenchmarkFlood lets one connection hang for 30 s altogether and floods it with
// 10,000 requests, in five windows, each beside one without. p99-ratio is the median,
// over the pairs, of another connection's p99 with the flood to the one without.
func BenchmarkFlood(b *testing.B) {
	const pairs, window, flood, pace = 5, 6 * time.Second, 10_000, 40
	for b.Loop() {
		var hanging hang
		w := bridgetest.NewWrapped(b, emulator.Options{Accounts: 10, Latency: 50 * time.Millisecond,
			Limits: emulator.Limits{Requests: -1, Execution: -1}}, hanging.wrap(emulator.DefaultUser))
		bridgetest.Serve(b, w.Settings(true))
		w.Connect("hanging")
		client, _ := w.Client()
		if err := signin.Connect(b.Context(), client, "fine", w.EmulatorURL, emulator.GermanUser); err != nil {
			b.Fatal(err)
		}
		measured, flooding := newLoad(b, w), newLoad(b, w)
		p99 := func() time.Duration {
			measured.run(b, messages.UsersWhoAmI, pace, window, 10*time.Second, "fine")
			asked := measured.settle(b)
			exactlyOne(b, asked, "ok")
			return percentile(asked, .99)
		}
		var ratios []float64
		for range pairs {
			alone := p99()
			release := hanging.begin()
			done := make(chan struct{})
			go func() {
				defer close(done)
				flooding.run(b, messages.UsersWhoAmI, flood/pairs/int(window/time.Second), window, 20*time.Second, "hanging")
			}()
			beside := p99()
			<-done
			release()
			exactlyOne(b, flooding.settle(b), "ok", "overloaded", "unavailable", "deadline_exceeded")
			ratios = append(ratios, float64(beside)/float64(alone))
			b.Logf("p99 %s alone, %s beside the flood", alone, beside)
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "p99-ratio")
	}
}

// BenchmarkOverload offers one process ten times what its connection can give for
// 30 s. p99-ratio is the p99 of the requests that were answered well, to the one at
// half of what can be given; memory-ratio the process's memory at the end to the one
// after 5 s; back-ratio the p99 from 5 s after the end, to the one before.
func BenchmarkOverload(b *testing.B) {
	const capacity = 200 // a second: 40 calls of 200 ms at once
	for b.Loop() {
		w := bridgetest.New(b, emulator.Options{Accounts: 10, Latency: 200 * time.Millisecond, Limits: emulator.Limits{Requests: -1, Execution: -1}})
		p := bridgetest.Serve(b, w.Settings(true))
		w.Connect("acme")
		load := newLoad(b, w)
		half := func() time.Duration {
			load.run(b, messages.UsersWhoAmI, capacity/2, 8*time.Second, 10*time.Second, "acme")
			asked := load.settle(b)
			exactlyOne(b, asked, "ok")
			return percentile(asked, .99)
		}
		before := half()
		var early int64
		timer := time.AfterFunc(5*time.Second, func() { early = resident(p.Process.Pid) })
		load.run(b, messages.UsersWhoAmI, 10*capacity, 30*time.Second, 10*time.Second, "acme")
		timer.Stop()
		late := resident(p.Process.Pid)
		asked := load.settle(b)
		codes := exactlyOne(b, asked, "ok", "overloaded")
		time.Sleep(5 * time.Second)
		after := half()
		b.Logf("%v; p99 %s at half, %s under overload, %s after; memory %d MiB after 5 s, %d at the end", codes, before, percentile(asked, .99), after, early>>20, late>>20)
		b.ReportMetric(float64(percentile(asked, .99))/float64(before), "p99-ratio")
		b.ReportMetric(float64(after)/float64(before), "back-ratio")
		b.ReportMetric(float64(late)/float64(max(early, 1)), "memory-ratio")
	}
}
