package messages

// WhoAmIReply is Dataverse's WhoAmI: who crmbridge is in the environment.
type WhoAmIReply struct {
	Head
	UserID         string `json:"user_id"`
	BusinessUnitID string `json:"business_unit_id"`
	OrganizationID string `json:"organization_id"`
}

// UserGetRequest asks for one user, by id or by e-mail address or user name.
type UserGetRequest struct {
	Target
	UserID string `json:"user_id,omitzero" jsonschema:"systemuserid; give this or email"`
	Email  string `json:"email,omitzero" jsonschema:"primary e-mail address or user name; give this or user_id"`
}

// MaxEmail bounds [UserGetRequest].Email in bytes: the longest e-mail address or user name that is
// looked up. Dataverse's domainname holds 1024 characters.
const MaxEmail = 1024

// UserReply holds one user.
type UserReply struct {
	Head
	User User `json:"user"`
}

// User is a Dataverse system user.
type User struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	Email          string `json:"email"`
	Disabled       bool   `json:"disabled"`
	Title          string `json:"title"`
	BusinessUnitID string `json:"business_unit_id"`
	Roles          []Role `json:"roles"`
	// RolesTruncated reports that the user is in more teams than are read, 500, so that
	// roles may be missing. Access teams, which cannot hold roles, do not count.
	RolesTruncated bool `json:"roles_truncated,omitzero" jsonschema:"the user is in more than 500 teams; roles of the others are missing"`
}

// RoleDirect is Role.Via for a role that the user holds without a team.
const RoleDirect = "direct"

// Role is one security role and the way by which the user has it: RoleDirect or
// the name of the team that grants it.
type Role struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Via  string `json:"via"`
}
