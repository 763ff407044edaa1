package messages_test

import (
	"context"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// On three servers a publisher's answers are the same, also while the leader of the stream is
// away.
func TestPublishingToACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes seconds to choose leaders")
	}
	lane, servers := messagestest.NewCluster(t)
	lane.Answer()
	nc := lane.Connect()
	client := messages.NewClient(nc)
	publish := func(id, email string) (*messages.PublishedJob, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return client.UserJob(ctx, messages.UserGetRequest{Target: acme, Email: email}, messages.JobPublication{ID: id})
	}
	for round, known := range []bool{false, true, true} {
		if job, err := publish("a", "x@y"); err != nil || job.Known != known {
			t.Errorf("round %d: %+v, %v", round, job, err)
		}
	}
	if _, err := publish("a", "z@y"); codeOf(err) != messages.InvalidRequest {
		t.Errorf("another job: %v", err)
	}
	stream, err := lane.JS.Stream(t.Context(), messages.JobsStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 1
	if _, err := lane.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if job, err := publish("b", "x@y"); codeOf(err) != messages.Overloaded || job != nil {
		t.Errorf("full: %+v, %v", job, err)
	}
	if job, err := publish("a", "x@y"); err != nil || !job.Known {
		t.Errorf("full, but there: %+v, %v", job, err)
	}
	config.MaxMsgs = -1
	if _, err := lane.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	leader := lane.Leader(messages.JobsStream)
	if servers[leader] == lane.Server {
		// The client's own server stays: another one leads.
		if _, err := nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+messages.JobsStream, nil,
			10*time.Second); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); servers[leader] == lane.Server &&
			time.Now().Before(end); leader = lane.Leader(messages.JobsStream) {
			time.Sleep(100 * time.Millisecond)
		}
	}
	servers[leader].Shutdown()
	for _, id := range []string{"c", "d", ""} {
		if job, err := publish(id, "x@y"); err != nil || job.Known {
			t.Errorf("%q without the leader: %+v, %v", id, job, err)
		}
	}
	if n := waiting(t, lane); n != 4 {
		t.Errorf("%d jobs wait", n)
	}
}
