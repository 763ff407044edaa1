package emulator

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Table is a table to add while the server runs. Then it is there as the built-in ones are: rows,
// counts, pages, metadata, changes, and a privilege that each role gives as far as it gives those
// of other tables.
type Table struct {
	// Set, Logical and Key are the names of the entity set, of the table, and of its key: cb_visits, cb_visit, cb_visitid.
	Set, Logical, Key string
	// Label is the name that people see, Primary the column of what rows are called by; it must be a String.
	Label, Primary string
	// Privilege is the one to read it; empty means prvRead and the logical name.
	Privilege string
	// ObjectTypeCode is 10,000 and more for custom tables; 0 chooses one.
	ObjectTypeCode int
	// Untracked says that changes cannot be asked for.
	Untracked bool
	// Columns are those of the table but for the key, ownerid, statecode, statuscode, createdon,
	// modifiedon and versionnumber, which are added where they are missing.
	Columns []Column
	// Rows are there from the beginning.
	Rows []Row
}

var (
	tableName  = regexp.MustCompile(`^[a-z][a-z0-9_]{1,90}$`)
	tableKinds = func() map[string]kind {
		out := maps.Clone(columnKinds)
		maps.Copy(out, map[string]kind{"DateOnly": kindDate, "BigInt": kindBigInt, "Lookup": kindLookup,
			"Customer": kindLookup, "Uniqueidentifier": kindGUID})
		return out
	}()
)

// AddTable adds a table; it fails where the description makes no sense or a name is taken.
func (c Control) AddTable(d Table) error {
	t, err := d.table(c.s)
	if err != nil {
		return fmt.Errorf("emulator: table %q: %w", d.Set, err)
	}
	rows := make([]*record, len(d.Rows))
	for i, row := range d.Rows {
		if rows[i], err = t.record(row); err != nil {
			return fmt.Errorf("emulator: table %q: row %d: %w", d.Set, i, err)
		}
	}
	if !c.s.schema.with(func(tables map[string]*table) bool {
		for _, other := range tables {
			if other.set == t.set || other.logical == t.logical {
				return false
			}
		}
		tables[t.set] = t
		return true
	}) {
		return fmt.Errorf("emulator: there is a table %s or %s", d.Set, d.Logical)
	}
	c.s.data.firstRows(t, 0, func() []*record { return nil })
	for _, r := range rows {
		c.s.data.put(t, r, c.s.opts.Now())
	}
	return nil
}

// RemoveTable takes away a table that [Control.AddTable] added, with its rows; false where it added none of that name.
func (c Control) RemoveTable(set string) bool {
	logical := ""
	if !c.s.schema.with(func(tables map[string]*table) bool {
		t := tables[set]
		if t == nil || !t.custom {
			return false
		}
		logical = t.logical
		delete(tables, set)
		return true
	}) {
		return false
	}
	c.s.data.drop(logical)
	return true
}

// sales is the product that brings leads and opportunities.
const sales = "Dynamics 365 Sales"

// SetSales says whether the environment has Dynamics 365 Sales. Without it the product's tables are
// not there, nor are their metadata and their privileges, as in an environment where it was never
// installed.
func (c Control) SetSales(on bool) { c.s.schema.product(sales, on) }

// table is the description as the server keeps it.
func (d Table) table(s *Server) (*table, error) {
	for _, n := range []struct{ member, name string }{{"Set", d.Set}, {"Logical", d.Logical}, {"Key", d.Key}} {
		if !tableName.MatchString(n.name) {
			return nil, fmt.Errorf("%s is %q; it must be a name like cb_visits", n.member, n.name)
		}
	}
	if d.Label == "" {
		return nil, errors.New("it has no Label")
	}
	t := &table{logical: d.Logical, set: d.Set, label: d.Label, otc: d.ObjectTypeCode, key: d.Key, primary: d.Primary,
		privilege: d.Privilege,
		tracking:  !d.Untracked, custom: true}
	if t.privilege == "" {
		t.privilege = "prvRead" + d.Logical
	}
	if !strings.HasPrefix(t.privilege, "prvRead") {
		return nil, fmt.Errorf("the privilege %q must begin with prvRead", t.privilege)
	}
	if t.otc == 0 {
		t.otc = 10_000 + len(s.schema.now.Load().tables)
	}
	for _, x := range d.Columns {
		col, err := x.column()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(t.columns, func(o *column) bool { return o.name == col.name }) {
			return nil, fmt.Errorf("column %s is there twice", col.name)
		}
		t.columns = append(t.columns, col)
	}
	if i := slices.IndexFunc(t.columns, func(o *column) bool { return o.name == d.Primary }); i < 0 ||
		t.columns[i].kind != kindText {
		return nil, fmt.Errorf("the primary column is %q; it must be a column of type String", d.Primary)
	}
	for _, col := range slices.Concat([]*column{keyCell(d.Key, d.Key, d.Label), ownerCell()},
		stateCells(activeStates, activeStatus), systemCells()) {
		if !slices.ContainsFunc(t.columns, func(o *column) bool { return o.name == col.name }) {
			t.columns = append(t.columns, col)
		}
	}
	if k := t.columns[slices.IndexFunc(t.columns, func(o *column) bool { return o.name == d.Key })]; k.kind != kindGUID {
		return nil, fmt.Errorf("the key %s must be of type Uniqueidentifier", d.Key)
	}
	return t.keepRows(), nil
}

// column is the description as the server keeps it.
func (d Column) column() (*column, error) {
	k, ok := tableKinds[d.Type]
	switch {
	case !tableName.MatchString(d.Name):
		return nil, fmt.Errorf("column %q: a name is like cb_region", d.Name)
	case !ok:
		return nil, fmt.Errorf("column %s: type is %q; it must be one of %s", d.Name, d.Type,
			strings.Join(slices.Sorted(maps.Keys(tableKinds)), ", "))
	case d.Label == "":
		return nil, fmt.Errorf("column %s has no label", d.Name)
	case len(d.Options) > 0 && k != kindChoice && k != kindChoices:
		return nil, fmt.Errorf("column %s of type %s has no options", d.Name, d.Type)
	case (k == kindLookup) != (len(d.Targets) > 0) && d.Type != "Customer":
		return nil, fmt.Errorf("column %s of type %s: a lookup has Targets, and nothing else has", d.Name, d.Type)
	}
	x := &column{name: d.Name, schema: d.Name, label: d.Label, kind: k, custom: strings.Contains(d.Name, "_"),
		targets: d.Targets}
	if d.Type == "Customer" {
		x.customer, x.targets = true, []string{"account", "contact"}
	}
	x.length = map[kind]int{kindText: 100, kindMemo: 2000}[k]
	if k == kindBool {
		x.options = []option{{value: 0, label: "No"}, {value: 1, label: "Yes"}}
	}
	for _, v := range slices.Sorted(maps.Keys(d.Options)) {
		x.options = append(x.options, option{value: int32(v), label: d.Options[v]})
	}
	return x, nil
}
