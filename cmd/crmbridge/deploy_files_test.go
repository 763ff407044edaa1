package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// In nats-accounts.conf every operation that a tenant may ask for and every subject of its
// jobs is exported to it and imported by it; all exports are private, and those of services
// take answers of many messages for six minutes.
func TestDeployedAccountsFollowTheOperations(t *testing.T) {
	text := bridgetest.File(t, bridgetest.AccountsFile)
	var want []string
	for _, op := range messages.Operations(messages.Tables()) {
		if subject := "crm." + op.Entity() + ".*.request.acme"; op.Entity() != "connections" {
			want = append(want, subject)
		}
	}
	for _, subject := range messages.JobSubjects(nil) {
		want = append(want, strings.Replace(subject, ".job.*.*", ".job.acme.*", 1))
	}
	export := regexp.MustCompile(`(?s)\{ (service|stream): "([^"]+)",?(.*?) \}`)
	exported := map[string]bool{}
	port := bridgetest.Port(t)
	account, err := bridgetest.DeployedAccounts(t, port).LookupAccount("CRM")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range export.FindAllStringSubmatch(text, -1) {
		kind, subject, options := found[1], found[2], found[3]
		exported[subject] = true
		if !strings.Contains(options, "accounts: [ACME]") {
			t.Errorf("the export %s is everybody's", subject)
		}
		if kind == "stream" {
			continue
		}
		if !strings.Contains(options, "response_type: stream") {
			t.Errorf("the export %s takes one answer", subject)
		}
		if threshold, err := account.ServiceExportResponseThreshold(subject); err != nil || threshold != 6*time.Minute {
			t.Errorf("the export %s waits %s, want 6m: %v", subject, threshold, err)
		}
		if !strings.Contains(text, `account: CRM, subject: "`+subject+`"`) {
			t.Errorf("nobody imports %s", subject)
		}
	}
	for _, subject := range want {
		if !exported[subject] {
			t.Errorf("%s is not exported", subject)
		}
		// For the requester and the reader, and to import it.
		if n := strings.Count(text, `"`+subject+`"`); n != 4 {
			t.Errorf("%s stands in the file %d times, want 4", subject, n)
		}
	}
	for subject := range exported {
		if strings.HasPrefix(subject, "crm.") && subject != "crm.state.acme.*" && !slices.Contains(want, subject) {
			t.Errorf("%s is exported, and is no tenant's business", subject)
		}
	}
}

// The users of crmbridge's account have the permissions that they have in nats.conf, but for
// the inboxes of users that are elsewhere.
func TestBothDeployedFilesGiveTheSameRights(t *testing.T) {
	simple, accounts := bridgetest.File(t, bridgetest.NATSFile), bridgetest.File(t, bridgetest.AccountsFile)
	elsewhere := strings.NewReplacer(`"_INBOX.campaigns.>", "campaigns.replies.>", "_INBOX.reader.>", `, "")
	for _, name := range []string{"CRMBRIDGE", "ADMINISTRATORS", "WATCHERS", "EVENT_READERS"} {
		block := func(text string) string {
			_, block, _ := strings.Cut(text, name+" = {")
			block, _, _ = strings.Cut(block, "users:")
			// Up to the brace that ends it: publish and subscribe each have one.
			parts := strings.SplitAfterN(block, "}", 4)
			return strings.Join(strings.Fields(elsewhere.Replace(strings.Join(parts[:min(3, len(parts))], ""))), " ")
		}
		one, other := block(simple), block(accounts)
		if one == "" || one != other {
			t.Errorf("%s differs:\n%s\n%s", name, one, other)
		}
	}
}

// Answers go to the inboxes of the users that there are, and nowhere else: no allow_responses,
// and nobody's inboxes by a pattern.
func TestDeployedAnswersGoToTheUsers(t *testing.T) {
	for _, file := range shippedFiles {
		text := regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(bridgetest.File(t, file), "")
		if strings.Contains(text, "allow_responses") {
			t.Errorf("%s has allow_responses", file)
		}
		_, rights, _ := strings.Cut(text, "CRMBRIDGE = {")
		_, rights, _ = strings.Cut(rights, "publish: {")
		rights, _, _ = strings.Cut(rights, "}")
		if strings.Contains(rights, `"_INBOX.>"`) || !strings.Contains(rights, `"_R_.>"`) {
			t.Errorf("%s: crmbridge publishes to everybody's inboxes, or not to _R_.>", file)
		}
		for _, found := range regexp.MustCompile(`"(_INBOX\.\w+\.>)"`).FindAllStringSubmatch(text, -1) {
			// The watcher asks crmbridge nothing: JetStream answers it.
			if found[1] == "_INBOX.watcher.>" {
				if strings.Contains(rights, found[0]) {
					t.Errorf("%s: crmbridge may publish to %s, and need not", file, found[0])
				}
				continue
			}
			// Tenants' users, who are in an account of their own, are answered by _R_.
			if file == bridgetest.AccountsFile && found[1] == "_INBOX.reader.>" {
				continue
			}
			if !strings.Contains(rights, found[0]) {
				t.Errorf("%s: a user listens on %s, where crmbridge may not answer", file, found[0])
			}
		}
	}
}
