package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// The functions about privileges (4.1). Microsoft's documentation does not say which privilege they
// need themselves; here it is the one to read the row that they are bound to.

// boundFunction answers for a row, by the function's name without its namespace.
func (c *call) boundFunction(t *table, row any, name string, s segment, o options) (*answer, *fault) {
	args, fail := o.parameters(s.key)
	if fail != nil {
		return nil, fail
	}
	switch t.logical + "/" + name {
	case "systemuser/RetrieveUserPrivileges":
		u := row.(*systemUser)
		return c.rolePrivileges(name, u.privilegeNames(), u.depth)
	case "systemuser/RetrieveUserSetOfPrivilegesByNames":
		var names []string
		if json.Unmarshal([]byte(args["PrivilegeNames"]), &names) != nil {
			return nil, badRequest("Error in query syntax.")
		}
		u := row.(*systemUser)
		mine := slices.DeleteFunc(u.privilegeNames(), func(n string) bool { return !slices.Contains(names, n) })
		return c.rolePrivileges(name, mine, u.depth)
	case "systemuser/RetrieveUserPrivilegeByPrivilegeName":
		u, want := row.(*systemUser), strings.Trim(args["PrivilegeName"], "'")
		mine := slices.DeleteFunc(u.privilegeNames(), func(n string) bool { return n != want })
		return c.rolePrivileges(name, mine, u.depth)
	case "systemuser/RetrievePrincipalAttributePrivileges":
		return c.attributePrivileges(name, c.v.profilesOf(row.(*systemUser)))
	case "team/RetrievePrincipalAttributePrivileges":
		x := row.(*team)
		return c.attributePrivileges(name, c.v.profilesWith(func(p *profile) bool { return containsTeam(p, x) }))
	case "systemuser/RetrievePrincipalAccess":
		return c.principalAccess(row.(*systemUser), args["Target"])
	case "team/RetrieveTeamPrivileges":
		x := row.(*team)
		u := &systemUser{teams: []*team{{businessUnit: x.businessUnit, roles: x.roles}}}
		return c.rolePrivileges(name, u.privilegeNames(), u.depth)
	}
	return nil, noSegment(crm + name)
}

// rolePrivilegesRole is the unbound RetrieveRolePrivilegesRole.
func (c *call) rolePrivilegesRole(s segment, o options) (*answer, *fault) {
	args, fail := o.parameters(s.key)
	if fail != nil {
		return nil, fail
	}
	t := c.tables()["roles"]
	if fail := c.privilege(t); fail != nil {
		return nil, fail
	}
	id, ok := parseGUID(args["RoleId"])
	if !ok {
		return nil, badRequest("Error in query syntax.")
	}
	row := t.byKey(c.v, id)
	if row == nil {
		return nil, noRow(t, id)
	}
	u := &systemUser{roles: []*role{row.(*role)}, businessUnit: row.(*role).businessUnit}
	return c.rolePrivileges("RetrieveRolePrivilegesRole", u.privilegeNames(), u.depth)
}

// rolePrivileges writes the member RolePrivileges, which all of them answer with. That an absent
// record filter is a zero GUID and null is a guess.
func (c *call) rolePrivileges(function string, names []string, depth func(string) holding) (*answer, *fault) {
	rows := []object{}
	for _, n := range names {
		h := depth(n)
		rows = append(rows, object{{"Depth", h.depth.String()}, {"PrivilegeId", privilegeID(n).String()},
			{"BusinessUnitId", h.unit.String()},
			{"PrivilegeName", n}, {"RecordFilterId", guid{}.String()}, {"RecordFilterUniqueName", nil}})
	}
	return c.jsonAnswer(object{{"@odata.context", c.base + "$metadata#" + crm + function + "Response"},
		{"RolePrivileges", rows}})
}

// principalAccess says what the user may do with one row: target is {'@odata.id':'accounts(GUID)'},
// in either kind of quotes. attributePrivileges are the secured columns that profiles let be read,
// each once: "all the secured attribute privileges a user or team has through direct or indirect
// (through team membership) associations with the FieldSecurityProfile entity"
// (https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrieveprincipalattributeprivileges,
// members from …/attributeprivilege, values of field_security_permission_type: 0 and 4).
func (c *call) attributePrivileges(function string, profiles []*profile) (*answer, *fault) {
	const allowed = 4
	rows := []object{}
	seen := map[guid]bool{}
	for _, p := range profiles {
		for _, x := range p.permissions {
			id := metadataID(x.entity, x.attribute)
			if seen[id] {
				continue
			}
			seen[id] = true
			write := 0
			if p.id == adminProfile {
				write = allowed
			}
			rows = append(rows, object{{"AttributeId", id.String()}, {"CanCreate", write}, {"CanRead", allowed},
				{"CanReadUnMasked", 0}, {"CanUpdate", write}})
		}
	}
	return c.jsonAnswer(object{{"@odata.context", c.base + "$metadata#" + crm + function + "Response"},
		{"AttributePrivileges", rows}})
}

func (c *call) principalAccess(u *systemUser, target string) (*answer, *fault) {
	var ref struct {
		ID string `json:"@odata.id"`
	}
	if json.Unmarshal([]byte(strings.ReplaceAll(target, "'", `"`)), &ref) != nil || ref.ID == "" {
		return nil, badRequest("Error in query syntax.")
	}
	set, key, _ := strings.Cut(strings.TrimPrefix(ref.ID, c.base), "(")
	t := c.tables()[strings.TrimPrefix(set, "/")]
	id, ok := parseGUID(strings.TrimSuffix(key, ")"))
	switch {
	case !ok:
		return nil, badRequest("Error in query syntax.")
	case t == nil: // a wrong entity set is told like a missing row (9.2)
		return nil, &fault{status: http.StatusNotFound, code: codeNotExist, message: "Entity '" + set + "' With Id = " +
			id.String() + " Does Not Exist"}
	}
	row := t.byKey(c.v, id)
	if row == nil {
		return nil, noRow(t, id)
	}
	var rights []string
	for _, right := range []string{"Read", "Write", "Delete"} {
		held := u.held("prv" + right + strings.TrimPrefix(t.privilege, "prvRead"))
		if len(held) > 0 && c.s.dir.sees(u, held, t, row) {
			rights = append(rights, right+"Access")
		}
	}
	if len(rights) == 0 {
		rights = []string{"None"}
	}
	return c.jsonAnswer(object{{"@odata.context", c.base + "$metadata#" + crm + "RetrievePrincipalAccessResponse"},
		{"AccessRights", strings.Join(rights, ", ")}})
}

// parameters reads Name=value,Name=@alias between a function's parentheses; an alias without a value is null.
func (o options) parameters(text string) (map[string]string, *fault) {
	out := map[string]string{}
	if strings.TrimSpace(text) == "" {
		return out, nil
	}
	for _, part := range splitTop(text, ',') {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, badRequest("Error in query syntax.")
		}
		value = strings.TrimSpace(value)
		if strings.HasPrefix(value, "@") {
			value = o.aliases[value]
		}
		out[strings.TrimSpace(name)] = value
	}
	return out, nil
}
