package campaign_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
	"github.com/crmbridge/crmbridge/messages/messagestest/campaign/campaigntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The service is tested without Dataverse. The scenes are run against crmbridge itself too, in its
// end-to-end tests; a service of yours has its tests here.
func TestService(t *testing.T) {
	t.Parallel()
	for _, scene := range campaigntest.Scenes() {
		t.Run(scene.Name, func(t *testing.T) {
			t.Parallel()
			scene.Play(t, &rig{Bridge: messagestest.New(t)})
		})
	}
}

// A rig is crmbridge in process.
type rig struct{ *messagestest.Bridge }

func (r *rig) Connect(connection string) {
	rows := make([]messagestest.Row, 0, len(campaigntest.Companies))
	for _, company := range campaigntest.Companies {
		rows = append(rows, messagestest.Row{"name": company.Name, "city": company.City, "employees": company.Employees})
	}
	r.Bridge.Connect(connection, messagestest.Rows{"accounts": rows})
}

func (r *rig) Unit() time.Duration { return 100 * time.Millisecond }

func (r *rig) Throttle(wait time.Duration) {
	r.Fail(messagestest.Fault{Operation: "accounts.search", Error: messagestest.Code(messages.Throttled, wait)})
}

func (r *rig) Slow(delay time.Duration) {
	r.Fail(messagestest.Fault{Operation: "accounts.search", Delay: delay})
}

func (r *rig) Revoke(connection string) { r.Connection(connection).Revoke() }

// BenchmarkTestService is how long the tests above take, as "go test" runs them: less than 2 s.
func BenchmarkTestService(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if said, err := exec.CommandContext(b.Context(), self, "-test.run=^TestService$").CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, said)
		}
	}
}
