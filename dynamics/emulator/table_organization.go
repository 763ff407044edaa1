package emulator

// organizationTable has one row: the environment itself.
func organizationTable(d *directory) *table {
	type o = *organizationRow
	id := func(r any) guid { return r.(o).id }
	row := &organizationRow{id: d.organization, name: "Contoso"}
	return &table{logical: "organization", set: "organizations", label: "Organization", otc: 1019, key: "organizationid",
		primary: "name", privilege: readOrganization,
		rows: func(*snapshot) []any { return []any{row} },
		byKey: func(_ *snapshot, g guid) any {
			if g == row.id {
				return row
			}
			return nil
		},
		id: id, owner: id, version: func(any) int64 { return 1 },
		columns: []*column{
			key("organizationid", "OrganizationId", "Organization", func(r o) guid { return r.id }),
			text("name", "Name", "Organization Name", 160, func(r o) string { return r.name }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number", func(o) (int64, bool) { return 1, true }),
		}}
}

type organizationRow struct {
	id   guid
	name string
}
