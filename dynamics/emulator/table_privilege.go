package emulator

import (
	"maps"
	"slices"
	"strings"
)

type privilegeRow struct {
	id     guid
	name   string
	access int64
}

// Privileges are those of a server that has every built-in table: the names that [Control.Withhold] takes.
func Privileges() []string {
	set := map[string]bool{}
	for _, r := range roleTemplates {
		for p := range r.grants() {
			set[p] = true
		}
	}
	for _, t := range rowTables() {
		set[t.privilege] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// privileges are those that any role gives now.
func (d *directory) privileges() []string {
	set := map[string]bool{}
	for _, r := range d.roles {
		for _, p := range r.names() {
			set[p] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// accessRights are the values of the column accessright by what a privilege's name begins with (4.1).
var accessRights = map[string]int64{"prvRead": 1, "prvWrite": 2, "prvCreate": 32, "prvDelete": 65536}

func (d *directory) privilegeRows() []*privilegeRow {
	var rows []*privilegeRow
	for _, n := range d.privileges() {
		x := &privilegeRow{id: privilegeID(n), name: n}
		for prefix, right := range accessRights {
			if strings.HasPrefix(n, prefix) {
				x.access = right
			}
		}
		rows = append(rows, x)
	}
	return rows
}

func privilegeTable() *table {
	type t = *privilegeRow
	id := func(r any) guid { return r.(t).id }
	return &table{logical: "privilege", set: "privileges", label: "Privilege", otc: 1023, key: "privilegeid",
		primary: "name", privilege: readPrivilege,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.dir.privilegeRows()), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.dir.privilegeRows(), id, g) },
		id:    id, owner: func(any) guid { return guid{} }, version: func(any) int64 { return 800 },
		columns: []*column{
			key("privilegeid", "PrivilegeId", "Privilege", func(r t) guid { return r.id }),
			text("name", "Name", "Name", 100, func(r t) string { return r.name }),
			number(kindInt, "accessright", "AccessRight", "Access Right", func(r t) (int64, bool) { return r.access, true }),
		}}
}
