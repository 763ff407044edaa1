package messages

// Names of the checks of connections.check, in their order.
const (
	CheckToken           = "token"
	CheckWhoAmI          = "whoami"
	CheckSystemUsersRead = "systemusers.read"
	CheckRolesRead       = "roles.read"
	CheckTeamsRead       = "teams.read"
	CheckAccountsRead    = "accounts.read"
	CheckMetadataRead    = "metadata.read"
	CheckAccountsChanges = "accounts.changes"
)

// ChecksReply is what connections.check found, one entry for each permission.
type ChecksReply struct {
	Head
	Checks []PermissionCheck `json:"checks"`
}

// PermissionCheck is one permission, tried for real.
type PermissionCheck struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitzero"`
	// MissingPrivilege is named as Dataverse names it: prvReadAccount.
	MissingPrivilege string `json:"missing_privilege,omitzero"`
	HowToFix         string `json:"how_to_fix,omitzero"`
}
