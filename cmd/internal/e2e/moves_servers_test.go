package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// NATS goes away, comes back with fewer rights for crmbridge, and with all.
func natsMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	port := bridgetest.Port(t)
	start := func(denied ...string) *server.Server {
		options := &server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true}
		if len(denied) > 0 {
			options.Users = []*server.User{{Username: "limited", Permissions: &server.Permissions{
				Subscribe: &server.SubjectPermission{Deny: denied}}}}
			options.NoAuthUser = "limited"
		}
		return streamstest.Run(t, options)
	}
	first := start()
	settings := w.Settings(true)
	settings.URL = first.ClientURL()
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	first.Shutdown()
	first.WaitForShutdown()
	m.await(map[string]wanted{"nats_connected": equal(0), `ready{check="nats"}`: equal(0)})
	second := start("crm.accounts.>")
	m.await(map[string]wanted{"nats_connected": equal(1), "nats_reconnects_total": equal(1),
		"nats_refused_subscriptions": above(0)})
	second.Shutdown()
	second.WaitForShutdown()
	start()
	m.await(map[string]wanted{"nats_connected": equal(1), "nats_reconnects_total": equal(2),
		"nats_refused_subscriptions": equal(0)})
}

// Changes of connections wait while JetStream is away.
func outboxMoves(t *testing.T, seen *movements) {
	if bridgetest.Raced {
		t.Skip("skipped with -race: the NATS server has a race of its own where JetStream comes back while it runs")
	}
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	config := w.NATS.JetStreamConfig()
	if err := w.NATS.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	w.Connect("acme")
	m.one("outbox_waiting", equal(1))
	if err := w.NATS.EnableJetStream(config); err != nil {
		t.Fatal(err)
	}
	m.await(map[string]wanted{"outbox_waiting": equal(0), `events_published_total{kind="connected"}`: equal(1)})
}

// Redis is killed and started again.
func redisMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	if w.Redis == nil {
		t.Skip("needs a redis-server that can be killed")
	}
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	w.Redis.Kill()
	m.await(map[string]wanted{"redis_up": equal(0), "redis_errors_total": above(0), `ready{check="redis"}`: equal(0)})
	w.Redis.Start()
	m.await(map[string]wanted{"redis_up": equal(1), `ready{check="redis"}`: equal(1)})
}

// Redis's clock is an hour ahead, and is set right.
func clockMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	other := miniredis.RunT(t)
	other.SetTime(time.Now().Add(time.Hour))
	settings := w.Settings(true)
	settings.RedisURL = "redis://" + other.Addr()
	w.Bridge(settings, nil)
	m := meterOf(t, seen, settings)
	m.one("clock_offset_seconds", below(-3000))
	other.SetTime(time.Time{}) // the true time from now on
	m.one("clock_offset_seconds", above(-60))
}

// A certificate ends soon, and is replaced.
func certificateMoves(t *testing.T, seen *movements) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	plain, settings := w.Settings(true), w.Settings(false)
	w.Bridge(plain, nil)
	m := meterOf(t, seen, plain)
	m.one("certificate_expires_seconds", equal(math.Inf(1)))
	file := written(t, certificateUntil(t, time.Now().Add(10*time.Second)))
	settings.EntraClientSecret, settings.EntraClientCertificateFile = "", file
	w.Bridge(settings, nil)
	m = meterOf(t, seen, settings)
	m.one("certificate_expires_seconds", finite)
	m.one("certificate_expires_seconds", below(0))
	if err := os.WriteFile(file, []byte(certificateUntil(t, time.Now().AddDate(1, 0, 0))), 0o600); err != nil {
		t.Fatal(err)
	}
	m.one("certificate_expires_seconds", above(300*24*3600))
}

// certificateUntil is a certificate with its key, as ENTRA_CLIENT_CERTIFICATE_FILE holds them.
func certificateUntil(t *testing.T, end time.Time) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// A collector refuses spans, and another one does not answer.
func spansMove(t *testing.T, seen *movements) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusBadRequest)
	}))
	defer refusing.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for reason, more := range map[string][]string{
		"export_failed": {"OTEL_EXPORTER_OTLP_ENDPOINT=" + refusing.URL, "OTEL_BSP_SCHEDULE_DELAY=50"},
		"queue_full":    {"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + silent.Addr().String(), "OTEL_BSP_MAX_QUEUE_SIZE=5"},
	} {
		w := bridgetest.New(t, emulator.Options{Accounts: 1})
		settings := w.Settings(true)
		bridgetest.NewProcess(t, settings, more...).Await(t)
		m := meterOf(t, seen, settings)
		m.foreseen(`spans_dropped_total{reason="shutdown"}`)
		w.Connect("acme")
		using(t, w, "acme")
		m.one(`spans_dropped_total{reason="`+reason+`"}`, above(0))
	}
}
