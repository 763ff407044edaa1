//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// The JavaScript that messages/README.md shows runs as it stands there, but for the server's address.
func TestDocumentsShowJavaScriptThatRuns(t *testing.T) {
	bridgetest.Long(t, "it runs programs in node")
	t.Parallel()
	const document, server = "messages/README.md", `"nats://127.0.0.1:4222"`
	blocks := regexp.MustCompile("(?ms)^```(?:js|javascript)\n(.*?)^```$").FindAllStringSubmatch(bridgetest.File(t, document), -1)
	if len(blocks) == 0 {
		t.Fatalf("%s has no JavaScript", document)
	}
	folder := t.TempDir()
	var command []string
	for _, language := range exampleLanguages {
		if language.name == "javascript" {
			command, _ = language.tools(t, folder)
		}
	}
	w := bridgetest.New(t, emulator.Options{Accounts: 2_000})
	w.Bridge(w.Settings(true), nil)
	w.Connect("demo")
	client, _ := w.Client()
	where := messages.Leaf("city", messages.Eq, "London")
	found, err := client.Accounts().Count(t.Context(), messages.CountRequest{Target: messages.Target{Connection: "demo"},
		Where: &where})
	if err != nil || found < 10 {
		t.Fatal(found, err)
	}
	for i, block := range blocks {
		if strings.Count(block[1], server) != 1 {
			t.Fatalf("%s does not connect to %s:\n%s", document, server, block[1])
		}
		name := fmt.Sprintf("block%d.mjs", i)
		text := strings.ReplaceAll(block[1], server, fmt.Sprintf("%q", w.NATSURL))
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		startExample(t, folder, append(command, "./"+name), nil).
			ends(fmt.Sprintf(`^(?:[^\n]+ (?:null|[0-9.]+)\n){10}%d accounts\n$`, found))
	}
}
