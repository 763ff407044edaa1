package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// using has a connection used until the test ends, as requests do that come now and then.
func using(t *testing.T, w *bridgetest.World, connection string) {
	t.Helper()
	client, _ := w.Client()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			asking, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, _ = client.WhoAmI(asking, connection) // what comes of it the metrics say
			cancel()
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
}

// Entra is away while a connection is in use: its token is not renewed in time. Afterwards it is.
func entraMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1, AccessTokenLifetime: 8 * time.Second})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	w.Connect("acme")
	w.Emulator.Control().Fail(emulator.Fault{Where: emulator.FaultToken, Kind: emulator.KindUnavailable, Times: -1})
	using(t, w, "acme")
	m.await(map[string]wanted{"refresh_overdue_seconds": above(0), `refreshes_total{verdict="unavailable"}`: above(0),
		`token_requests_total{code="unavailable",grant="refresh_token"}`: above(0), "token_wait_seconds_count": above(0)})
	w.Emulator.Control().Clear()
	m.await(map[string]wanted{"refresh_overdue_seconds": equal(0), `refreshes_total{verdict="ok"}`: above(0),
		`token_requests_total{code="ok",grant="refresh_token"}`: above(0)})
	m.foreseen(`refreshes_total{verdict="ok"}`, `refreshes_total{verdict="unavailable"}`)
}

// An environment is away, and comes back.
func breakerMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	w.Connect("acme")
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindReset, Times: -1})
	using(t, w, "acme")
	m.await(map[string]wanted{"breakers_open": equal(1),
		`dataverse_calls_total{call="whoami",outcome="unavailable"}`: above(0)})
	w.Emulator.Control().Clear()
	m.one("breakers_open", equal(0))
}

// Dataverse refuses by each of its limits, the last time for so long that the user is kept out.
func throttlesMove(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	w.Connect("acme")
	using(t, w, "acme")
	want := map[string]wanted{`dataverse_calls_total{call="whoami",outcome="throttled"}`: above(0)}
	for name, code := range map[string]string{"requests": "0x80072322", "time": "0x80072321", "concurrency": "0x80072326",
		"unknown": "0x80072399"} {
		w.Emulator.Control().Fail(emulator.Fault{Status: 429, RetryAfter: 1, Header: map[string]string{
			"Content-Type": "application/json"}, Body: fmt.Sprintf(`{"error":{"code":%q,"message":"too much"}}`, code)})
		want[fmt.Sprintf("dataverse_limits_total{limit=%q}", name)] = above(0)
	}
	m.await(want)
	m.foreseen(`dataverse_limits_total{limit="unknown"}`, `dataverse_calls_total{call="whoami",outcome="throttled"}`)
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 15})
	m.one("users_blocked", equal(1))
	m.await(map[string]wanted{"users_blocked": equal(0), "dataverse_queue_seconds_count": above(0)})
}

// Connections have each status, and are deleted.
func connectionsMove(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	client, _ := w.Client()
	for _, name := range []string{"acme", "revoked", "broken"} {
		w.Connect(name)
	}
	if _, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "begun"},
		EnvironmentURL: w.EmulatorURL}); err != nil {
		t.Fatal(err)
	}
	m.await(statuses(3, 1, 0, 0))
	if w.Emulator.Control().RevokeGrant(w.Emulator.Control().Grants()[1].ID) == 0 { // the latest is the first
		t.Fatal("nothing is revoked")
	}
	w.Emulator.Control().ExpireAccessTokens()
	_, err := client.WhoAmI(t.Context(), "revoked")
	wantCode(t, err, messages.ReauthorizationRequired)
	m.await(statuses(2, 1, 1, 0))
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	store := redis.NewClient(options)
	defer store.Close()
	if err := store.HSet(t.Context(), "crmbridge:{broken}:grant", "sealed", "damaged").Err(); err != nil {
		t.Fatal(err)
	}
	m.await(statuses(1, 1, 1, 1))
	for _, name := range []string{"acme", "revoked", "broken", "begun"} {
		if err := client.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	m.await(statuses(0, 0, 0, 0))
}

func statuses(active, pending, reauthorize, unreadable float64) map[string]wanted {
	return map[string]wanted{
		`connections{status="active"}`: equal(active), `connections{status="pending"}`: equal(pending),
		`connections{status="reauthorization_required"}`: equal(reauthorize),
		`connections{status="unreadable"}`:               equal(unreadable)}
}

// The primary key gets older, and a new one is young.
func keysMove(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	stop := bridgetest.Serving(t, settings)
	m := meterOf(t, seen, settings)
	const old = 8
	m.one("keyset_primary_age_seconds", above(old))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	rotated, err := tokens.RotateKeyset([]byte(w.Keyset))
	if err != nil {
		t.Fatal(err)
	}
	settings.TokenKeyset = string(rotated)
	w.Bridge(settings, nil)
	young := wanted{"above 0 and below 8", func(v float64) bool { return v > 0 && v < old }}
	m.one("keyset_primary_age_seconds", young)
}
