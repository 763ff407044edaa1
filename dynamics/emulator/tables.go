package emulator

import (
	"slices"
	"strconv"
)

// rowTables are the tables whose rows the store keeps, in the order in which they begin: a line for each.
func rowTables() []*table {
	return []*table{
		accountTable(),
		contactTable(),
		leadTable(),
		opportunityTable(),
	}
}

// tables are the entity sets by name.
func tables(d *directory) map[string]*table {
	user, team, role := userTable(), teamTable(), roleTable()
	user.relations = map[string]*relation{
		"systemuserroles_association": {name: "systemuserroles_association", target: role,
			of: func(_ *snapshot, r any) []any { return anys(r.(*systemUser).roles) }},
		"teammembership_association": {name: "teammembership_association", target: team,
			of: func(_ *snapshot, r any) []any { return anys(r.(*systemUser).teams) }},
	}
	team.relations = map[string]*relation{
		"teamroles_association": {name: "teamroles_association", target: role,
			of: func(_ *snapshot, r any) []any { return anys(r.(*teamRow).roles) }},
		"teammembership_association": {name: "teammembership_association", target: user,
			of: func(_ *snapshot, r any) []any { return anys(r.(*teamRow).members) }},
	}
	profiles, permissions := profileTable(), permissionTable()
	relateProfiles(profiles, permissions, user, team)
	out := map[string]*table{}
	for _, t := range rowTables() {
		out[t.set] = t
	}
	for _, t := range []*table{profiles, permissions, user, team, role, unitTable(d), privilegeTable(), settingsTable(),
		organizationTable(d)} {
		out[t.set] = t.index()
	}
	return out
}

// teamRow and roleRow keep the constructors below readable beside the columns of the same names.
type (
	teamRow = team
	roleRow = role
)

func anys[T any](in []T) []any {
	out := make([]any, len(in))
	for i, x := range in {
		out[i] = x
	}
	return out
}

func find[T any](rows []T, id func(any) guid, want guid) any {
	for _, r := range rows {
		if id(r) == want {
			return r
		}
	}
	return nil
}

// Constructors of columns; T is the row's type.

func text[T any](name, schema, label string, length int, get func(T) string) *column {
	return &column{name: name, schema: schema, label: label, kind: kindText, length: length,
		get: func(_ *snapshot, r any) value { s := get(r.(T)); return value{ok: s != "", s: s} }}
}

func key[T any](name, schema, label string, get func(T) guid) *column {
	return &column{name: name, schema: schema, label: label, kind: kindGUID,
		get: func(_ *snapshot, r any) value { g := get(r.(T)); return value{ok: g != guid{}, id: g} }}
}

func lookup[T any](name, schema, label, target string, get func(T) guid) *column {
	c := key(name, schema, label, get)
	c.kind, c.targets = kindLookup, []string{target}
	return c
}

func number[T any](k kind, name, schema, label string, get func(T) (int64, bool)) *column {
	return &column{name: name, schema: schema, label: label, kind: k,
		get: func(_ *snapshot, r any) value { n, ok := get(r.(T)); return value{ok: ok, n: n} }}
}

func choice[T any](k kind, name, schema, label string, options []option, get func(T) (int64, bool)) *column {
	c := number(k, name, schema, label, get)
	c.options = options
	return c
}

func boolean[T any](name, schema, label, no, yes string, get func(T) bool) *column {
	return choice(kindBool, name, schema, label, []option{{value: 0, label: no}, {value: 1, label: yes}},
		func(r T) (int64, bool) {
			if get(r) {
				return 1, true
			}
			return 0, true
		})
}

func custom(c *column) *column { c.custom = true; return c }

// global makes a choice one that uses a global choice, as about half of them do in environments.
func global(c *column) *column { c.global = true; return c }

func memo(c *column) *column { c.kind = kindMemo; return c }

func labels(first int32, names ...string) []option {
	out := make([]option, len(names))
	for i, n := range names {
		out[i] = option{value: first + int32(i), label: n}
	}
	return out
}

func joinChoices(in []int32) string {
	var b []byte
	for i, n := range in {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

func byKeyOrder(rows []any, id func(any) guid) []any {
	slices.SortFunc(rows, func(a, b any) int { return id(a).compare(id(b)) })
	return rows
}
