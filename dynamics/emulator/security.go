package emulator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Column-level security ("Column-level security with code"). A column is secured or not; field
// security profiles say which users and teams may read which secured columns, and a profile that
// cannot be changed gives administrators all. For everybody else the column has no value, in rows
// as in filters and orders: "The call does not throw an exception if the criteria contain secured
// fields for which the caller does not have access. Instead, null values are returned" (How field
// security can be used to control access to field values, gg309608). A composite column, fullname
// for example, is not secured by its parts, and lookups go on naming rows.

// profile is a field security profile.
type profile struct {
	id          guid
	name        string
	users       []*systemUser
	teams       []*team
	permissions []*permission
	version     int64
}

// permission lets those of a profile read a secured column.
type permission struct {
	id                guid
	profile           *profile
	entity, attribute string
	version           int64
}

// adminProfile manages the administrators' access to secured columns; it has this id everywhere.
var adminProfile, _ = parseGUID("572329c1-a042-4e22-be47-367c6374ea45")

// securable says whether a column can be secured: keys, owners, states and what the server writes cannot.
func (t *table) securable(c *column) bool {
	return c.name != t.key && c.compute == nil && c.name != "ownerid" && c.kind != kindState && c.kind != kindStatus &&
		!c.readOnly() && !c.sdkOnly
}

// isAdministrator says whether the user reads secured columns without a profile.
func (u *systemUser) isAdministrator() bool {
	return slices.ContainsFunc(u.allRoles(), func(r *role) bool { return r.name == administrator })
}

// readsSecured says whether one of the user's profiles lets him read a secured column.
func (v *snapshot) readsSecured(u *systemUser, entity, attribute string) bool {
	if u.isAdministrator() {
		return true
	}
	return slices.ContainsFunc(v.profilesOf(u), func(p *profile) bool {
		return slices.ContainsFunc(p.permissions,
			func(x *permission) bool { return x.entity == entity && x.attribute == attribute })
	})
}

// profilesOf are the profiles of a user and of his teams.
func (v *snapshot) profilesOf(u *systemUser) []*profile {
	return v.profilesWith(func(p *profile) bool {
		return containsUser(p, u) || slices.ContainsFunc(u.teams, func(t *team) bool { return containsTeam(p, t) })
	})
}

func (v *snapshot) profilesWith(holds func(*profile) bool) []*profile {
	return slices.DeleteFunc(slices.Clone(v.profiles), func(p *profile) bool { return !holds(p) })
}

func containsUser(p *profile, u *systemUser) bool { return slices.Contains(p.users, u) }

func containsTeam(p *profile, t *team) bool { return slices.Contains(p.teams, t) }

// masked are the tables as the caller sees them: a column that is hidden from him has no value.
func (c *call) masked(tables map[string]*table) map[string]*table {
	var out map[string]*table
	for set, t := range tables {
		m := t.masked(func(x *column) bool { return x.secured && !c.v.readsSecured(c.user, t.logical, x.name) })
		if m == t {
			continue
		}
		if out == nil {
			out = maps.Clone(tables)
		}
		out[set] = m
	}
	if out == nil {
		return tables
	}
	return out
}

// masked is the table itself where no column is hidden.
func (t *table) masked(hidden func(*column) bool) *table {
	m := *t
	for i, x := range t.columns {
		if !hidden(x) {
			continue
		}
		if &m.columns[0] == &t.columns[0] {
			m.columns = slices.Clone(t.columns)
		}
		h := *x
		h.hidden, h.get = true, func(*snapshot, any) value { return value{} }
		m.columns[i] = &h
	}
	if &m.columns[0] == &t.columns[0] {
		return t
	}
	return m.index()
}

// FieldSecurityProfile lets users and teams read secured columns.
type FieldSecurityProfile struct {
	Name string
	// Users go by UserName, Teams by name.
	Users, Teams []string
	// Read are the columns, each with its entity set: accounts.revenue.
	Read []string
}

// Secure secures a column of the table, or takes that back; false where it cannot be secured.
func (c TableControl) Secure(name string, on bool) bool {
	t := c.table()
	if t == nil {
		return false
	}
	x := t.column(name)
	if x == nil || !t.securable(x) {
		return false
	}
	c.s.schema.changeColumn(c.set, name, func(x *column) bool {
		x.secured = on
		return true
	})
	c.s.data.changeProfiles(func(list []*profile, version int64) []*profile {
		i := slices.IndexFunc(list, func(p *profile) bool { return p.id == adminProfile })
		admin := &profile{id: adminProfile, name: administrator, version: version}
		if i >= 0 {
			admin.permissions = list[i].permissions
			list = slices.Delete(list, i, i+1)
		}
		for _, u := range c.s.dir.members() {
			if u.isAdministrator() {
				admin.users = append(admin.users, u)
			}
		}
		admin.permissions = slices.DeleteFunc(slices.Clone(admin.permissions),
			func(x *permission) bool { return x.entity == t.logical && x.attribute == name })
		if on {
			admin.permissions = append(admin.permissions, &permission{entity: t.logical, attribute: name})
		}
		return append(list, admin.sealed(version))
	})
	return true
}

// sealed gives the permissions of a new profile their ids, and the profile.
func (p *profile) sealed(version int64) *profile {
	list := make([]*permission, len(p.permissions))
	for i, x := range p.permissions {
		list[i] = &permission{id: namedGUID("fieldpermission", p.id.String(), x.entity, x.attribute), profile: p,
			entity: x.entity, attribute: x.attribute, version: version}
	}
	p.permissions = list
	return p
}

// PutProfile makes a field security profile, or replaces the one of the same name.
func (c Control) PutProfile(d FieldSecurityProfile) error {
	if d.Name == "" || d.Name == administrator {
		return fmt.Errorf("emulator: a field security profile cannot have the name %q", d.Name)
	}
	p := &profile{id: namedGUID("fieldsecurityprofile", d.Name), name: d.Name}
	for _, n := range d.Users {
		u := c.s.dir.byUserName(n)
		if u == nil {
			return fmt.Errorf("emulator: profile %s: no user %q", d.Name, n)
		}
		p.users = append(p.users, u)
	}
	for _, n := range d.Teams {
		i := slices.IndexFunc(c.s.dir.teams, func(t *team) bool { return t.name == n })
		if i < 0 {
			return fmt.Errorf("emulator: profile %s: no team %q", d.Name, n)
		}
		p.teams = append(p.teams, c.s.dir.teams[i])
	}
	for _, n := range d.Read {
		set, name, _ := strings.Cut(n, ".")
		t := c.s.schema.table(set)
		if t == nil || t.column(name) == nil || !t.column(name).secured {
			return fmt.Errorf("emulator: profile %s: %q is no secured column; one is named like accounts.revenue", d.Name, n)
		}
		p.permissions = append(p.permissions, &permission{entity: t.logical, attribute: name})
	}
	c.s.data.changeProfiles(func(list []*profile, version int64) []*profile {
		p.version = version
		return append(slices.DeleteFunc(list, func(x *profile) bool { return x.name == d.Name }), p.sealed(version))
	})
	return nil
}

// DeleteProfile removes a field security profile by its name, and reports whether it was there.
func (c Control) DeleteProfile(name string) bool {
	was := false
	c.s.data.changeProfiles(func(list []*profile, _ int64) []*profile {
		return slices.DeleteFunc(list, func(x *profile) bool {
			gone := x.name == name && x.id != adminProfile
			was = was || gone
			return gone
		})
	})
	return was
}

// changeProfiles replaces the profiles by what f makes of a copy.
func (s *store) changeProfiles(f func(list []*profile, version int64) []*profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(v *snapshot) {
		v.version += 3
		v.profiles = f(slices.Clone(v.profiles), v.version)
	})
}
