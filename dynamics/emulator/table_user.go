package emulator

import "slices"

func userTable() *table {
	type u = *systemUser
	id := func(r any) guid { return r.(u).id }
	return &table{logical: "systemuser", set: "systemusers", label: "User", otc: 8, key: "systemuserid",
		primary: "fullname", privilege: readUser,
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
			key("azureactivedirectoryobjectid", "AzureActiveDirectoryObjectId", "Azure AD Object ID",
				func(r u) guid { return r.objectID }),
			key("applicationid", "ApplicationId", "Application ID",
				func(r u) guid { g, _ := parseGUID(r.ApplicationID); return g }),
			boolean("isdisabled", "IsDisabled", "Status", "Enabled", "Disabled", func(r u) bool { return r.Disabled }),
			choice(kindChoice, "accessmode", "AccessMode", "Access Mode",
				labels(0, "Read-Write", "Administrative", "Read", "Support User", "Non-interactive", "Delegated Admin"),
				func(r u) (int64, bool) {
					if r.ApplicationID != "" {
						return 4, true
					}
					return 0, true
				}),
			lookup("businessunitid", "BusinessUnitId", "Business Unit", "businessunit",
				func(r u) guid { return r.businessUnit }),
			number(kindBigInt, "versionnumber", "VersionNumber", "Version number",
				func(r u) (int64, bool) { return r.version, true }),
		}}
}

// members are the users that Dataverse knows.
func (d *directory) members() []*systemUser {
	return slices.DeleteFunc(slices.Clone(d.users), func(u *systemUser) bool { return u.NotMember })
}
