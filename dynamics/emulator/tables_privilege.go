package emulator

import (
	"maps"
	"slices"
	"strings"
)

// The tables of business units, privileges and personal settings.

type unitRow struct {
	id, above guid
	name      string
}

func unitTable(d *directory) *table {
	type t = *unitRow
	id := func(r any) guid { return r.(t).id }
	var rows []t
	for i, n := range businessUnits {
		x := &unitRow{id: d.units[n], name: n}
		if i > 0 {
			x.above = d.units[businessUnits[0]]
		}
		rows = append(rows, x)
	}
	return &table{logical: "businessunit", set: "businessunits", label: "Business Unit", otc: 10, key: "businessunitid", primary: "name", privilege: readBusinessUnit,
		rows:  func(*snapshot) []any { return byKeyOrder(anys(rows), id) },
		byKey: func(_ *snapshot, g guid) any { return find(rows, id, g) },
		id:    id, owner: id, version: func(any) int64 { return 900 },
		columns: []*column{
			key("businessunitid", "BusinessUnitId", "Business Unit", func(r t) guid { return r.id }),
			text("name", "Name", "Name", 160, func(r t) string { return r.name }),
			lookup("parentbusinessunitid", "ParentBusinessUnitId", "Parent Business", "businessunit", func(r t) guid { return r.above }),
		}}
}

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

// privileges are those that any role has.
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
	return &table{logical: "privilege", set: "privileges", label: "Privilege", otc: 1023, key: "privilegeid", primary: "name", privilege: readPrivilege,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.dir.privilegeRows()), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.dir.privilegeRows(), id, g) },
		id:    id, owner: func(any) guid { return guid{} }, version: func(any) int64 { return 800 },
		columns: []*column{
			key("privilegeid", "PrivilegeId", "Privilege", func(r t) guid { return r.id }),
			text("name", "Name", "Name", 100, func(r t) string { return r.name }),
			number(kindInt, "accessright", "AccessRight", "Access Right", func(r t) (int64, bool) { return r.access, true }),
		}}
}

// settingsTable has one row per user, with the user's id as its key.
func settingsTable() *table {
	type u = *systemUser
	id := func(r any) guid { return r.(u).id }
	lcid := func(r u) (int64, bool) { return int64(r.lcid()), true }
	return &table{logical: "usersettings", set: "usersettingscollection", label: "User Settings", otc: 150, key: "systemuserid", privilege: readSettings,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.dir.members()), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.dir.members(), id, g) },
		id:    id, owner: id, version: func(r any) int64 { return r.(u).version },
		columns: []*column{
			key("systemuserid", "SystemUserId", "User", func(r u) guid { return r.id }),
			number(kindInt, "uilanguageid", "UILanguageId", "UI Language", lcid),
			number(kindInt, "localeid", "LocaleId", "Locale", lcid),
		}}
}
