package e2e

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/html"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A deployment that serves another table from now on reads it only once the person has
// seen that on the connect page, where it is marked as new. Until then the connection
// has what it had.
func TestAnotherTableNeedsThePersonAgain(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 5})
	settings := w.Settings(true)
	p := bridgetest.Serve(t, settings)
	w.Connect("acme")
	client, nc := w.Client()
	tables := func(want ...string) {
		t.Helper()
		var got messages.ConnectionReply
		raw(t, nc, "connections.get", `{"connection":"acme"}`, &got)
		var list messages.ConnectionsListReply
		raw(t, nc, "connections.list", `{}`, &list)
		if !slices.Equal(got.Connection.Tables, want) || len(list.Connections) != 1 || !slices.Equal(list.Connections[0].Tables, want) {
			t.Errorf("%q and %+v, want %q", got.Connection.Tables, list.Connections, want)
		}
	}
	tables("accounts")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	settings.Tables = bridge.AllTables()
	bridgetest.Serve(t, settings)
	tables("accounts")
	w.Emulator.Control().ExpireAccessTokens()
	if _, err := client.WhoAmI(t.Context(), "acme"); err != nil { // by a new token
		t.Fatal(err)
	}
	tables("accounts")

	begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{
		Target: messages.Target{Connection: "acme"}, EnvironmentURL: w.EmulatorURL, LoginHint: emulator.DefaultUser})
	if err != nil {
		t.Fatal(err)
	}
	tables("accounts")
	browser, err := signin.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	before := readOnPage(t, browser, begun.ConnectURL)
	var want []string
	for _, table := range messages.Tables() {
		text := table.Consent
		if table.Name != "accounts" {
			text = "new: " + text
		}
		want = append(want, text)
	}
	if len(before) != len(want)+3 || !slices.Equal(before[:len(want)], want) {
		t.Errorf("the page says %q, want first %q", before, want)
	}
	end, err := browser.SignIn(context.WithoutCancel(t.Context()), begun.ConnectURL, w.EmulatorURL, emulator.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	after := items(end.Root)
	if len(after) != len(before) || strings.Contains(strings.Join(after, " "), "new:") || after[1] != messages.Tables()[1].Consent {
		t.Errorf("the last page says %q", after)
	}
	tables(messages.TableNames(messages.Tables())...)
}

func readOnPage(t *testing.T, browser signin.Browser, address string) []string {
	t.Helper()
	page, err := browser.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return items(page.Root)
}

// items are the texts of the list items under a node.
func items(n *html.Node) (texts []string) {
	if n.Type == html.ElementNode && n.Data == "li" {
		return []string{text(n)}
	}
	for c := range n.ChildNodes() {
		texts = append(texts, items(c)...)
	}
	return texts
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var all strings.Builder
	for c := range n.ChildNodes() {
		all.WriteString(text(c))
	}
	return all.String()
}
