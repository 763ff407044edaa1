package emulator_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestTheLogHoldsNoSecret(t *testing.T) {
	var log bytes.Buffer
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 5,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	verifier := oauth2.GenerateVerifier()
	code := g.code("", verifier)
	tok := g.signIn("")
	g.api(tok.AccessToken, "accounts?$filter=name%20eq%20'canary'")
	g.api(tok.AccessToken, "accounts?$filter=name%20eq%20canary")
	g.stop() // records are written after the answer
	for name, secret := range map[string]string{"code": code, "verifier": verifier, "access token": tok.AccessToken, "refresh token": tok.RefreshToken,
		"client secret": emulator.DefaultClientSecret, "filter value": "canary"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds the %s", name)
		}
	}
	if !strings.Contains(log.String(), "path=/api/data/v9.2/accounts") {
		t.Errorf("the log holds no request: %s", log.String())
	}
}
