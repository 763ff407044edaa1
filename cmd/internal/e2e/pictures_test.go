package e2e

import (
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/chromium"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// The page that README.md shows, deploy/pictures/connect.png, is that of an environment of
// Microsoft's and of all tables. Nobody there is asked before the button is pressed, where the
// directory is given. It is made anew by
//
//	CRMBRIDGE_TEST_PICTURES=$PWD/deploy/pictures go test ./cmd/internal/e2e -count=1 -run TestPictureOfTheConnectPage
func TestPictureOfTheConnectPage(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it starts a browser")
	bridgetest.Unraced(t, "TestPagesInABrowser opens the same page")
	browser := chromium.Start(t)
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	settings.Tables = "accounts,contacts,leads,opportunities"
	settings.AllowedHosts = "contoso.crm4.dynamics.com"
	settings.OperatorName, settings.OperatorURL = "Nordlicht Campaigns", "https://nordlicht.example/privacy"
	w.Bridge(settings, nil)
	v := &visitor{browser, t, w}
	page := v.begin("acme", func(ask *messages.AuthorizeRequest) {
		ask.EnvironmentURL, ask.Tenant = "https://contoso.crm4.dynamics.com", "contoso.example"
	})
	v.Resize(900, 900)
	v.Open(page)
	if got := v.Title(); got != "Connect Dynamics 365" {
		t.Fatalf("the page is called %q: %s", got, v.Text())
	}
	v.picture("connect")
}
