package emulator

// The tables of column-level security: fieldsecurityprofiles and fieldpermissions.

func profileTable() *table {
	type t = *profile
	id := func(r any) guid { return r.(t).id }
	return &table{logical: "fieldsecurityprofile", set: "fieldsecurityprofiles", label: "Field Security Profile",
		otc: 1200, key: "fieldsecurityprofileid",
		primary: "name", privilege: readProfile,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.profiles), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.profiles, id, g) },
		id:    id, owner: func(any) guid { return guid{} }, version: func(r any) int64 { return r.(t).version },
		columns: []*column{
			key("fieldsecurityprofileid", "FieldSecurityProfileId", "Field Security Profile", func(r t) guid { return r.id }),
			text("name", "Name", "Name", 100, func(r t) string { return r.name }),
			memo(text("description", "Description", "Description", 2000, func(t) string { return "" })),
			boolean("ismanaged", "IsManaged", "State", "Unmanaged", "Managed", func(r t) bool { return r.id == adminProfile }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number",
				func(r t) (int64, bool) { return r.version, true }),
		}}
}

// mayOptions are the options of the columns of fieldpermission.
var mayOptions = []option{{value: 0, label: "Not Allowed"}, {value: 4, label: "Allowed"}}

func permissionTable() *table {
	type t = *permission
	id := func(r any) guid { return r.(t).id }
	may := func(name, schema, label string, get func(t) bool) *column {
		return global(choice(kindChoice, name, schema, label, mayOptions,
			func(r t) (int64, bool) { return 4 * int64(btoi(get(r))), true }))
	}
	write := func(r t) bool { return r.profile.id == adminProfile }
	return &table{logical: "fieldpermission", set: "fieldpermissions", label: "Field Permission", otc: 1201,
		key: "fieldpermissionid", privilege: readPermission,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.permissions()), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.permissions(), id, g) },
		id:    id, owner: func(any) guid { return guid{} }, version: func(r any) int64 { return r.(t).version },
		columns: []*column{
			key("fieldpermissionid", "FieldPermissionId", "Field Permission", func(r t) guid { return r.id }),
			text("entityname", "EntityName", "Name of the Entity for which this privilege is defined", 128,
				func(r t) string { return r.entity }),
			text("attributelogicalname", "AttributeLogicalName", "Name of the attribute for which this privilege is defined",
				128, func(r t) string { return r.attribute }),
			may("canread", "CanRead", "Can Read the attribute", func(t) bool { return true }),
			may("cancreate", "CanCreate", "Can create the attribute", write),
			may("canupdate", "CanUpdate", "Can Update the attribute", write),
			choice(kindChoice, "canreadunmasked", "CanReadUnMasked", "Can read unmasked value",
				[]option{{value: 0, label: "Not Allowed"}, {value: 1, label: "One Record"}, {value: 3, label: "All Records"}},
				func(t) (int64, bool) { return 0, true }),
			lookup("fieldsecurityprofileid", "FieldSecurityProfileId", "Profile", "fieldsecurityprofile",
				func(r t) guid { return r.profile.id }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number",
				func(r t) (int64, bool) { return r.version, true }),
		}}
}

func (v *snapshot) permissions() []*permission {
	var out []*permission
	for _, p := range v.profiles {
		out = append(out, p.permissions...)
	}
	return out
}

// relateProfiles adds the relations of profiles to the tables of users and teams.
func relateProfiles(profiles, permissions, user, team *table) {
	const users, teams, granted = "systemuserprofiles_association", "teamprofiles_association",
		"lk_fieldpermission_fieldsecurityprofileid"
	profiles.relations = map[string]*relation{
		users: {name: users, target: user, of: func(_ *snapshot, r any) []any { return anys(r.(*profile).users) }},
		teams: {name: teams, target: team, of: func(_ *snapshot, r any) []any { return anys(r.(*profile).teams) }},
		granted: {name: granted, target: permissions,
			of: func(_ *snapshot, r any) []any { return anys(r.(*profile).permissions) }},
	}
	permissions.relations = map[string]*relation{
		"fieldsecurityprofileid": {name: "fieldsecurityprofileid", target: profiles, one: true,
			of: func(_ *snapshot, r any) []any { return []any{r.(*permission).profile} }},
	}
	user.relations[users] = &relation{name: users, target: profiles, of: func(v *snapshot, r any) []any {
		return anys(v.profilesWith(func(p *profile) bool { return containsUser(p, r.(*systemUser)) }))
	}}
	team.relations[teams] = &relation{name: teams, target: profiles, of: func(v *snapshot, r any) []any {
		return anys(v.profilesWith(func(p *profile) bool { return containsTeam(p, r.(*teamRow)) }))
	}}
}
