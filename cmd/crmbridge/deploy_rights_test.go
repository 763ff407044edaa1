package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A right is one line of the table: an act of a user, and whether it is to be refused.
type right struct {
	user string // "requester" is the one of acme in either file
	act  string
	do   func(*deployed, *nats.Conn) outcome
	says string // in the server's words, or empty
	only string // the file that the line is about; empty is both
}

// Each user of the shipped configurations is refused by a real server, or by crmbridge behind
// it, what is not its business, and may do what is. The list of both, with the answers, is
// printed with -v.
func TestDeployedRights(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it deploys crmbridge twice and tries some 150 acts")
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "user\tact\tfile\tverdict\tin the server's words")
	forbidden := 0
	for _, file := range shippedFiles {
		d := deployWith(t, file, emulator.Options{Accounts: 20, Contacts: 5}, nil, func(s *bridge.Settings) {
			s.BusCompletion = "true" // so that there are states of sign-ins to try
		})
		d.prepare()
		for _, list := range []struct {
			refused bool
			rights  []right
		}{{false, permitted()}, {true, d.forbidden()}} {
			for _, r := range list.rights {
				if r.only != "" && r.only != file {
					continue
				}
				user := r.user
				if user == "requester" {
					user = requesterOf(file)
				}
				nc := d.as(user)
				have := r.do(d, nc)
				nc.Close()
				word := "allowed"
				if have.refused {
					word = "refused"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.100s\n", user, r.act, strings.TrimPrefix(file, "deploy/"), word, have.said)
				switch {
				case have.refused != list.refused:
					t.Errorf("%s: %s: %s: %s (%s)", file, user, r.act, word, have.said)
				case !strings.Contains(have.said, r.says):
					t.Errorf("%s: %s: %s: %q, want %q in it", file, user, r.act, have.said, r.says)
				}
				if have.refused {
					forbidden++
				}
			}
		}
		if said := d.log.String(); strings.Contains(said, "ermissions Violation") {
			t.Errorf("%s: crmbridge lacks a right:\n%s", file, said)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d forbidden acts were refused\n%s", forbidden, &table)
}

// prepare leaves something of acme and of globex behind that somebody could be after: jobs
// that have ended, results, a dead letter, and consumers for readers.
func (d *deployed) prepare() {
	d.t.Helper()
	requester := requesterOf(d.file)
	for connection, user := range map[string]string{"acme": requester, "globex": "globex"} {
		d.accepted(user, "crm.accounts.search.job."+connection+".done-of-"+connection, `{"limit":3}`)
		d.accepted(user, "crm.accounts.get.job."+connection+".dead-of-"+connection,
			`{"account_id":"99999999-9999-9999-9999-999999999999"}`)
	}
	js, err := jetstream.New(d.as("administrator"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, connection := range []string{"acme", "globex"} {
		d.ended(connection, "done-of-"+connection)
		d.ended(connection, "dead-of-"+connection)
		if _, err := js.CreateOrUpdateConsumer(d.t.Context(), messages.ResultsStream, jetstream.ConsumerConfig{
			Durable: connection + "-reader", FilterSubject: "crm.results." + connection + ".*",
			AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
			d.t.Fatal(err)
		}
	}
}

// cursorOf is where a search of a connection goes on.
func (d *deployed) cursorOf(connection string) string {
	d.t.Helper()
	cursor, _ := d.ask("administrator", "crm.accounts.search.request."+connection, `{"page_size":1}`)["next_cursor"].(string)
	return cursor
}

// stateOf is the state of a sign-in that has been begun for a connection.
func (d *deployed) stateOf(connection string) string {
	d.t.Helper()
	state, _ := d.ask("administrator", "crm.connections.authorize.request."+connection,
		fmt.Sprintf(`{"environment_url":%q}`, d.EmulatorURL))["state"].(string)
	return state
}

// serves reports whether there is an operation.
func serves(op string) bool {
	return slices.ContainsFunc(messages.Operations(messages.Tables()), func(o messages.Operation) bool {
		return string(o) == op
	})
}
