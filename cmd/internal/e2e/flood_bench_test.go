package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// deployment is one crmbridge process behind a NATS server with deploy/nats.conf, and
// the connections acme and globex of two users.
type deployment struct {
	as      func(user string) string
	process *bridgetest.Process
}

func deploy(b testing.TB, latency time.Duration) deployment {
	b.Helper()
	w := bridgetest.New(b, emulator.Options{Accounts: 10, Latency: latency, Limits: emulator.Limits{Requests: -1, Execution: -1}})
	port := bridgetest.Port(b)
	bridgetest.DeployedNATS(b, port)
	d := deployment{as: func(user string) string { return fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port) }}
	settings := w.Settings(true)
	settings.URL = d.as("crmbridge")
	d.process = bridgetest.Serve(b, settings)
	administrator, err := nats.Connect(d.as("administrator"), nats.CustomInboxPrefix("_INBOX.administrators"))
	if err != nil {
		b.Fatal(err)
	}
	defer administrator.Close()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	for connection, user := range map[string]string{"acme": emulator.DefaultUser, "globex": emulator.GermanUser} {
		if err := signin.Connect(ctx, messages.NewClient(administrator), connection, w.EmulatorURL, user); err != nil {
			b.Fatal(err)
		}
	}
	return d
}

// measured is the requester of globex.
func (d deployment) measured(b testing.TB) *requestLoad {
	b.Helper()
	nc, err := nats.Connect(d.as("globex"), nats.CustomInboxPrefix("_INBOX.globex.polite"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return listen(b, nc)
}

func (d deployment) logged() int { return len(d.process.Log.String()) }

// counted are the lines of /metrics about requests that were lost.
func (d deployment) counted(b testing.TB) string {
	b.Helper()
	response, err := http.Get(d.process.Admin + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	var lines []string
	for line := range strings.Lines(readAll(response)) {
		if strings.HasPrefix(line, "crmbridge_nats_dropped") || strings.HasPrefix(line, "crmbridge_unanswered") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, ", ")
}

// cpu is the process's CPU time so far.
func cpu(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var user, system int64
	if len(fields) < 13 {
		return 0
	}
	_, _ = fmt.Sscan(fields[11], &user) // what cannot be read counts nothing
	_, _ = fmt.Sscan(fields[12], &system)
	const tick = 10 * time.Millisecond // USER_HZ is 100
	return time.Duration(user+system) * tick
}

// BenchmarkFloodOfOneConnection floods the scoped subject of one connection at four
// rates, behind the shipped nats.conf, and asks for another connection's user 20 times
// a second meanwhile, with a window without a flood before each. For each rate: ok-% of
// the other's requests and the p99 of those, as a ratio to the window before; back-ratio
// the same from 2 s after the flood's end; log-KB what the process logged; cores the CPU
// that it took; unanswered requests of the flood's.
func BenchmarkFloodOfOneConnection(b *testing.B) {
	for _, rate := range []int{1000, 5000, 20_000, 60_000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			for b.Loop() {
				d := deploy(b, 20*time.Millisecond)
				polite := d.measured(b)
				window := func(during time.Duration) []question {
					polite.run(b, messages.UsersWhoAmI, 20, during, 10*time.Second, "globex")
					return polite.settle(b)
				}
				window(2 * time.Second) // warms up
				before := window(8 * time.Second)
				logged, spent := d.logged(), cpu(d.process.Process.Pid)
				p := startFlood(b, flooding{URL: d.as("campaigns"), Subject: messages.UsersWhoAmI.ScopedSubject("acme"), Body: "{}",
					Rate: rate, Seconds: 8, Inbox: "_INBOX.campaigns.flood"})
				beside := window(8 * time.Second)
				spent = cpu(d.process.Process.Pid) - spent
				time.Sleep(2 * time.Second)
				after := window(4 * time.Second)
				f := p.wait(b)
				b.Logf("%s", d.counted(b))
				good := exactlyOne(b, beside, "ok", "overloaded", "deadline_exceeded")["ok"]
				b.Logf("%d sent, answers %v, %d twice, %d none; other: p99 %s, %s beside, %s after; codes %v", f.Sent, f.Answers, f.Twice, f.None,
					percentile(before, .99), percentile(beside, .99), percentile(after, .99), exactlyOne(b, beside, "ok", "overloaded"))
				b.ReportMetric(100*float64(good)/float64(len(beside)), "ok-%")
				b.ReportMetric(float64(percentile(beside, .99))/float64(percentile(before, .99)), "p99-ratio")
				b.ReportMetric(float64(percentile(beside, .99).Milliseconds()), "p99-ms")
				b.ReportMetric(float64(percentile(after, .99))/float64(percentile(before, .99)), "back-ratio")
				b.ReportMetric(float64(d.logged()-logged)/1024, "log-KB")
				b.ReportMetric(spent.Seconds()/8, "cores")
				b.ReportMetric(float64(f.None), "unanswered")
			}
		})
	}
}

// accounts is a NATS configuration by which tenants reach crmbridge by service imports.
const accounts = `
	host: 127.0.0.1, port: -1, jetstream: {store_dir: %q}, max_payload: 1MB
	accounts {
		CRM: { jetstream: enabled, users: [{user: crmbridge, password: x}]
			exports: [{service: "crm.*.*.request.*", response_type: stream}, {service: "crm.*.*.request", response_type: stream}] }
		POLITE: { users: [{user: polite, password: x}], imports: [{service: {account: CRM, subject: "crm.users.*.request.acme"}}] }
		GREEDY: { users: [{user: greedy, password: x}], imports: [{service: {account: CRM, subject: "crm.users.*.request.acme"}}] }
	}`

// BenchmarkFloodOfOneRequester has a greedy requester ask 280 times a second for what a
// connection gives 133 times, beside a polite one of the same connection with 20: over
// two accounts, then from crmbridge's own account with an inbox each, with a thousand
// made-up inboxes, and with the polite one's inbox prefix. ok-% is the polite one's.
func BenchmarkFloodOfOneRequester(b *testing.B) {
	for _, c := range []struct {
		name, polite, greedy string // users
		inbox                string // the greedy one's
		inboxes              int
	}{
		{"accounts", "polite", "greedy", "_INBOX.greedy", 1},
		{"inboxes", "crmbridge", "crmbridge", "_INBOX.greedy", 1},
		{"invented", "crmbridge", "crmbridge", "_INBOX.greedy", 1000},
		{"borrowed", "crmbridge", "crmbridge", "_INBOX.polite", 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				w := bridgetest.New(b, emulator.Options{Accounts: 10, Latency: 300 * time.Millisecond, Limits: emulator.Limits{Requests: -1, Execution: -1}})
				name := b.TempDir() + "/nats.conf"
				if err := os.WriteFile(name, fmt.Appendf(nil, accounts, b.TempDir()), 0o600); err != nil {
					b.Fatal(err)
				}
				options, err := server.ProcessConfigFile(name)
				if err != nil {
					b.Fatal(err)
				}
				options.NoLog, options.NoSigs = true, true
				s := streamstest.Run(b, options)
				as := func(user string) string { return strings.Replace(s.ClientURL(), "nats://", "nats://"+user+":x@", 1) }
				settings := w.Settings(true)
				settings.URL, w.NATSURL = as("crmbridge"), as("crmbridge")
				bridgetest.Serve(b, settings)
				w.Connect("acme")
				nc, err := nats.Connect(as(c.polite))
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(nc.Close)
				load := listen(b, nc)
				load.inbox = "_INBOX.polite.0"
				if _, err := nc.Subscribe(load.inbox+".*", load.answered); err != nil {
					b.Fatal(err)
				}
				window := func() []question {
					load.run(b, messages.UsersWhoAmI, 20, 10*time.Second, 10*time.Second, "acme")
					return load.settle(b)
				}
				before := window()
				p := startFlood(b, flooding{URL: as(c.greedy), Subject: messages.UsersWhoAmI.ScopedSubject("acme"), Body: "{}",
					Rate: 280, Seconds: 14, Inbox: c.inbox, Inboxes: c.inboxes})
				time.Sleep(3 * time.Second)
				beside := window()
				f := p.wait(b)
				good := exactlyOne(b, beside, "ok", "overloaded", "deadline_exceeded")["ok"]
				b.Logf("greedy: %d sent, %v, %d none; polite: median %s alone, %s beside", f.Sent, f.Answers, f.None,
					percentile(before, .5), percentile(beside, .5))
				b.ReportMetric(100*float64(good)/float64(len(beside)), "ok-%")
				b.ReportMetric(float64(percentile(beside, .5))/float64(percentile(before, .5)), "p50-ratio")
			}
		})
	}
}

// BenchmarkFloodOfHangingConnections lets two connections hang with 30 requests a second
// each, beside eight whose environments answer in 50 ms, for 30 s. ok-% is of the
// healthy ones' requests; anything below 100 is a refusal.
func BenchmarkFloodOfHangingConnections(b *testing.B) {
	for b.Loop() {
		var hanging hang
		w := bridgetest.NewWrapped(b, emulator.Options{Accounts: 10, Latency: 50 * time.Millisecond,
			Limits: emulator.Limits{Requests: -1, Execution: -1}}, hanging.wrap(emulator.DefaultUser))
		bridgetest.Serve(b, w.Settings(true))
		client, _ := w.Client()
		var healthy []string
		for i := range 10 {
			name, user := fmt.Sprint("connection", i), emulator.GermanUser
			if i < 2 {
				user = emulator.DefaultUser
			} else {
				healthy = append(healthy, name)
			}
			if err := signin.Connect(b.Context(), client, name, w.EmulatorURL, user); err != nil {
				b.Fatal(err)
			}
		}
		release := hanging.begin()
		stuck, fine := newLoad(b, w), newLoad(b, w)
		done := make(chan struct{})
		go func() {
			defer close(done)
			stuck.run(b, messages.UsersWhoAmI, 60, 30*time.Second, 25*time.Second, "connection0", "connection1")
		}()
		fine.run(b, messages.UsersWhoAmI, 80, 30*time.Second, 10*time.Second, healthy...)
		asked := fine.settle(b)
		<-done
		release()
		codes := exactlyOne(b, asked, "ok")
		b.Logf("healthy: %v, p99 %s; hanging: %v", codes, percentile(asked, .99), exactlyOne(b, stuck.settle(b), "ok", "overloaded", "unavailable", "deadline_exceeded"))
		b.ReportMetric(100*float64(codes["ok"])/float64(len(asked)), "ok-%")
	}
}
