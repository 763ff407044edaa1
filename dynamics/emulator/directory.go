package emulator

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// systemUser is a user with what is derived from its description.
type systemUser struct {
	User
	id, objectID, businessUnit guid
	roles                      []*role
	teams                      []*team
	version                    int64
	limits                     limits
	language                   atomic.Int32 // LCID; 0 means the base language
}

type team struct {
	id, businessUnit guid
	name             string
	kind             int // teamtype
	roles            []*role
	members          []*systemUser
	version          int64
}

type role struct {
	id, root, businessUnit guid
	template               guid // null where the role was made in the environment
	name                   string
	managed                bool
	privileges             map[string]Depth
	rows                   Depth            // of reading tables whose rows the store keeps
	tables                 map[string]Depth // of single ones of them
	version                int64
	dir                    *directory
}

// depth is how far the role gives a privilege.
func (r *role) depth(privilege string) Depth {
	if d, ok := r.privileges[privilege]; ok {
		return d
	}
	if !slices.Contains(r.dir.rowPrivileges(), privilege) {
		return DepthNone
	}
	if d, ok := r.tables[privilege]; ok {
		return d
	}
	return r.rows
}

// names are the privileges that the role gives, in no order.
func (r *role) names() []string {
	var out []string
	for p := range r.privileges {
		out = append(out, p)
	}
	for _, p := range r.dir.rowPrivileges() {
		if r.depth(p) > DepthNone {
			out = append(out, p)
		}
	}
	return out
}

// rowPrivileges are those to read the tables whose rows the store keeps, as many as there are now.
func (d *directory) rowPrivileges() []string {
	if p := d.rows.Load(); p != nil {
		return *p
	}
	return nil
}

// directory is who exists; it does not change after New, but for what [Control] does to single users.
type directory struct {
	organization guid
	units        map[string]guid // business units by name
	users        []*systemUser   // sign-in order
	teams        []*team
	roles        []*role
	references   map[guid]reference
	unit         map[guid]guid            // the business unit of users, teams and roles; a unit is its own
	above        map[guid]guid            // the business unit above one
	rows         atomic.Pointer[[]string] // see rowPrivileges
}

// BusinessUnits are the names of the business units, the root first.
func BusinessUnits() []string { return slices.Clone(businessUnits) }

// RoleNames are the security roles that a [User] may have. Every business unit has its own copy of
// each, with its own id.
func RoleNames() []string {
	out := make([]string, len(roleTemplates))
	for i, r := range roleTemplates {
		out[i] = r.name
	}
	return out
}

func newDirectory(o Options) (*directory, error) {
	d := &directory{organization: namedGUID("organization", o.TenantID), units: map[string]guid{}}
	for _, n := range businessUnits {
		d.units[n] = namedGUID("businessunit", n)
	}
	for _, n := range businessUnits {
		for i, r := range roleTemplates {
			d.roles = append(d.roles, &role{id: namedGUID("role", n, r.name),
				root: namedGUID("role", businessUnits[0], r.name), businessUnit: d.units[n],
				template: standardTemplates[r.name], name: r.name, managed: r.managed, privileges: r.grants(), rows: r.rows,
				tables: r.tables, dir: d, version: int64(1000 + i)})
		}
	}
	for i, t := range teamTemplates {
		x := &team{id: namedGUID("team", t.name), businessUnit: d.units[t.unit], name: t.name, kind: t.kind,
			version: int64(2000 + i)}
		for _, n := range t.roles {
			x.roles = append(x.roles, d.role(n, x.businessUnit))
		}
		d.teams = append(d.teams, x)
	}
	users := slices.Clone(builtinUsers)
	for _, u := range o.Users {
		i := slices.IndexFunc(users, func(b User) bool { return strings.EqualFold(b.UserName, u.UserName) })
		if i >= 0 {
			users[i] = u
		} else {
			users = append(users, u)
		}
	}
	for i, u := range users {
		if u.ApplicationID == "{client}" {
			u.ApplicationID = o.ClientID
		}
		x, err := d.user(u)
		if err != nil {
			return nil, err
		}
		x.version = int64(3000 + i)
		d.users = append(d.users, x)
	}
	d.index()
	return d, nil
}

func (d *directory) user(u User) (*systemUser, error) {
	if u.UserName == "" || u.Name == "" {
		return nil, fmt.Errorf("emulator: a user needs Name and UserName, got %q and %q", u.Name, u.UserName)
	}
	if u.Email == "" {
		u.Email = u.UserName
	}
	if u.BusinessUnit == "" {
		u.BusinessUnit = businessUnits[0]
	}
	x := &systemUser{User: u, id: namedGUID("user", strings.ToLower(u.UserName)),
		objectID: namedGUID("oid", strings.ToLower(u.UserName))}
	if u.Language != 0 && !slices.Contains(Languages(), u.Language) {
		return nil, fmt.Errorf("emulator: user %s: no language %d; there are %s", u.UserName, u.Language,
			strings.Join(languageNames(), ", "))
	}
	x.language.Store(int32(u.Language))
	if u.ApplicationID != "" {
		x.objectID = d.servicePrincipal(u.ApplicationID)
	}
	for _, f := range []struct {
		name, text string
		to         *guid
	}{{"ID", u.ID, &x.id}, {"ObjectID", u.ObjectID, &x.objectID}} {
		if f.text == "" {
			continue
		}
		g, ok := parseGUID(f.text)
		if !ok {
			return nil, fmt.Errorf("emulator: user %s: %s %q is not a GUID", u.UserName, f.name, f.text)
		}
		*f.to = g
	}
	x.User.ID, x.User.ObjectID = x.id.String(), x.objectID.String()
	var ok bool
	if x.businessUnit, ok = d.units[u.BusinessUnit]; !ok {
		return nil, fmt.Errorf("emulator: user %s: no business unit %q; there are %s", u.UserName, u.BusinessUnit,
			strings.Join(businessUnits, ", "))
	}
	for _, n := range u.Roles {
		r := d.role(n, x.businessUnit)
		if r == nil {
			return nil, fmt.Errorf("emulator: user %s: no role %q; there are %s", u.UserName, n, strings.Join(RoleNames(), ", "))
		}
		x.roles = append(x.roles, r)
	}
	for _, n := range u.Teams {
		i := slices.IndexFunc(d.teams, func(t *team) bool { return t.name == n })
		if i < 0 {
			return nil, fmt.Errorf("emulator: user %s: no team %q", u.UserName, n)
		}
		x.join(d.teams[i])
	}
	for i := range u.AccessTeams + u.OwnerTeams {
		kind, form := 1, "Account %d access team of %s"
		t := &team{businessUnit: x.businessUnit, version: int64(4000 + i)}
		if i >= u.AccessTeams {
			kind, form = 0, "Team %d of %s"
			t.roles = []*role{d.role("Salesperson", x.businessUnit)}
		}
		t.kind, t.name = kind, fmt.Sprintf(form, i, u.UserName)
		t.id = namedGUID("team", t.name)
		d.teams = append(d.teams, t)
		x.join(t)
	}
	return x, nil
}

func (u *systemUser) join(t *team) {
	u.teams = append(u.teams, t)
	t.members = append(t.members, u)
}

func (d *directory) role(name string, unit guid) *role {
	for _, r := range d.roles {
		if r.name == name && r.businessUnit == unit {
			return r
		}
	}
	return nil
}

// servicePrincipal is the object id of an application in this tenant.
func (d *directory) servicePrincipal(clientID string) guid {
	return namedGUID("serviceprincipal", strings.ToLower(clientID))
}

func (d *directory) byUserName(name string) *systemUser {
	for _, u := range d.users {
		if strings.EqualFold(u.UserName, name) {
			return u
		}
	}
	return nil
}

func (d *directory) byObject(oid guid) *systemUser {
	for _, u := range d.users {
		if u.objectID == oid {
			return u
		}
	}
	return nil
}

// signIn is who signs in without a page: the hint, else the first person.
func (d *directory) signIn(hint string) *systemUser {
	for _, u := range d.users {
		if u.ApplicationID == "" && (hint == "" || strings.EqualFold(u.UserName, hint)) {
			return u
		}
	}
	return nil
}

// allRoles are the user's own and those of the teams.
func (u *systemUser) allRoles() []*role {
	all := slices.Clone(u.roles)
	for _, t := range u.teams {
		all = append(all, t.roles...)
	}
	return all
}
