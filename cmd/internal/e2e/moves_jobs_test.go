package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Jobs end in each way, and a dead letter is deleted.
func jobsMove(t *testing.T, seen *movements) {
	g := newGate()
	defer g.free()
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 30}, g.wrap)
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	w.Connect("acme")
	m := meterOf(t, seen, settings)
	_, nc := w.Client()
	r := newRequester(t, nc)
	r.job("accounts.search", "fine", `{"page_size":10}`)
	r.ended("fine")
	r.job("accounts.search", "wrong", `{"fields":["there_is_no_such_field"]}`)
	r.ended("wrong")
	g.at.Store(g.begun.Load() + 1)
	r.job("accounts.search", "stopped", `{"page_size":10}`)
	<-g.stands
	m.one("jobs_running", equal(1))
	r.ask("crm.jobs.cancel.request.acme", `{"job_id":"stopped"}`)
	r.ended("stopped")
	const total = `jobs_total{operation="accounts.search",state=%q}`
	done, failed, cancelled := fmt.Sprintf(total, "done"), fmt.Sprintf(total, "failed"), fmt.Sprintf(total, "cancelled")
	m.foreseen(done, failed, cancelled)
	m.await(map[string]wanted{done: equal(1), failed: equal(1), cancelled: equal(1),
		`jobs_ended_total{code="ok"}`:        equal(1),
		`jobs_ended_total{code="cancelled"}`: equal(1), `jobs_ended_total{code="invalid_request"}`: equal(1),
		"job_wait_seconds_count": equal(3), "job_duration_seconds_count": equal(3), "jobs_pages_total": above(3),
		`jobs_claims_total{outcome="claimed"}`: equal(3), "jobs_running": equal(0)})
	// What is stored is counted once a minute, and when a process starts.
	settings = w.Settings(false)
	w.Bridge(settings, nil)
	m = meterOf(t, seen, settings)
	m.one("dead_jobs", equal(1))
	if reply, body := r.ask("crm.jobs.delete.request.acme", `{"job_id":"wrong"}`); code(reply) != "" {
		t.Fatalf("%v", body)
	}
	m.one("dead_jobs", equal(0))
}

// More jobs than may run wait for their turn.
func waitingJobsMove(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 10, Latency: 20 * time.Millisecond})
	settings := w.Settings(true)
	settings.UserConcurrency = "1"
	w.Bridge(settings, nil)
	w.Connect("acme")
	m := meterOf(t, seen, settings)
	_, nc := w.Client()
	r := newRequester(t, nc)
	w.Emulator.Control().Fail(emulator.Fault{Route: "accounts", Delay: 3 * time.Second})
	for i := range 100 {
		r.job("accounts.search", fmt.Sprint("j", i), `{"page_size":10}`)
	}
	m.await(map[string]wanted{"jobs_pending": above(1), "jobs_runnable": equal(1), "jobs_connections": equal(1),
		"jobs_oldest_seconds": above(1), "jobs_running": above(0)})
	m.await(map[string]wanted{"jobs_pending": equal(0), "jobs_runnable": equal(0), "jobs_connections": equal(0),
		"jobs_oldest_seconds": equal(0), "jobs_running": equal(0)})
}

// A process is killed in a job, and another one takes it over.
func takeoverMoves(t *testing.T, seen *movements) {
	g := newGate()
	defer g.free()
	g.at.Store(1)
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 10}, g.wrap)
	victim := bridgetest.Serve(t, w.Settings(true))
	w.Connect("acme")
	_, nc := w.Client()
	newRequester(t, nc).job("accounts.search", "j", `{"page_size":10}`)
	<-g.stands
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	settings := w.Settings(false)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	m.await(map[string]wanted{"jobs_takeovers_total": equal(1), `jobs_claims_total{outcome="taken_over"}`: equal(1),
		`jobs_total{operation="accounts.search",state="done"}`: equal(1)})
}

// The stream of results is full of another connection's.
func fullStreamMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 500})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	w.Connect("acme")
	m := meterOf(t, seen, settings)
	_, nc := w.Client()
	r := newRequester(t, nc)
	stream, err := r.js.Stream(t.Context(), messages.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes, config.Discard = 100<<10, jetstream.DiscardNew
	if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for range 4 { // another connection's results
		if _, err := r.js.Publish(t.Context(), messages.ResultSubject("globex", "k"), make([]byte, 20<<10)); err != nil {
			t.Fatal(err)
		}
	}
	r.job("accounts.search", "j", `{"page_size":100}`)
	m.one("jobs_full_stream_waits_total", above(0))
}
