package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// The admin address has the contract of this deployment: its tables and no others.
func TestTheContractOfADeployment(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: -1})
	settings := w.Settings(true)
	settings.Tables = "contacts"
	w.Bridge(settings, nil)
	status, text, err := bridgetest.AdminPage(settings.AdminAddr, "/asyncapi.json")
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v: %.200s", status, err, text)
	}
	var document struct {
		AsyncAPI string `json:"asyncapi"`
		Info     struct {
			Version string `json:"version"`
		} `json:"info"`
		Channels map[string]any `json:"channels"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	if document.AsyncAPI != "3.0.0" || document.Info.Version == "" || document.Channels["contacts.search.request"] == nil {
		t.Errorf("%+v", document)
	}
	if strings.Contains(text, messages.Accounts.Operation(messages.VerbSearch).Subject()) {
		t.Error("accounts are not served here")
	}
}
