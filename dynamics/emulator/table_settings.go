package emulator

// settingsTable has one row per user, with the user's id as its key.
func settingsTable() *table {
	type u = *systemUser
	id := func(r any) guid { return r.(u).id }
	lcid := func(r u) (int64, bool) { return int64(r.lcid()), true }
	return &table{logical: "usersettings", set: "usersettingscollection", label: "User Settings", otc: 150,
		key: "systemuserid", privilege: readSettings,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.dir.members()), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.dir.members(), id, g) },
		id:    id, owner: id, version: func(r any) int64 { return r.(u).version },
		columns: []*column{
			key("systemuserid", "SystemUserId", "User", func(r u) guid { return r.id }),
			number(kindInt, "uilanguageid", "UILanguageId", "UI Language", lcid),
			number(kindInt, "localeid", "LocaleId", "Locale", lcid),
		}}
}
