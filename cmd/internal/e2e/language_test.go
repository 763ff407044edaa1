package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Two connections of two users on one environment speak their languages and never
// each other's: in the labels of results, of one choice and of several, in filters
// and in the list of fields, whichever process answers.
func TestEachConnectionHasItsLanguage(t *testing.T) {
	t.Parallel()
	const marta = "marta.nowak@contoso.example"
	w := bridgetest.New(t, emulator.Options{Accounts: 300})
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	client, _ := w.Client()
	if !w.Emulator.Control().SetLanguage(marta, 1031) {
		t.Fatal("no German")
	}
	for connection, user := range map[string]string{"english": emulator.DefaultUser, "german": marta} {
		if err := signin.Connect(t.Context(), client, connection, w.EmulatorURL, user); err != nil {
			t.Fatal(err)
		}
	}
	words := map[string]map[string]string{
		"english": {"industry": "Consulting", "field": "Industry", "channels": "Channels", "email": "Email"},
		"german":  {"industry": "Beratung", "field": "Branche", "channels": "Kanäle", "email": "E-Mail"},
	}
	var rows []int
	for range 4 { // both processes, with and without a copy
		for connection, own := range words {
			at := messages.Target{Connection: connection}
			other := words["english"]
			if connection == "english" {
				other = words["german"]
			}
			where := messages.Leaf("industry", messages.Eq, strings.ToUpper(own["industry"]))
			page, err := client.Search(t.Context(), messages.AccountsSearchRequest{Target: at, Where: &where,
				Fields: []string{"industry", "cb_channels"}, PageSize: 1000})
			if err != nil || len(page.Accounts) == 0 {
				t.Fatal(connection, err)
			}
			rows = append(rows, len(page.Accounts))
			channels := map[string]bool{}
			for _, account := range page.Accounts {
				if label := account.Text("industry"); label != own["industry"] {
					t.Errorf("%s: industry %q", connection, label)
				}
				for label := range strings.SplitSeq(account.Text("cb_channels"), "; ") {
					channels[label] = true
				}
			}
			if !channels[own["email"]] || channels[other["email"]] {
				t.Errorf("%s: channels %v", connection, channels)
			}
			where = messages.Leaf("industry", messages.Eq, other["industry"])
			_, err = client.Search(t.Context(), messages.AccountsSearchRequest{Target: at, Where: &where})
			if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.InvalidRequest || !strings.Contains(fault.Message, own["industry"]) {
				t.Errorf("%s: a label of the other language: %v", connection, err)
			}
			fields, err := client.Fields(t.Context(), messages.AccountsFieldsRequest{Target: at})
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range fields.Fields {
				if field.Name == "industry" && (field.Label != own["field"] || field.Options[6].Label != own["industry"]) ||
					field.Name == "cb_channels" && field.Label != own["channels"] {
					t.Errorf("%s: %+v", connection, field)
				}
			}
		}
	}
	for _, n := range rows {
		if n != rows[0] {
			t.Errorf("the same filter in two languages finds different numbers of rows: %v", rows)
			break
		}
	}
}

// Another user takes a connection over, and with him comes his language.
func TestLanguageOfANewUser(t *testing.T) {
	t.Parallel()
	const marta = "marta.nowak@contoso.example"
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().SetLanguage(marta, 1036)
	label := func() string {
		fields, err := client.Fields(t.Context(), messages.AccountsFieldsRequest{Target: messages.Target{Connection: "acme"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range fields.Fields {
			if field.Name == "industry" {
				return field.Label
			}
		}
		return ""
	}
	if got := label(); got != "Industry" {
		t.Errorf("got %q", got)
	}
	begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "acme"},
		EnvironmentURL: w.EmulatorURL, AllowUserChange: true})
	if err != nil {
		t.Fatal(err)
	}
	browser, err := signin.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := browser.SignIn(t.Context(), begun.ConnectURL, w.EmulatorURL, marta); err != nil {
		t.Fatal(err)
	}
	if got := label(); got != "Secteur d'activité" {
		t.Errorf("after the change of users: %q", got)
	}
}

// Where a label has no text in the user's language, the one in the base language
// counts: in filters, in the list of fields and for columns. Half of the choices use
// global ones, and are no different.
func TestLabelsWithoutATranslation(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 300})
	w.Emulator.Control().RelabelColumn("cb_channels", map[int]string{1033: "Ways to reach them"})
	w.Emulator.Control().RelabelOption("industrycode", 7, map[int]string{1033: "Advice"})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	if err := signin.Connect(t.Context(), client, "acme", w.EmulatorURL, emulator.GermanUser); err != nil {
		t.Fatal(err)
	}
	at := messages.Target{Connection: "acme"}
	count := func(field string, op messages.Op, value any) int64 {
		t.Helper()
		where := messages.Leaf(field, op, value)
		n, err := client.Count(t.Context(), messages.AccountsCountRequest{Target: at, Where: &where})
		if err != nil {
			t.Errorf("%s %v: %v", field, value, err)
		}
		return n
	}
	for _, c := range []struct {
		field        string
		label, value any
		op           messages.Op
	}{
		{"classification", "long tail", 4, messages.Eq},      // global, without a translation
		{"classification", "Schlüsselkunde", 2, messages.Eq}, // global
		{"industry", "Advice", 7, messages.Eq},
		{"industry", "Finanzen", 16, messages.Eq},
		{"cb_channels", []string{"E-Mail"}, []int{100000000}, messages.ContainsAny},
	} {
		if byLabel, byValue := count(c.field, c.op, c.label), count(c.field, c.op, c.value); byLabel != byValue || byValue == 0 {
			t.Errorf("%s %v finds %d, %v finds %d", c.field, c.label, byLabel, c.value, byValue)
		}
	}
	fields, err := client.Fields(t.Context(), messages.AccountsFieldsRequest{Target: at})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fields.Fields {
		choice := field.Type == messages.FieldChoice || field.Type == messages.FieldChoices
		if choice && (len(field.Options) == 0 || slices.ContainsFunc(field.Options, func(o messages.Choice) bool { return o.Label == "" })) {
			t.Errorf("%s: options %v", field.Name, field.Options)
		}
		if field.Name == "cb_channels" && field.Label != "Ways to reach them" {
			t.Errorf("%+v", field)
		}
	}
}
