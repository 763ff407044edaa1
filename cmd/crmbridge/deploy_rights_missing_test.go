package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// A crmbridge whose NATS user lacks a right says which one to add: one to receive requests
// keeps it from being ready, one to publish is reported beside that, and both are logged.
func TestMissingRightsAreNamed(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it deploys crmbridge with each right missing")
	for what, c := range map[string]struct {
		lacks string
		says  string
		ready bool
	}{
		"answers to a user": {`"_INBOX.campaigns.>", `, `NATS refuses to publish to "_INBOX.campaigns.`, true},
		"requests of a table": {`"crm.contacts.*.request", `,
			`NATS refuses the subscription to crm.contacts.`, false},
		"jobs' stream": {`"$JS.API.STREAM.INFO.CRM_JOBS", `,
			`NATS refuses to publish to "$JS.API.STREAM.INFO.CRM_JOBS"`, true},
		"results": {`"crm.results.*.*", `, `NATS refuses to publish to "crm.results.acme.`, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := deployWith(t, bridgetest.NATSFile, emulator.Options{Accounts: 3}, func(text string) string {
				if !strings.Contains(text, c.lacks) {
					t.Fatalf("deploy/nats.conf has no %s", c.lacks)
				}
				return strings.Replace(text, c.lacks, "", 1)
			}, nil)
			nc := d.as("campaigns")
			permission := strings.Trim(c.lacks, `", `)
			bridgetest.Await(t, "a word about "+permission, func() error {
				// What is not answered, or stored, is what crmbridge may not publish.
				for _, subject := range []string{"crm.users.whoami.request.acme", "crm.users.whoami.job.acme.missing"} {
					_, _ = nc.Request(subject, []byte(`{}`), 100*time.Millisecond)
				}
				response, err := http.Get(d.admin + "/readyz?verbose")
				if err != nil {
					return err
				}
				defer response.Body.Close()
				text, err := io.ReadAll(response.Body)
				if ready := response.StatusCode == http.StatusOK; err != nil || ready != c.ready ||
					!strings.Contains(string(text), c.says) || !strings.Contains(string(text), fmt.Sprintf("%q", permission)) {
					return fmt.Errorf("%s: %s", response.Status, text)
				}
				return nil
			})
			if said := d.log.String(); !strings.Contains(strings.ReplaceAll(said, `\"`, `"`), fmt.Sprintf("%q", permission)) {
				t.Errorf("the log does not name %s:\n%s", permission, said)
			}
		})
	}
}

// Whoever asks without an inbox prefix of a user is not answered, and crmbridge's operator
// reads why.
func TestDeployedStrangersInbox(t *testing.T) {
	d := deployWith(t, bridgetest.NATSFile, emulator.Options{Accounts: 3}, nil, nil)
	nc := d.as("campaigns")
	if err := nc.PublishRequest("crm.users.whoami.request.acme", nats.NewInbox(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "a line about an inbox without a prefix", func() error {
		if said := d.log.String(); !strings.Contains(said, "NATS_INBOX_PREFIX") {
			return fmt.Errorf("the log: %s", said)
		}
		return nil
	})
}
