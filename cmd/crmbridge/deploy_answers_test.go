package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// forFiles runs a test with each of the shipped configurations, side by side.
func forFiles(t *testing.T, test func(t *testing.T, file string)) {
	t.Helper()
	for _, file := range shippedFiles {
		t.Run(strings.TrimPrefix(file, "deploy/"), func(t *testing.T) {
			t.Parallel()
			test(t, file)
		})
	}
}

// An answer has as many messages as it likes: 50,001 that somebody with crmbridge's rights
// sends, and a stream of crmbridge's own with one row in each.
func TestDeployedAnswersOfManyMessages(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it reads answers of 50,001 and of 3,000 messages")
	forFiles(t, func(t *testing.T, file string) {
		const rows = 3000
		d := deployWith(t, file, emulator.Options{Accounts: rows,
			Limits: emulator.Limits{Requests: -1, Execution: -1}}, nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), messages.MaxDeadline-10*time.Second)
		defer cancel()
		client := messages.NewClient(d.as(requesterOf(file)))
		n := 0
		for _, err := range client.Accounts().Stream(ctx, messages.SearchRequest{
			Target: messages.Target{Connection: "acme"}, PageSize: 1, Fields: []string{"id"}}) {
			if err != nil {
				t.Fatalf("after %d messages: %v", n, err)
			}
			n++
		}
		if n != rows {
			t.Errorf("%d messages came, want %d", n, rows)
		}

		// Leads are served by crmbridge too, so this is a subject of its rights that it does not use.
		const subject, most = "crm.leads.many.request.acme", 50_001
		responder := d.as("crmbridge")
		if _, err := responder.Subscribe("crm.leads.many.request.*", func(msg *nats.Msg) {
			for i := range most {
				if err := responder.Publish(msg.Reply, []byte(strconv.Itoa(i))); err != nil {
					t.Error(err)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := responder.Flush(); err != nil {
			t.Fatal(err)
		}
		nc := d.as(requesterOf(file))
		inbox, err := nc.SubscribeSync(nc.NewInbox())
		if err == nil {
			err = inbox.SetPendingLimits(-1, -1)
		}
		if err == nil {
			err = nc.PublishRequest(subject, inbox.Subject, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range most {
			msg, err := inbox.NextMsg(time.Minute)
			if err != nil || string(msg.Data) != strconv.Itoa(i) {
				t.Fatalf("message %d: %v %v", i, msg, err)
			}
		}
	})
}

// scaled shortens the times for which the server remembers where answers go.
func scaled(t *testing.T, by int) func(string) string {
	return func(text string) string {
		threshold := regexp.MustCompile(`response_threshold: "(.+?)"`)
		return threshold.ReplaceAllStringFunc(text, func(found string) string {
			full, err := time.ParseDuration(threshold.FindStringSubmatch(found)[1])
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("response_threshold: %q", full/time.Duration(by))
		})
	}
}

// slow are faults that let the next users.get take that long at least: three tries of its
// first call, since one is given up after a minute, and its second call.
func slow(d *deployed, least time.Duration) {
	quarter := least/4 + 100*time.Millisecond
	d.Emulator.Control().Fail(emulator.Fault{Status: http.StatusBadGateway, Delay: quarter, Times: 2})
	d.Emulator.Control().Fail(emulator.Fault{Delay: quarter, Times: 2})
}

// An answer that takes three minutes arrives: with times at a thirtieth, and where the
// variable asks for it, as .ci/run does, with the true ones.
func TestDeployedAnswersThatTakeMinutes(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "an answer takes seconds")
	forFiles(t, func(t *testing.T, file string) {
		const by = 30
		d := deployWith(t, file, emulator.Options{Accounts: 5}, scaled(t, by), nil)
		arrivesLate(t, d, 3*time.Minute/by)
	})
	t.Run("without the threshold of the file", func(t *testing.T) {
		t.Parallel()
		d := deployWith(t, bridgetest.AccountsFile, emulator.Options{Accounts: 5}, scaled(t, 360), nil)
		d.Emulator.Control().Fail(emulator.Fault{Delay: 5 * time.Second})
		nc := d.as("acme")
		if err := lost(d, nc, func() {}); err != nil {
			t.Error(err)
		}
	})
}

// slowAnswers is the variable that asks for the test of true minutes.
const slowAnswers = "CRMBRIDGE_TEST_SLOW_ANSWERS"

// The same in true minutes: beside other tests it takes no CPU, but it takes three minutes.
func TestDeployedAnswersThatTakeTrueMinutes(t *testing.T) {
	t.Parallel()
	if os.Getenv(slowAnswers) != "required" {
		t.Skip("set " + slowAnswers + "=required to wait three minutes for an answer")
	}
	forFiles(t, func(t *testing.T, file string) {
		arrivesLate(t, deployWith(t, file, emulator.Options{Accounts: 5}, nil, nil), 3*time.Minute)
	})
}

func arrivesLate(t *testing.T, d *deployed, least time.Duration) {
	t.Helper()
	slow(d, least)
	ctx, cancel := context.WithTimeout(t.Context(), least+time.Minute)
	defer cancel()
	begun := time.Now()
	user, err := messages.NewClient(d.as(requesterOf(d.file))).User(ctx, messages.UserGetRequest{
		Target: messages.Target{Connection: "acme"}, Email: emulator.DefaultUser})
	took := time.Since(begun)
	if err != nil {
		t.Fatalf("after %s: %v", took, err)
	}
	if took < least {
		t.Errorf("it took %s, want at least %s", took, least)
	}
	t.Logf("%s: the answer about %s came after %s", d.file, user.Name, took.Round(time.Millisecond))
}

// cut closes a user's connections at the server, as a network does, and waits until they are
// there again.
func (d *deployed) cut(user string) {
	d.t.Helper()
	conns := func() map[uint64]bool {
		all, err := d.server.Connz(&server.ConnzOptions{Username: true, Limit: 1000})
		if err != nil {
			d.t.Fatal(err)
		}
		ids := map[uint64]bool{}
		for _, c := range all.Conns {
			if c.AuthorizedUser == user {
				ids[c.Cid] = true
			}
		}
		return ids
	}
	before := conns()
	if len(before) == 0 {
		d.t.Fatalf("%s is not connected", user)
	}
	for id := range before {
		if err := d.server.DisconnectClientByID(id); err != nil {
			d.t.Fatal(err)
		}
	}
	bridgetest.Await(d.t, user+" to connect again", func() error {
		again := 0
		for id := range conns() {
			if !before[id] {
				again++
			}
		}
		if again < len(before) {
			return errors.New("it has not")
		}
		return nil
	})
}

// pending asks with an answer that takes a while, and returns when crmbridge works on it.
func pending(d *deployed, nc *nats.Conn) (inbox *nats.Subscription, err error) {
	if inbox, err = nc.SubscribeSync(nc.NewInbox()); err != nil {
		return nil, err
	}
	if err := nc.PublishRequest("crm.users.whoami.request.acme", inbox.Subject, []byte(`{}`)); err != nil {
		return nil, err
	}
	bridgetest.Await(d.t, "a request in flight", func() error {
		if d.metric("crmbridge_requests_in_flight") == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	return inbox, nil
}

// lost asks, lets something happen meanwhile, and is an error where the answer arrives all
// the same.
func lost(d *deployed, nc *nats.Conn, meanwhile func()) error {
	sent := d.metric("crmbridge_requests_total")
	inbox, err := pending(d, nc)
	if err != nil {
		return err
	}
	meanwhile()
	bridgetest.Await(d.t, "the end of the request", func() error {
		if d.metric("crmbridge_requests_total") == sent {
			return errors.New("it is still worked on")
		}
		return nil
	})
	// This one is answered after it, by the same way.
	if _, err := nc.Request("crm.users.whoami.request.acme", []byte(`{}`), quick); err != nil {
		return err
	}
	if msg, err := inbox.NextMsg(time.Millisecond); err == nil {
		return fmt.Errorf("an answer came: %s", msg.Data)
	}
	return nil
}

// An answer arrives although crmbridge lost its connection to NATS and made another meanwhile,
// and so do those of a stream that are still to come.
func TestDeployedAnswersAcrossAReconnect(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "answers take seconds")
	forFiles(t, func(t *testing.T, file string) {
		d := deployWith(t, file, emulator.Options{Accounts: 8}, nil, nil)
		d.Emulator.Control().Fail(emulator.Fault{Delay: 5 * time.Second})
		inbox, err := pending(d, d.as(requesterOf(file)))
		if err != nil {
			t.Fatal(err)
		}
		d.cut("crmbridge")
		if msg, err := inbox.NextMsg(time.Minute); err != nil || answered(msg).refused {
			t.Fatalf("no answer after the reconnect: %v %v", msg, err)
		}
		d.Emulator.Control().Fail(emulator.Fault{Delay: 500 * time.Millisecond, Times: -1})
		pages := 0
		for _, err := range messages.NewClient(d.as(requesterOf(file))).Accounts().Stream(t.Context(),
			messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 1}) {
			if err != nil {
				t.Fatalf("after %d pages: %v", pages, err)
			}
			if pages++; pages == 3 {
				d.cut("crmbridge")
			}
		}
		if pages != 8 {
			t.Errorf("%d pages, want 8", pages)
		}
	})
}

// A requester that loses its own connection while it waits: users of one account have the
// answer when they are back, and tenants with an account have to ask again, since the server
// forgets where an answer goes once nobody waits there. deploy/README.md says so; where this
// fails, NATS has mended it.
func TestDeployedRequestersThatReconnect(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "answers take seconds")
	forFiles(t, func(t *testing.T, file string) {
		d := deployWith(t, file, emulator.Options{Accounts: 5}, nil, nil)
		d.Emulator.Control().Fail(emulator.Fault{Delay: 3 * time.Second})
		nc, requester := d.as(requesterOf(file)), requesterOf(file)
		if file == bridgetest.AccountsFile {
			if err := lost(d, nc, func() { d.cut(requester) }); err != nil {
				t.Error(err)
			}
			return
		}
		inbox, err := pending(d, nc)
		if err != nil {
			t.Fatal(err)
		}
		d.cut(requester)
		if msg, err := inbox.NextMsg(time.Minute); err != nil || answered(msg).refused {
			t.Fatalf("no answer after the reconnect: %v %v", msg, err)
		}
	})
}
