package emulator

func roleTable() *table {
	type t = *roleRow
	id := func(r any) guid { return r.(t).id }
	return &table{logical: "role", set: "roles", label: "Security Role", otc: 1036, key: "roleid", primary: "name",
		privilege: readRole,
		rows:      func(v *snapshot) []any { return byKeyOrder(anys(v.dir.roles), id) },
		byKey:     func(v *snapshot, g guid) any { return find(v.dir.roles, id, g) },
		id:        id, owner: id, version: func(r any) int64 { return r.(t).version },
		columns: []*column{
			key("roleid", "RoleId", "Role", func(r t) guid { return r.id }),
			text("name", "Name", "Name", 100, func(r t) string { return r.name }),
			boolean("ismanaged", "IsManaged", "State", "Unmanaged", "Managed", func(r t) bool { return r.managed }),
			lookup("businessunitid", "BusinessUnitId", "Business Unit", "businessunit",
				func(r t) guid { return r.businessUnit }),
			lookup("parentrootroleid", "ParentRootRoleId", "Parent Root Role", "role", func(r t) guid { return r.root }),
			lookup("roletemplateid", "RoleTemplateId", "Role Template ID", "roletemplate", func(r t) guid { return r.template }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number",
				func(r t) (int64, bool) { return r.version, true }),
		}}
}
