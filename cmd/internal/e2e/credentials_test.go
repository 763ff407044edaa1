package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// Credentials that are wrong for a while do not end the process: it comes back
// when they are right again.
func TestWrongCredentialsForAWhile(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "several attempts to connect are refused first")
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	port := bridgetest.Port(t)
	start := func(password string) *server.Server {
		return streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, Username: "crm",
			Password: password})
	}
	first := start("right")
	w.NATSURL = w.Overheard(fmt.Sprintf("nats://crm:right@127.0.0.1:%d", port))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	first.Shutdown()
	first.WaitForShutdown()
	wrong := start("wrong")
	time.Sleep(3 * time.Second) // several attempts are refused; there is no signal for that
	wrong.Shutdown()
	wrong.WaitForShutdown()
	start("right")
	client, _ := w.Client()
	bridgetest.Await(t, "answers after the credentials were mended", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client.WhoAmI(ctx, "acme")
		return err
	})
}
