package live

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// script is what goes wrong, in the order in which it begins where it can. Those that take long
// are first, so that others run beside them.
func (w *world) script(m *monitor) []*fault {
	account := ""
	quiet := func(operation, connection string, body object) func() {
		return func() { _, _ = w.ask(operation, connection, body) } // whatever the answer: alerts are asked for
	}
	return []*fault{
		w.stuckJobs(),
		w.deadJob(),
		{
			name:   "two versions run",
			alerts: []string{"CrmbridgeVersionsDiffer"}, breaks: []string{theProcess},
			may:   []string{"CrmbridgeDown", "CrmbridgeNotReady", "CrmbridgeNoJobs"}, // while the process apart starts
			begin: func() error { w.restartApart(w.programs[1]); return nil },
			end:   func() error { w.restartApart(w.programs[0]); return nil },
		},
		{
			name:   "Redis stands still",
			alerts: []string{"CrmbridgeRedisAway", "CrmbridgeNotReady"}, breaks: []string{theRedis},
			// Of requests meanwhile:
			may: []string{"CrmbridgeUpstreamErrors", "CrmbridgeSlowRequests", "CrmbridgeOverloaded",
				"CrmbridgeNoJobs"},
			begin:   func() error { w.redis.signal(syscall.SIGSTOP); return nil },
			end:     func() error { w.redis.signal(syscall.SIGCONT); return nil },
			lingers: true, during: quiet("users.whoami", "acme", nil), pause: time.Second,
		},
		{
			name:   "NATS refuses a subscription",
			alerts: []string{"CrmbridgeSubscriptionRefused"}, breaks: []string{theNATS},
			may:   []string{"CrmbridgeNotReady", "CrmbridgeNoJobs"},
			begin: func() error { w.broker.deny(w.t, "crm.leads.search.request.*"); return nil },
			end:   func() error { w.broker.deny(w.t, ""); return nil },
		},
		{
			name:   "connections to NATS end again and again",
			alerts: []string{"CrmbridgeNatsReconnecting"}, breaks: []string{theNATS},
			may:    []string{"CrmbridgeNotReady", "CrmbridgeNoJobs"},
			during: func() { w.links[0].cut() }, pause: time.Second,
		},
		w.changedStream(),
		w.flood(),
		w.jam(m),
		{
			name:   "Dataverse refuses a user",
			alerts: []string{"CrmbridgeThrottled"}, needs: everyRequest,
			begin: func() error {
				w.fail("throttle", `{"route":"leads","kind":"throttle","retry_after":45,"times":-1}`)
				return nil
			},
			during: quiet("leads.search", "busy", object{"page_size": 5}), pause: 500 * time.Millisecond,
			end: func() error { w.mend("throttle"); return nil },
		},
		{
			name:   "Dataverse fails",
			alerts: []string{"CrmbridgeUpstreamErrors"}, needs: everyRequest,
			begin:  func() error { w.fail("error", `{"route":"opportunities","kind":"error","times":-1}`); return nil },
			during: quiet("opportunities.search", "acme", object{"page_size": 5}), many: 2, pause: 200 * time.Millisecond,
			end: func() error { w.mend("error"); return nil },
		},
		{
			name:   "Dataverse is slow",
			alerts: []string{"CrmbridgeSlowRequests"}, needs: everyRequest,
			begin: func() (err error) {
				account, err = w.account()
				w.fail("slow", `{"route":"accounts(key)","delay":"11s","times":-1}`)
				return err
			},
			during: func() { w.shout("accounts.get", "crawl", object{"account_id": account}, 1) }, pause: 3 * time.Second,
			end: func() error { w.mend("slow"); return nil },
		},
		{
			name:   "Entra refuses crmbridge's secret",
			alerts: []string{"CrmbridgeConfigurationError"},
			needs:  everyRequest, breaks: []string{theEntra},
			begin:  func() error { w.control("secret-expired", ""); return nil },
			during: quiet("connections.authorize", appConnection, w.asItself()),
			pause:  300 * time.Millisecond,
			end:    func() error { w.control("secret-expired?off=1", ""); return nil },
		},
		{
			name:   "a grant is revoked",
			alerts: []string{"CrmbridgeReauthorizationRequired"}, needs: everyRequest, breaks: []string{theEntra},
			begin: func() error {
				w.control("revoke?user="+users["gone"], "")
				w.control("expire", "")
				return nil
			},
			during: quiet("users.whoami", "gone", nil), pause: 300 * time.Millisecond,
			end: func() error { return w.connect("gone") },
		},
		w.overdueRefresh(),
		w.brokenRecord(),
		{
			name:   "the certificate ends soon",
			alerts: []string{"CrmbridgeCertificateEnds"}, needs: []string{theProcess},
			begin: func() error { w.certify(6 * time.Hour); return nil },
			end:   func() error { w.certify(365 * 24 * time.Hour); return nil },
		},
		{
			name:   "a process is killed",
			alerts: []string{"CrmbridgeDown"}, breaks: []string{theProcess},
			may:   []string{"CrmbridgeNotReady", "CrmbridgeNoJobs"}, // while it starts
			begin: func() error { w.apart.end(syscall.SIGKILL); return nil },
			end:   func() error { w.startApart(w.programs[0]); return nil },
		},
	}
}

// stuckJobs has as many jobs of a connection as processes run at once, 16 each, read a table row by
// row, slowly; others wait for them.
func (w *world) stuckJobs() *fault {
	ids := make([]string, 48)
	for i := range ids {
		ids[i] = "stuck-" + strconv.Itoa(i)
	}
	return &fault{
		name:   "jobs wait for jobs that do not end",
		alerts: []string{"CrmbridgeJobsStuck"},
		begin: func() error {
			w.fail("creep", `{"route":"contacts","delay":"2s","times":-1}`)
			for _, id := range ids {
				if err := w.publish("contacts.search", "stuck", id, object{"page_size": 1}); err != nil {
					return err
				}
			}
			return nil
		},
		end: func() error {
			var all errgroup.Group
			for _, id := range ids {
				all.Go(func() error { return w.want("jobs.cancel", "stuck", object{"job_id": id}, nil) })
			}
			err := all.Wait()
			if err == nil {
				w.mend("creep")
			}
			return err
		},
	}
}

// changedStream has somebody change a setting that crmbridge relies on. Jobs go on meanwhile, and
// would not after the next start.
func (w *world) changedStream() *fault {
	var before jetstream.StreamConfig
	set := func(change func(*jetstream.StreamConfig)) error {
		js, err := jetstream.New(w.nc)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		stream, err := js.Stream(ctx, "CRM_DEAD")
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		change(&config)
		_, err = js.UpdateStream(ctx, config)
		return err
	}
	return &fault{
		name:   "somebody changes a stream of jobs",
		alerts: []string{"CrmbridgeNoJobs"}, needs: []string{theNATS},
		begin: func() error {
			return set(func(c *jetstream.StreamConfig) { before, c.MaxMsgsPerSubject = *c, 9 })
		},
		end: func() error { return set(func(c *jetstream.StreamConfig) { *c = before }) },
	}
}

// flood has a requester ask more than a connection may have in flight and wait.
func (w *world) flood() *fault {
	return &fault{
		name:   "a requester floods",
		alerts: []string{"CrmbridgeOverloaded"}, needs: []string{theNATS, theRedis}, breaks: []string{thePlaces},
		may: []string{"CrmbridgeSlowRequests"},
		begin: func() error {
			w.fail("flood", `{"route":"WhoAmI","delay":"1s","times":-1}`)
			return nil
		},
		during: func() { w.shout("users.whoami", "flood", object{}, 200) }, pause: 100 * time.Millisecond,
		end: func() error { w.mend("flood"); return nil },
	}
}

// jam has NATS take no answers of a process for some seconds, while requests still come, more of
// them than refusals can wait.
func (w *world) jam(m *monitor) *fault {
	stop := func() {}
	return &fault{
		name:   "NATS takes no refusals",
		alerts: []string{"CrmbridgeRequestsDropped"}, needs: []string{theRedis},
		breaks: []string{theNATS, thePlaces},
		may: []string{"CrmbridgeOverloaded", "CrmbridgeSlowRequests", "CrmbridgeUpstreamErrors",
			"CrmbridgeNotReady", "CrmbridgeNatsReconnecting", "CrmbridgeNoJobs"},
		begin: func() error {
			w.fail("jam", `{"route":"WhoAmI","delay":"1s","times":-1}`)
			w.links[0].jammed.Store(true)
			stop = repeat(1, 100*time.Millisecond, func() { w.shout("users.whoami", "flood", object{}, 4000) })
			defer func() { stop() }()
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
				if n, err := m.value(w.targets[0], "crmbridge_unanswered_requests_total"); err == nil && n > 0 {
					return nil
				}
			}
			return fmt.Errorf("every refusal finds room, for %s", patience)
		},
		during: func() { w.links[0].jammed.Store(false) }, pause: time.Second,
		end: func() error { w.mend("jam"); return nil },
	}
}

// shout sends requests whose answers nobody takes.
func (w *world) shout(operation, connection string, body object, n int) {
	text := encode(w.t, body)
	for range n {
		_ = w.nc.PublishRequest("crm."+operation+".request."+connection, "_INBOX.nobody", text) // what is lost is not missed
	}
	_ = w.nc.Flush()
}

// overdueRefresh has Entra be away while the token of a connection that is in use ends.
func (w *world) overdueRefresh() *fault {
	return &fault{
		name:   "Entra renews no token",
		alerts: []string{"CrmbridgeRefreshOverdue"}, needs: everyRequest, breaks: []string{theEntra},
		may: []string{"CrmbridgeUpstreamErrors"},
		begin: func() error {
			w.control("lifetime?seconds=20", "")
			err := w.connect("late")
			w.control("lifetime?seconds=0", "")
			w.fail("away", `{"where":"token","kind":"unavailable","times":-1}`)
			return err
		},
		during: func() { _, _ = w.ask("users.whoami", "late", nil) }, pause: time.Second, lingers: true,
		end: func() error { w.mend("away"); return nil },
	}
}

// deadJob is a job that cannot be done. Dead letters are counted once a minute; NATS need not be
// there all the time until then.
func (w *world) deadJob() *fault {
	return &fault{
		name:   "a job fails for good",
		alerts: []string{"CrmbridgeDeadJobs"},
		begin: func() error {
			if err := w.publish("accounts.search", "crawl", "dead", object{"fields": []string{"nonsense"}}); err != nil {
				return err
			}
			return w.awaitJob("crawl", "dead", "failed")
		},
		end: func() error { return w.want("jobs.delete", "crawl", object{"job_id": "dead"}, nil) },
	}
}

// brokenRecord has somebody else write what crmbridge keeps of a job, which it cannot read then.
func (w *world) brokenRecord() *fault {
	return &fault{
		name:   "what is stored of a job is not crmbridge's",
		alerts: []string{"CrmbridgeInternalErrors"}, needs: everyRequest,
		begin: func() error {
			_, err := w.nc.Request("crm.state.acme.broken", []byte(`no record`), 30*time.Second)
			return err
		},
		during: func() { _, _ = w.ask("jobs.get", "acme", object{"job_id": "broken"}) }, pause: 300 * time.Millisecond,
	}
}
