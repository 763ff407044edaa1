package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// What does not reach NATS, and times that are none, are told of in words of their own.
func TestMistypedAddressesAndTimes(t *testing.T) {
	t.Parallel()
	s := streamstest.Server(t, func(o *server.Options) { o.Username, o.Password = "u", "right" })
	wrong := strings.Replace(s.ClientURL(), "nats://", "nats://u:wrong@", 1)
	for _, c := range []struct {
		args   string
		status int
		says   []string
	}{
		{"connections list --nats-url=nats://127.0.0.1:1", program.ExitError,
			[]string{"nats://127.0.0.1:1: no NATS server answers there", "--nats-url"}},
		{"connections list --nats-url=" + wrong, program.ExitError, []string{"it does not take this user", "--nats-creds"}},
		{"connections list --nats-url=nats://no-such-host.invalid", program.ExitError, []string{"unavailable: ", "no-such-host.invalid"}},
		{"connections list --timeout=1", program.ExitUsage, []string{`expected duration but got "1"; right would be 30s`}},
		{"connections list --timeout=0s", program.ExitUsage, []string{"longer than nothing and at most 5m"}},
	} {
		var out, diag bridgetest.Buffer
		status := run(strings.Fields(c.args), &out, &diag)
		said := strings.Join(strings.Fields(diag.String()), " ")
		for _, words := range c.says {
			if !strings.Contains(said, words) {
				t.Errorf("%s: no %q in %s", c.args, words, said)
			}
		}
		if status != c.status || strings.Contains(said, "time: ") || strings.Contains(said, "dial tcp: lookup") ||
			strings.Contains(said, "wrong@") {
			t.Errorf("%s: status %d: %s", c.args, status, said)
		}
	}
}
