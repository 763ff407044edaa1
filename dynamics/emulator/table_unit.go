package emulator

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
	return &table{logical: "businessunit", set: "businessunits", label: "Business Unit", otc: 10, key: "businessunitid",
		primary: "name", privilege: readBusinessUnit,
		rows:  func(*snapshot) []any { return byKeyOrder(anys(rows), id) },
		byKey: func(_ *snapshot, g guid) any { return find(rows, id, g) },
		id:    id, owner: id, version: func(any) int64 { return 900 },
		columns: []*column{
			key("businessunitid", "BusinessUnitId", "Business Unit", func(r t) guid { return r.id }),
			text("name", "Name", "Name", 160, func(r t) string { return r.name }),
			lookup("parentbusinessunitid", "ParentBusinessUnitId", "Parent Business", "businessunit",
				func(r t) guid { return r.above }),
		}}
}
