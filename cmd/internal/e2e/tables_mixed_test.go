package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// twin is a custom column that each table has, of another type in each.
const twin = "cb_twin"

var twins = map[string]struct {
	column emulator.Column
	oracle func() *oracleColumn
	value  func(i int) any
}{
	"accounts": {emulator.Column{Name: twin, Label: "Twin of accounts", Type: "Integer"},
		func() *oracleColumn { return column(messages.FieldWholeNumber, "", twin) }, func(i int) any { return i % 3 }},
	"contacts": {emulator.Column{Name: twin, Label: "Twin of contacts", Type: "Picklist", Options: map[int]string{0: "Zero", 1: "One", 2: "Two"}},
		func() *oracleColumn { return choiceColumn("", twin, optionsFrom(0, "Zero", "One", "Two")) }, func(i int) any { return i % 3 }},
	"leads": {emulator.Column{Name: twin, Label: "Twin of leads", Type: "String"},
		func() *oracleColumn { return column(messages.FieldText, "", twin) }, func(i int) any { return fmt.Sprint("text ", i%3) }},
}

// sideBySide is one table in a world of several, and what is true of it.
type sideBySide struct {
	*testedTable
	client *messages.TableClient
	oracle *oracle
	rows   map[string]*oracleRow
	// fields are its columns with a plain text, and alien one that only another table has.
	fields []*oracleColumn
	alien  string
}

// Two processes and one Redis answer for several tables in any order: totals, counts,
// rows, fields and custom columns are each table's own. CRMBRIDGE_TEST_SEED and
// CRMBRIDGE_TEST_QUESTIONS choose other questions and how many.
func TestTablesSideBySideNeverMix(t *testing.T) {
	t.Parallel()
	seed := numberFrom(t, "CRMBRIDGE_TEST_SEED", 4)
	count := numberFrom(t, "CRMBRIDGE_TEST_QUESTIONS", map[bool]uint64{false: 600, true: 120}[raceDetector || testing.Short()])
	t.Logf("CRMBRIDGE_TEST_SEED=%d CRMBRIDGE_TEST_QUESTIONS=%d", seed, count)
	rng := rand.New(rand.NewPCG(seed, 7))
	w := bridgetest.New(t, emulator.Options{Accounts: 240, Contacts: 310})
	w.Tables = bridge.AllTables()
	bridgetest.Serve(t, w.Settings(true))
	bridgetest.Serve(t, w.Settings(false))
	w.Connect("acme")
	client, _ := w.Client()
	tables := besideEachOther(t, rng, w.Emulator.Control(), client)

	questions := make(chan func() string)
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			for ask := range questions {
				if fault := ask(); fault != "" {
					t.Error(fault)
				}
			}
		})
	}
	trees := map[*sideBySide]*whereTrees{}
	for _, table := range tables {
		trees[table] = newWhereTrees(rng, table.oracle)
	}
	asked := map[string]int{}
	for range count {
		if t.Failed() {
			break
		}
		table := one(rng, tables)
		where := trees[table].tree()
		kind := one(rng, slices.Sorted(maps.Keys(sideQuestions)))
		asked[table.Name+" "+kind]++
		choice := rng.Uint64()
		questions <- func() string {
			ctx, cancel := context.WithTimeout(t.Context(), whereDeadline)
			defer cancel()
			if fault := sideQuestions[kind](ctx, table, where, rand.New(rand.NewPCG(choice, 0))); fault != "" {
				text, err := json.Marshal(&where)
				must(err)
				return fmt.Sprintf("seed %d, %s %s: %s\n%s", seed, table.Name, kind, fault, text)
			}
			return ""
		}
	}
	close(questions)
	wait.Wait()
	t.Logf("asked %v", asked)
}

// besideEachOther fills the tables and says what is true of them.
func besideEachOther(t *testing.T, rng *rand.Rand, control emulator.Control, client *messages.Client) []*sideBySide {
	t.Helper()
	var tables []*sideBySide
	for _, table := range testedTables() {
		own := twins[table.Name]
		if err := control.Table(table.Set).AddColumn(own.column); err != nil {
			t.Fatal(err)
		}
		table.columns = numbered(append(table.columns, own.oracle()))
		hostileWorld(rng, table, control)
		for i, row := range table.rows(control) {
			row[twin] = own.value(i)
			table.putRow(control, row)
		}
		s := &sideBySide{testedTable: table, client: table.of(client), oracle: newOracle(table, table.rows(control)), rows: map[string]*oracleRow{}}
		for _, row := range s.oracle.rows {
			s.rows[row.id] = row
		}
		for _, c := range table.columns {
			if c.kind == messages.FieldText && c.logical != twin {
				s.fields = append(s.fields, c)
			}
		}
		tables = append(tables, s)
	}
	for i, s := range tables {
		other := tables[(i+1)%len(tables)]
		s.alien = other.testedTable.custom
	}
	return tables
}

// sideQuestions ask something of a table and say how the answer is wrong.
var sideQuestions = map[string]func(ctx context.Context, s *sideBySide, where messages.Where, rng *rand.Rand) string{
	"pages": func(ctx context.Context, s *sideBySide, where messages.Where, rng *rand.Rand) string {
		in := s.request(rng)
		in.Where, in.IncludeTotal = &where, true
		return s.compare(s.client.Pages(ctx, in), in, s.oracle.match(&where))
	},
	"stream": func(ctx context.Context, s *sideBySide, where messages.Where, rng *rand.Rand) string {
		in := s.request(rng)
		in.Where, in.IncludeTotal = &where, true
		return s.compare(s.client.Stream(ctx, in), in, s.oracle.match(&where))
	},
	"total": func(ctx context.Context, s *sideBySide, _ messages.Where, rng *rand.Rand) string {
		in := s.request(rng)
		in.IncludeTotal, in.PageSize = true, messages.Count(1+rng.IntN(20))
		page, err := s.client.Search(ctx, in)
		if err != nil || page.Total == nil || *page.Total != int64(len(s.rows)) {
			return fmt.Sprintf("%v, %+v; want a total of %d", err, page, len(s.rows))
		}
		return ""
	},
	"count": func(ctx context.Context, s *sideBySide, where messages.Where, _ *rand.Rand) string {
		n, err := s.client.Count(ctx, messages.CountRequest{Target: messages.Target{Connection: "acme"}, Where: &where})
		if want := len(s.oracle.match(&where)); err != nil || n != int64(want) {
			return fmt.Sprintf("%d, %v; want %d", n, err, want)
		}
		return ""
	},
	"get": func(ctx context.Context, s *sideBySide, _ messages.Where, rng *rand.Rand) string {
		in, want := s.request(rng), one(rng, s.oracle.rows)
		row, err := s.client.Get(ctx, messages.GetRequest{Target: in.Target, ID: want.id, Fields: in.Fields})
		if err != nil {
			return err.Error()
		}
		return s.wrong(row, in.Fields)
	},
	"fields": func(ctx context.Context, s *sideBySide, _ messages.Where, rng *rand.Rand) string {
		reply, err := s.client.Fields(ctx, messages.FieldsRequest{Target: messages.Target{Connection: "acme"}, CustomOnly: rng.IntN(2) == 0})
		if err != nil {
			return err.Error()
		}
		own, there := s.column(twin), false
		for _, field := range reply.Fields {
			if field.Name == s.alien && s.alien != s.testedTable.custom {
				return "it has " + field.Name
			}
			if field.Name == twin {
				there = field.Type == own.kind && field.Label == twins[s.Name].column.Label && len(field.Options) == len(own.options)
			}
		}
		if !there {
			return fmt.Sprintf("%s is not its own: %+v", twin, reply.Fields)
		}
		return ""
	},
	"another table's column": func(ctx context.Context, s *sideBySide, _ messages.Where, rng *rand.Rand) string {
		if s.alien == s.testedTable.custom {
			return ""
		}
		in := s.request(rng)
		in.Fields = append(in.Fields, s.alien)
		_, err := s.client.Search(ctx, in)
		if fault, ok := err.(*messages.Error); !ok || fault.Code != messages.InvalidRequest {
			return fmt.Sprintf("%s: %v", s.alien, err)
		}
		return ""
	},
	"twin": func(ctx context.Context, s *sideBySide, _ messages.Where, rng *rand.Rand) string {
		value := map[string]any{messages.FieldWholeNumber: 1, messages.FieldChoice: "one", messages.FieldText: "text 1"}[s.column(twin).kind]
		where := messages.Leaf(twin, messages.Eq, value)
		in := s.request(rng)
		in.Where = &where
		return s.compare(s.client.Stream(ctx, in), in, s.oracle.match(&where))
	},
}

// request asks for the id and a few other fields.
func (s *sideBySide) request(rng *rand.Rand) messages.SearchRequest {
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"id"}, PageSize: messages.Count(40 + rng.IntN(300))}
	for _, i := range rng.Perm(len(s.fields))[:rng.IntN(6)] {
		in.Fields = append(in.Fields, one(rng, s.fields[i].names))
	}
	return in
}

// compare says how pages differ from the rows that are wanted.
func (s *sideBySide) compare(pages func(func(*messages.Page, error) bool), in messages.SearchRequest, want map[string]bool) string {
	got, total := map[string]bool{}, false
	for page, err := range pages {
		if err != nil {
			return err.Error()
		}
		if page.Total != nil {
			if total = true; *page.Total != int64(len(want)) {
				return fmt.Sprintf("a total of %d, want %d", *page.Total, len(want))
			}
		}
		for _, row := range page.Rows {
			id := row.Text("id")
			if !want[id] || got[id] {
				return "a row that is not wanted: " + id
			}
			got[id] = true
			if wrong := s.wrong(row, in.Fields); wrong != "" {
				return wrong
			}
		}
	}
	if len(got) != len(want) || in.IncludeTotal && !total {
		return fmt.Sprintf("%d rows, want %d; a total: %v", len(got), len(want), total)
	}
	return ""
}

// wrong says how a row differs from the emulator's.
func (s *sideBySide) wrong(row messages.Row, fields []string) string {
	truth := s.rows[row.Text("id")]
	if truth == nil {
		return "there is no row " + row.Text("id")
	}
	for _, field := range fields {
		if got, want := row.Text(field), truth.cells[s.column(field).index].raw; got != want {
			return fmt.Sprintf("%s of %s is %q, want %q", field, truth.id, got, want)
		}
	}
	return ""
}
