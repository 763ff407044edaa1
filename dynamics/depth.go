package dynamics

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Depth is how far a privilege reaches.
type Depth int

// The depths, each beyond the one before: no privilege; the user's own rows; those of
// the user's business unit; those of the units below it too; all of the organization.
// https://learn.microsoft.com/power-platform/admin/security-roles-privileges
const (
	DepthNone Depth = iota
	DepthBasic
	DepthLocal
	DepthDeep
	DepthOrganization
)

var depthNames = [...]string{"none", "basic", "local", "deep", "organization"}

// String returns the depth as a lower-case word.
func (d Depth) String() string {
	if d < 0 || int(d) >= len(depthNames) {
		return depthNames[DepthNone]
	}
	return depthNames[d]
}

// depths are the names of Dataverse's enumeration PrivilegeDepth, and its numbers.
var depths = map[string]Depth{"Basic": DepthBasic, "Local": DepthLocal, "Deep": DepthDeep, "Global": DepthOrganization,
	"0": DepthBasic, "1": DepthLocal, "2": DepthDeep, "3": DepthOrganization}

// ReadDepth returns how far the user's privilege to read t reaches, whichever role or
// team it comes from. It says nothing of rows that are shared with the user. An
// environment that does not serve the function answers with an error.
//
// RetrieveUserSetOfPrivilegesByNames is asked, since it counts what comes through teams
// and answers with the one privilege:
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrieveusersetofprivilegesbynames.
// RetrieveUserPrivileges would send every privilege of the user, some thousands.
func (s *Session) ReadDepth(ctx context.Context, t Table) (Depth, error) {
	op := t.op("depth")
	if err := t.check(op); err != nil {
		return DepthNone, err
	}
	if !wholePrivilege.MatchString(t.Privilege) {
		return DepthNone, refuse(op, "", "the table has no name of a privilege")
	}
	user, err := s.user(ctx)
	if err != nil {
		return DepthNone, err
	}
	deepest := DepthNone
	r := request{op: op, most: maxSmallBody, read: func(b *body) error {
		var answer struct {
			RolePrivileges *[]struct {
				Depth         jsontext.Value
				PrivilegeName string
			}
		}
		if err := into(&answer)(b); err != nil {
			return err
		}
		if answer.RolePrivileges == nil {
			return pageFault("the answer holds no privileges")
		}
		deepest = DepthNone
		for _, p := range *answer.RolePrivileges {
			if p.PrivilegeName != "" && !strings.EqualFold(p.PrivilegeName, t.Privilege) {
				continue
			}
			depth, ok := depths[strings.Trim(string(p.Depth), `"`)]
			if !ok {
				return pageFault("a privilege has no depth")
			}
			deepest = max(deepest, depth)
		}
		return nil
	}}
	path := "systemusers(" + user + ")/Microsoft.Dynamics.CRM.RetrieveUserSetOfPrivilegesByNames(PrivilegeNames=@p)"
	err = s.get(ctx, r, path, "@p="+encode(`["`+t.Privilege+`"]`))
	return deepest, err
}

// user is the systemuserid whom the session acts as. It is asked for where the
// TokenSource did not say it.
func (s *Session) user(ctx context.Context) (string, error) {
	if id, ok := canonicalGUID(s.principal.User); ok {
		return id, nil
	}
	who, err := s.WhoAmI(ctx)
	return who.UserID, err
}
