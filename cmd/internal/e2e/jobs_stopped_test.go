package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// stoppedFor is how long workers are stopped: longer than the lease of 15 s that a process has.
// CRMBRIDGE_TEST_STOPPED=60s is the same by hand.
func stoppedFor(t testing.TB) time.Duration {
	text := os.Getenv("CRMBRIDGE_TEST_STOPPED")
	if text == "" {
		return 18 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A gate lets requests for rows through until the one with a number, which waits.
type gate struct {
	at      atomic.Int64 // 0 for none
	begun   atomic.Int64
	stands  chan struct{}
	release chan struct{}
	free    func()
}

func newGate() *gate {
	g := &gate{stands: make(chan struct{}, 100), release: make(chan struct{})}
	g.free = sync.OnceFunc(func() { close(g.release) })
	return g
}

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/accounts") {
			if n := g.begun.Add(1); n == g.at.Load() {
				g.stands <- struct{}{}
				select {
				case <-g.release:
				case <-r.Context().Done():
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// A connection is deleted while the process that runs its job is stopped for longer than a
// lease, and is made again: nobody gets anything of the old incarnation, and nothing is left.
func TestDeletedWhileItsWorkerIsStopped(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "processes are stopped for longer than a lease")
	for name, page := range map[string]int64{"before page 1": 1, "before page 5": 5, "before the dead letter": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			defer g.free()
			w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 1000}, g.wrap)
			connects := bridgetest.Serve(t, w.Settings(true))
			w.Connect("acme")
			if err := connects.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = connects.Wait() // it was killed
			worker := bridgetest.Serve(t, w.Settings(false))
			_, nc := w.Client()
			r := newRequester(t, nc)
			old := ""
			if page > 0 {
				old = r.stopAtPage(g, worker, page)
			} else {
				old = r.stopBeforeDeadLetter(worker)
			}
			stopped := time.Now()
			cutOff(t, w, nc)
			w.Bridge(w.Settings(true), nil)
			if _, body := r.ask("crm.connections.delete.request", `{"connection":"acme"}`); body["deleted"] != true {
				t.Fatalf("%v", body)
			}
			if left := r.leftOf(); len(left) > 0 {
				t.Errorf("%v are left of a deleted connection", left)
			}
			w.Connect("acme")
			var ofOld atomic.Int64 // what the worker stores afterwards
			sub, err := nc.Subscribe("crm.*.acme.*", func(msg *nats.Msg) {
				if msg.Header.Get(messages.HeaderIncarnation) == old {
					ofOld.Add(1)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			nobody := func() {
				t.Helper()
				for n := 1; n <= 6; n++ {
					if reply, body := r.ask("crm.jobs.results.request.acme", fmt.Sprintf(`{"job_id":"j","page":%d}`, n)); code(reply) != "not_found" {
						t.Errorf("page %d of the old incarnation: %v %v", n, reply.Header, body)
					}
				}
				for _, ask := range []string{"get", "retry"} {
					if reply, body := r.ask("crm.jobs."+ask+".request.acme", `{"job_id":"j"}`); code(reply) != "not_found" {
						t.Errorf("%s: %v", ask, body)
					}
				}
				if _, body := r.ask("crm.jobs.list.request.acme", `{}`); len(body["jobs"].([]any)) != 0 {
					t.Errorf("%v", body)
				}
			}
			nobody()
			time.Sleep(time.Until(stopped.Add(stoppedFor(t))))
			g.free()
			if err := worker.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			bridgetest.Await(t, "a worker that goes on", worker.Ready)
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
				nobody()
			}
			bridgetest.Await(t, "empty streams", func() error {
				if left := r.leftOf(); len(left) > 0 {
					return errors.New(strings.Join(left, " "))
				}
				return nil
			})
			t.Logf("the worker published %d messages of the old incarnation after it was stopped for %v", ofOld.Load(),
				time.Since(stopped).Round(time.Second))
			// The id is as good as new.
			r.job("accounts.search", "j", `{"fields":["id"],"page_size":100,"parallel":false}`)
			if job := r.ended("j"); job["state"] != "done" || job["rows"] != 1000.0 {
				t.Errorf("%v", job)
			}
			if rows := r.pages("j"); len(rows) != 1000 {
				t.Errorf("%d rows", len(rows))
			}
		})
	}
}

// cutOff has NATS close all connections but the test's own, so that no request goes to a process
// that is stopped, as it does itself with one that answers no ping.
func cutOff(t testing.TB, w *bridgetest.World, own *nats.Conn) {
	t.Helper()
	id, err := own.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.NATS.Connz(&server.ConnzOptions{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Conns {
		if c.Cid != id {
			if err := w.NATS.DisconnectClientByID(c.Cid); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// stopAtPage stops a process while it waits for a page of a job, and returns its incarnation.
func (r requester) stopAtPage(g *gate, worker *bridgetest.Process, page int64) (incarnation string) {
	r.Helper()
	g.at.Store(page + g.begun.Load())
	records := r.records()
	r.job("accounts.search", "j", `{"fields":["id"],"page_size":100,"parallel":false}`)
	<-g.stands
	if err := worker.Process.Signal(syscall.SIGSTOP); err != nil {
		r.Fatal(err)
	}
	return records()
}

// records hears the records of jobs from now on; what it returns is an incarnation in them.
func (r requester) records() func() string {
	sub, err := r.nc.SubscribeSync("crm.*.acme.*")
	if err != nil {
		r.Fatal(err)
	}
	if err := r.nc.Flush(); err != nil {
		r.Fatal(err)
	}
	return func() (incarnation string) {
		defer func() { _ = sub.Unsubscribe() }()
		for {
			msg, err := sub.NextMsg(time.Second)
			if err != nil {
				return incarnation
			}
			if is := msg.Header.Get(messages.HeaderIncarnation); is != "" {
				incarnation = is
			}
		}
	}
}

// stopBeforeDeadLetter stops a process that has stored the end of a job that failed, and has not
// stored its dead letter. It is hit by trying.
func (r requester) stopBeforeDeadLetter(worker *bridgetest.Process) (incarnation string) {
	r.Helper()
	for try := range 200 {
		id := fmt.Sprint("try", try)
		sub, err := r.nc.SubscribeSync("crm.results.acme." + id)
		if err != nil {
			r.Fatal(err)
		}
		if err := r.nc.Flush(); err != nil {
			r.Fatal(err)
		}
		r.job("accounts.search", id, `{"page_sise":1}`)
		msg, err := sub.NextMsg(time.Minute)
		if err != nil {
			r.Fatal(err)
		}
		if err := worker.Process.Signal(syscall.SIGSTOP); err != nil {
			r.Fatal(err)
		}
		_ = sub.Unsubscribe()
		time.Sleep(20 * time.Millisecond) // what it had sent is stored
		dead, err := r.js.Stream(r.Context(), messages.DeadStream)
		if err != nil {
			r.Fatal(err)
		}
		if _, err := dead.GetLastMsgForSubject(r.Context(), messages.DeadSubject("acme", id)); err != nil {
			r.Logf("hit at try %d", try+1)
			return msg.Header.Get(messages.HeaderIncarnation)
		}
		if err := worker.Process.Signal(syscall.SIGCONT); err != nil {
			r.Fatal(err)
		}
	}
	r.Fatal("the process was never stopped in time")
	return ""
}
