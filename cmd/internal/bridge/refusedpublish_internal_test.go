package bridge

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// What is to be added stands in the shipped configuration, or is like what stands there.
func TestThePermissionToAdd(t *testing.T) {
	shipped, err := os.ReadFile("../../../deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]string{
		"_INBOX.campaigns.abc.1":                               "_INBOX.campaigns.>",
		"_INBOX.administrators.x":                              "_INBOX.administrators.>",
		"_R_.abc.1":                                            "_R_.>",
		"campaigns.replies.one":                                "campaigns.replies.>",
		"crm.results.acme.1":                                   "crm.results.*.*",
		"crm.state.acme.1":                                     "crm.state.*.*",
		"crm.dead.acme.1":                                      "crm.dead.*.*",
		"crm.accounts.search.job.acme.1":                       "crm.accounts.*.job.*.*",
		"crm.events.connections.deleted.acme":                  "crm.events.connections.>",
		"$JS.API.INFO":                                         "$JS.API.INFO",
		"$JS.API.STREAM.NAMES":                                 "$JS.API.STREAM.NAMES",
		"$JS.API.STREAM.MSG.GET.CRM_STATE":                     "$JS.API.STREAM.MSG.GET.CRM_STATE",
		"$JS.API.DIRECT.GET.CRM_STATE":                         "$JS.API.DIRECT.GET.CRM_STATE",
		"$JS.API.DIRECT.GET.CRM_STATE.crm.state.acme.1":        "$JS.API.DIRECT.GET.CRM_STATE.>",
		"$JS.API.CONSUMER.CREATE.CRM_JOBS.x.crm.accounts.>":    "$JS.API.CONSUMER.CREATE.CRM_JOBS.>",
		"$JS.API.CONSUMER.INFO.CRM_JOBS.x":                     "$JS.API.CONSUMER.INFO.CRM_JOBS.*",
		"$JS.API.CONSUMER.DELETE.CRM_JOBS.x":                   "$JS.API.CONSUMER.DELETE.CRM_JOBS.*",
		"$JS.API.CONSUMER.MSG.NEXT.CRM_JOBS.x":                 "$JS.API.CONSUMER.MSG.NEXT.CRM_JOBS.*",
		"_INBOX.stranger.x":                                    "_INBOX.stranger.>",
		"_INBOX." + nats.NewInbox()[len("_INBOX."):]:           "_INBOX.>",
		"_INBOX." + nats.NewInbox()[len("_INBOX."):] + ".abc1": "_INBOX.>",
		"replies": "replies",
	} {
		if got := publishPermission(subject); got != want {
			t.Errorf("%s: %s, want %s", subject, got, want)
		}
		if known := !slices.Contains([]string{"_INBOX.>", "_INBOX.stranger.>", "replies"}, want); known &&
			!strings.Contains(string(shipped), `"`+want+`"`) {
			t.Errorf("deploy/nats.conf has no %s", want)
		}
	}
}

// Refusals are counted by permission, of which there is a bound; each is logged at once and
// then once a minute, and shown for a while.
func TestRefusalsToPublishAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	var log strings.Builder
	r := &refusedPublishes{log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now },
		all: map[string]*refusedPublish{}}
	refuse := func(subject string) bool {
		return r.note(fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, subject))
	}
	for i := range 1000 {
		if !refuse(fmt.Sprintf("_INBOX.user.%d", i)) {
			t.Fatal("it is not taken for a refusal")
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines for one permission, want 1", n)
	}
	now = now.Add(time.Minute)
	refuse("_INBOX.user.again")
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "count=1000") {
		t.Errorf("%d lines after a minute, want 2, and the count of the first minute: %s", n, log.String())
	}
	for i := range 1000 {
		refuse(fmt.Sprintf("_INBOX.user-%d.x", i))
	}
	if len(r.all) > mostRefused+1 {
		t.Errorf("%d permissions are told apart", len(r.all))
	}
	if text := r.trouble(); !strings.Contains(text, `let this NATS user publish to "_INBOX.user.>" (1001 since the start`) {
		t.Error(text)
	}
	now = now.Add(refusedShown)
	if text := r.trouble(); text != "" {
		t.Errorf("still shown: %s", text)
	}
	for _, err := range []error{nats.ErrSlowConsumer,
		fmt.Errorf("%w: Permissions Violation for Subscription to %q", nats.ErrPermissionViolation, "x")} {
		if r.note(err) {
			t.Errorf("%v is taken for a refusal to publish", err)
		}
	}
}
