package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A record that cannot be read is listed as that, over NATS and in the program, and
// can be deleted and made again.
func TestUnreadableConnection(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	w.Connect("broken")
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	if err := rdb.Set(t.Context(), "crmbridge:{broken}:grant", "something else", 0).Err(); err != nil {
		t.Fatal(err)
	}
	client, nc := w.Client()
	for _, in := range []messages.ConnectionsListRequest{{}, {PageSize: 1}, {Target: messages.Target{Connection: "broken"}}} {
		found := map[string]messages.Connection{}
		for {
			page, err := client.Connections(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Connections {
				found[c.ID] = c
			}
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				break
			}
		}
		c := found["broken"]
		if c.Status != messages.StatusUnreadable || !strings.Contains(c.LastError, "delete the connection") {
			t.Errorf("%+v", c)
		}
		if in.Connection == "" && found["acme"].Status != messages.StatusActive {
			t.Errorf("%+v", found["acme"])
		}
	}
	msg, err := nc.Request("crm.connections.list.request", []byte("{}"), time.Minute)
	if err != nil || strings.Contains(string(msg.Data), "0001-01-01") {
		t.Errorf("%s (%v)", msg.Data, err)
	}
	_, err = client.Connection(t.Context(), "broken")
	wantCode(t, err, messages.ConfigurationError)
	if err := client.Delete(t.Context(), "broken"); err != nil {
		t.Fatal(err)
	}
	_, err = client.Connection(t.Context(), "broken")
	wantCode(t, err, messages.ConnectionNotFound)
	w.Connect("broken")
	awaitStory(t, w, "acme connected, broken connected, broken deleted, broken connected")
}
