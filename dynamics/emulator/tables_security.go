package emulator

import "slices"

// The tables of users, teams and roles.

func userTable() *table {
	type u = *systemUser
	id := func(r any) guid { return r.(u).id }
	return &table{logical: "systemuser", set: "systemusers", label: "User", otc: 8, key: "systemuserid", primary: "fullname", privilege: readUser,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.dir.members()), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.dir.members(), id, g) },
		id:    id, owner: id, version: func(r any) int64 { return r.(u).version },
		columns: []*column{
			key("systemuserid", "SystemUserId", "User", func(r u) guid { return r.id }),
			text("fullname", "FullName", "Full Name", 200, func(r u) string { return r.Name }),
			text("internalemailaddress", "InternalEMailAddress", "Primary Email", 100, func(r u) string { return r.Email }),
			text("domainname", "DomainName", "User Name", 1024, func(r u) string { return r.UserName }),
			text("title", "Title", "Title", 128, func(r u) string { return r.Title }),
			text("jobtitle", "JobTitle", "Job Title", 100, func(r u) string { return r.JobTitle }),
			key("azureactivedirectoryobjectid", "AzureActiveDirectoryObjectId", "Azure AD Object ID", func(r u) guid { return r.objectID }),
			key("applicationid", "ApplicationId", "Application ID", func(r u) guid { g, _ := parseGUID(r.ApplicationID); return g }),
			boolean("isdisabled", "IsDisabled", "Status", "Enabled", "Disabled", func(r u) bool { return r.Disabled }),
			choice(kindChoice, "accessmode", "AccessMode", "Access Mode",
				labels(0, "Read-Write", "Administrative", "Read", "Support User", "Non-interactive", "Delegated Admin"), func(r u) (int64, bool) {
					if r.ApplicationID != "" {
						return 4, true
					}
					return 0, true
				}),
			lookup("businessunitid", "BusinessUnitId", "Business Unit", "businessunit", func(r u) guid { return r.businessUnit }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number", func(r u) (int64, bool) { return r.version, true }),
		}}
}

// members are the users that Dataverse knows.
func (d *directory) members() []*systemUser {
	return slices.DeleteFunc(slices.Clone(d.users), func(u *systemUser) bool { return u.NotMember })
}

func teamTable() *table {
	type t = *teamRow
	id := func(r any) guid { return r.(t).id }
	return &table{logical: "team", set: "teams", label: "Team", otc: 9, key: "teamid", primary: "name", privilege: readTeam,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.dir.teams), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.dir.teams, id, g) },
		id:    id, owner: id, version: func(r any) int64 { return r.(t).version },
		columns: []*column{
			key("teamid", "TeamId", "Team", func(r t) guid { return r.id }),
			text("name", "Name", "Team Name", 160, func(r t) string { return r.name }),
			choice(kindChoice, "teamtype", "TeamType", "Team Type", labels(0, "Owner", "Access", "Security Group", "Office Group"),
				func(r t) (int64, bool) { return int64(r.kind), true }),
			lookup("businessunitid", "BusinessUnitId", "Business Unit", "businessunit", func(r t) guid { return r.businessUnit }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number", func(r t) (int64, bool) { return r.version, true }),
		}}
}

func roleTable() *table {
	type t = *roleRow
	id := func(r any) guid { return r.(t).id }
	return &table{logical: "role", set: "roles", label: "Security Role", otc: 1036, key: "roleid", primary: "name", privilege: readRole,
		rows:  func(v *snapshot) []any { return byKeyOrder(anys(v.dir.roles), id) },
		byKey: func(v *snapshot, g guid) any { return find(v.dir.roles, id, g) },
		id:    id, owner: id, version: func(r any) int64 { return r.(t).version },
		columns: []*column{
			key("roleid", "RoleId", "Role", func(r t) guid { return r.id }),
			text("name", "Name", "Name", 100, func(r t) string { return r.name }),
			boolean("ismanaged", "IsManaged", "State", "Unmanaged", "Managed", func(r t) bool { return r.managed }),
			lookup("businessunitid", "BusinessUnitId", "Business Unit", "businessunit", func(r t) guid { return r.businessUnit }),
			lookup("parentrootroleid", "ParentRootRoleId", "Parent Root Role", "role", func(r t) guid { return r.root }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number", func(r t) (int64, bool) { return r.version, true }),
		}}
}

// organizationTable has one row: the environment itself.
func organizationTable(d *directory) *table {
	type o = *organizationRow
	id := func(r any) guid { return r.(o).id }
	row := &organizationRow{id: d.organization, name: "Contoso"}
	return &table{logical: "organization", set: "organizations", label: "Organization", otc: 1019, key: "organizationid", primary: "name", privilege: readOrganization,
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

func byKeyOrder(rows []any, id func(any) guid) []any {
	slices.SortFunc(rows, func(a, b any) int { return id(a).compare(id(b)) })
	return rows
}
