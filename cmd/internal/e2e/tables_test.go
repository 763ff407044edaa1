package e2e

import (
	"errors"
	"hash/crc32"
	"maps"
	"slices"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A testedTable is a table with what tests must know to write rows of it and to judge
// answers. Whatever holds for every table is one test over testedTables.
type testedTable struct {
	messages.Table
	columns []*oracleColumn
	// options is an emulator with so many rows in the table; fewer than none is none.
	options func(rows int) emulator.Options
	// named and namedColumn are the field and the column of a text that tests write as
	// they like: the name, or the part of it that has a column.
	named, namedColumn string
	// few is a filter that few rows match.
	few messages.Where
	// custom is a custom column that is a number.
	custom string
	// own is a user whose role reads the rows that he owns; "" where there is none.
	own   string
	words tableWords
	// share is the part of the random cases that this table gets: one in share.
	share int
}

// tableWords are labels of the table in several languages.
type tableWords struct {
	// choice and choices are a column with one option and a custom one with several.
	choice, choices   string
	english, german   words
	french            string // the label of choice
	choiceValue       int32  // whose label is words.option
	bareOption        bareOption
	translated, plain []knownLabel
}

type words struct{ field, option, choices, choicesOption string }

// bareOption is one that is given a label in the base language alone.
type bareOption struct {
	column string
	value  int
}

// knownLabel is a label that a German user sees, and the option's value.
type knownLabel struct {
	field string
	label string
	value int
}

// testedTables are the tables that crmbridge serves and tests know. Accounts come first.
func testedTables() []*testedTable {
	var tables []*testedTable
	for _, table := range messages.Tables() {
		if describe := map[string]func(messages.Table) *testedTable{
			"accounts": testedAccounts, "contacts": testedContacts, "leads": testedLeads}[table.Name]; describe != nil {
			tables = append(tables, describe(table))
		}
	}
	return tables
}

// forTables runs a test for every table, all at the same time; -short is content with
// accounts, since other tests ask for contacts beside them.
func forTables(t *testing.T, test func(t *testing.T, table *testedTable)) {
	t.Helper()
	forEach(t, testedTables(), test)
}

// forLargeTables is forTables for what has to make tens of thousands of rows: two tables are
// enough, it would take long for each.
func forLargeTables(t *testing.T, test func(t *testing.T, table *testedTable)) {
	t.Helper()
	forEach(t, slices.DeleteFunc(testedTables(), func(table *testedTable) bool { return table.share > 2 }), test)
}

// forEach runs a test for each table. The race detector makes it several times as slow, and what
// goroutines share does not depend on the table: there each test has one of them, always the
// same, and other tests have others. TestTablesSideBySideNeverMix has all at once.
func forEach(t *testing.T, tables []*testedTable, test func(t *testing.T, table *testedTable)) {
	t.Helper()
	t.Parallel()
	chosen := int(crc32.ChecksumIEEE([]byte(t.Name())) % uint32(len(tables)))
	for i, table := range tables {
		if testing.Short() && table.share > 1 || raceDetector && !testing.Short() && i != chosen {
			continue
		}
		t.Run(table.Name, func(t *testing.T) {
			t.Parallel()
			test(t, table)
		})
	}
}

// world is one whose crmbridges serve this table alone.
func (table *testedTable) world(t *testing.T, options emulator.Options) *bridgetest.World {
	t.Helper()
	w := bridgetest.New(t, options)
	w.Tables = table.Name
	return w
}

// rows are the emulator's rows.
func (table *testedTable) rows(control emulator.Control) []emulator.Row {
	return slices.Collect(control.Table(table.Set).Rows())
}

// id is the row's.
func (table *testedTable) id(row emulator.Row) string {
	id, _ := row[table.Key].(string)
	return id
}

// put writes a row and returns its id; pairs are columns and values beside its name.
func (table *testedTable) put(control emulator.Control, id, name string, pairs ...any) string {
	row := emulator.Row{table.namedColumn: name}
	if id != "" {
		row[table.Key] = id
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		row[pairs[i].(string)] = pairs[i+1]
	}
	return table.putRow(control, row)
}

func (table *testedTable) putRow(control emulator.Control, row emulator.Row) string {
	id, err := control.Table(table.Set).Put(row)
	must(err)
	return id
}

func (table *testedTable) remove(control emulator.Control, id string) bool {
	return control.Table(table.Set).Delete(id)
}

func (table *testedTable) of(client *messages.Client) *messages.TableClient {
	return client.Table(table.Table)
}

// column is the oracle's by one of its names.
func (table *testedTable) column(name string) *oracleColumn {
	for _, c := range table.columns {
		if slices.Contains(c.names, name) {
			return c
		}
	}
	panic(table.Name + " has no column " + name)
}

// kinds are the types of the columns.
func (table *testedTable) kinds() []string {
	kinds := map[string]bool{}
	for _, c := range table.columns {
		kinds[c.kind] = true
	}
	return slices.Sorted(maps.Keys(kinds))
}

// faultOf is crmbridge's error, which every failure here must be.
func faultOf(t *testing.T, err error) *messages.Error {
	t.Helper()
	fault, ok := errors.AsType[*messages.Error](err)
	if !ok {
		t.Errorf("not an error of crmbridge's: %v", err)
		return &messages.Error{} // goroutines of a test ask too, which cannot end it
	}
	return fault
}

func numbered(columns []*oracleColumn) []*oracleColumn {
	for i, c := range columns {
		c.index = i
	}
	return columns
}

func testedAccounts(table messages.Table) *testedTable {
	return &testedTable{
		Table: table, columns: accountColumns(), named: "name", namedColumn: "name", custom: "cb_leadscore", share: 1,
		own:     "own.accounts@contoso.example",
		options: func(rows int) emulator.Options { return emulator.Options{Accounts: rows} },
		few:     messages.Leaf("industry", messages.In, []int{1, 2, 3}),
		words: tableWords{
			choice: "industry", choices: "cb_channels", choiceValue: 7,
			english:    words{"Industry", "Consulting", "Channels", "Email"},
			german:     words{"Branche", "Beratung", "Kanäle", "E-Mail"},
			french:     "Secteur d'activité",
			bareOption: bareOption{"industrycode", 7},
			translated: []knownLabel{{"industry", "Finanzen", 16}, {"classification", "Schlüsselkunde", 2}, {"cb_channels", "E-Mail", 100000000}},
			plain:      []knownLabel{{"classification", "long tail", 4}}, // global, without a translation
		},
	}
}

func testedContacts(table messages.Table) *testedTable {
	return &testedTable{
		Table: table, columns: contactColumns(), named: "last_name", namedColumn: "lastname", custom: "cb_engagement", share: 2,
		own: "own.contacts@contoso.example",
		options: func(rows int) emulator.Options {
			if rows <= 0 {
				return emulator.Options{Accounts: -1, Contacts: -1}
			}
			return emulator.Options{Accounts: rows/5 + 1, Contacts: rows}
		},
		few: messages.Leaf("familystatuscode", messages.In, []int{1, 2}),
		words: tableWords{
			choice: "accountrolecode", choices: "cb_interests", choiceValue: 1,
			english:    words{"Role", "Decision Maker", "Interests", "Products"},
			german:     words{"Rolle", "Entscheidungsträger", "Interessen", "Produkte"},
			french:     "Rôle",
			bareOption: bareOption{"accountrolecode", 2},
			translated: []knownLabel{{"accountrolecode", "Entscheidungsträger", 1}, {"cb_persona", "Einkäufer", 100000000}, {"cb_interests", "Schulung", 100000002}},
			plain:      []knownLabel{{"cb_interests", "newsletter", 100000003}, {"cb_persona", "ASSISTANT", 100000003}},
		},
	}
}

func testedLeads(table messages.Table) *testedTable {
	return &testedTable{
		Table: table, columns: leadColumns(), named: "last_name", namedColumn: "lastname", custom: "cb_leadscore", share: 8,
		options: func(rows int) emulator.Options {
			if rows <= 0 {
				return emulator.Options{Accounts: -1, Contacts: -1}
			}
			return emulator.Options{Accounts: 2 * rows, Contacts: rows}
		},
		few: messages.Leaf("industry", messages.In, []int{1, 2, 3}),
		words: tableWords{
			choice: "industry", choices: "cb_interests", choiceValue: 7,
			english:    words{"Industry", "Consulting", "Interests", "Training"},
			german:     words{"Branche", "Beratung", "Interessen", "Training"}, // options of custom columns often have one language,
			french:     "Secteur d'activité",
			bareOption: bareOption{"industrycode", 7},
			translated: []knownLabel{{"industry", "Finanzen", 16}, {"rating", "Heiß", 1}, {"source", "Messe", 7}},
			plain:      []knownLabel{{"cb_interests", "newsletter", 100000003}, {"cb_interests", "TRAINING", 100000002}},
		},
	}
}
