package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// Two connections of two users on one environment speak their languages and never
// each other's: in the labels of results, of one choice and of several, in filters
// and in the list of fields, whichever process answers.
func TestEachConnectionHasItsLanguage(t *testing.T) { forTables(t, testEachConnectionHasItsLanguage) }

func testEachConnectionHasItsLanguage(t *testing.T, table *testedTable) {
	const marta = "marta.nowak@contoso.example"
	w := table.world(t, table.options(300))
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
	choice, choices := table.words.choice, table.words.choices
	languages := map[string]words{"english": table.words.english, "german": table.words.german}
	var rows []int
	for range 4 { // both processes, with and without a copy
		for connection, own := range languages {
			at := messages.Target{Connection: connection}
			other := languages["english"]
			if connection == "english" {
				other = languages["german"]
			}
			where := messages.Leaf(choice, messages.Eq, strings.ToUpper(own.option))
			page, err := table.of(client).Search(t.Context(), messages.SearchRequest{Target: at, Where: &where,
				Fields: []string{choice, choices}, PageSize: 1000})
			if err != nil || len(page.Rows) == 0 {
				t.Fatal(connection, err)
			}
			rows = append(rows, len(page.Rows))
			several := map[string]bool{}
			for _, row := range page.Rows {
				if label := row.Text(choice); label != own.option {
					t.Errorf("%s: %s %q", connection, choice, label)
				}
				for label := range strings.SplitSeq(row.Text(choices), "; ") {
					several[label] = true
				}
			}
			if !several[own.choicesOption] || several[other.choicesOption] && other.choicesOption != own.choicesOption {
				t.Errorf("%s: %s %v", connection, choices, several)
			}
			for _, label := range []string{other.option, own.option + "x"} { // of the other language, and mistyped
				where = messages.Leaf(choice, messages.Eq, label)
				_, err = table.of(client).Search(t.Context(), messages.SearchRequest{Target: at, Where: &where})
				fault, ok := errors.AsType[*messages.Error](err)
				if !ok || fault.Code != messages.InvalidRequest || strings.Contains(fault.Message, other.option) ||
					label != other.option && !strings.Contains(fault.Message, "did you mean "+own.option+"?") {
					t.Errorf("%s: the label %q: %v", connection, label, err)
				}
			}
			fields, err := table.of(client).Fields(t.Context(), messages.FieldsRequest{Target: at})
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range fields.Fields {
				option := messages.Choice{Value: int64(table.words.choiceValue), Label: own.option}
				if field.Name == choice && (field.Label != own.field || !slices.Contains(field.Options, option)) ||
					field.Name == choices && field.Label != own.choices {
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
func TestLanguageOfANewUser(t *testing.T) { forTables(t, testLanguageOfANewUser) }

func testLanguageOfANewUser(t *testing.T, table *testedTable) {
	const marta = "marta.nowak@contoso.example"
	w := table.world(t, table.options(50))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().SetLanguage(marta, 1036)
	label := func() string {
		fields, err := table.of(client).Fields(t.Context(),
			messages.FieldsRequest{Target: messages.Target{Connection: "acme"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range fields.Fields {
			if field.Name == table.words.choice {
				return field.Label
			}
		}
		return ""
	}
	if got := label(); got != table.words.english.field {
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
	if got := label(); got != table.words.french {
		t.Errorf("after the change of users: %q", got)
	}
}

// Where a label has no text in the user's language, the one in the base language
// counts: in filters, in the list of fields and for columns. Half of the choices use
// global ones, and are no different.
func TestLabelsWithoutATranslation(t *testing.T) { forTables(t, testLabelsWithoutATranslation) }

func testLabelsWithoutATranslation(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(300))
	own := w.Emulator.Control().Table(table.Set)
	bare := table.words.bareOption
	own.RelabelColumn(table.words.choices, map[int]string{1033: "Ways to reach them"})
	own.RelabelOption(bare.column, bare.value, map[int]string{1033: "Advice"})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	if err := signin.Connect(t.Context(), client, "acme", w.EmulatorURL, emulator.GermanUser); err != nil {
		t.Fatal(err)
	}
	at := messages.Target{Connection: "acme"}
	count := func(field string, op messages.Op, value any) int64 {
		t.Helper()
		where := messages.Leaf(field, op, value)
		n, err := table.of(client).Count(t.Context(), messages.CountRequest{Target: at, Where: &where})
		if err != nil {
			t.Errorf("%s %v: %v", field, value, err)
		}
		return n
	}
	for _, c := range slices.Concat(table.words.translated, table.words.plain, []knownLabel{{bare.column, "Advice", bare.value}}) {
		op, label, value := messages.Eq, any(c.label), any(c.value)
		if c.field == table.words.choices {
			op, label, value = messages.ContainsAny, []any{label}, []any{value}
		}
		if byLabel, byValue := count(c.field, op, label), count(c.field, op, value); byLabel != byValue || byValue == 0 {
			t.Errorf("%s %v finds %d, %v finds %d", c.field, c.label, byLabel, c.value, byValue)
		}
	}
	fields, err := table.of(client).Fields(t.Context(), messages.FieldsRequest{Target: at})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fields.Fields {
		choice := field.Type == messages.FieldChoice || field.Type == messages.FieldChoices
		if choice && (len(field.Options) == 0 || slices.ContainsFunc(field.Options, func(o messages.Choice) bool { return o.Label == "" })) {
			t.Errorf("%s: options %v", field.Name, field.Options)
		}
		if field.Name == table.words.choices && field.Label != "Ways to reach them" {
			t.Errorf("%+v", field)
		}
	}
}
