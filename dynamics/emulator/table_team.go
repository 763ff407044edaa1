package emulator

func teamTable() *table {
	type t = *teamRow
	id := func(r any) guid { return r.(t).id }
	return &table{logical: "team", set: "teams", label: "Team", otc: 9, key: "teamid", primary: "name",
		privilege: readTeam,
		rows:      func(v *snapshot) []any { return byKeyOrder(anys(v.dir.teams), id) },
		byKey:     func(v *snapshot, g guid) any { return find(v.dir.teams, id, g) },
		id:        id, owner: id, version: func(r any) int64 { return r.(t).version },
		columns: []*column{
			key("teamid", "TeamId", "Team", func(r t) guid { return r.id }),
			text("name", "Name", "Team Name", 160, func(r t) string { return r.name }),
			choice(kindChoice, "teamtype", "TeamType", "Team Type", labels(0, "Owner", "Access", "Security Group",
				"Office Group"),
				func(r t) (int64, bool) { return int64(r.kind), true }),
			lookup("businessunitid", "BusinessUnitId", "Business Unit", "businessunit",
				func(r t) guid { return r.businessUnit }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number",
				func(r t) (int64, bool) { return r.version, true }),
		}}
}
