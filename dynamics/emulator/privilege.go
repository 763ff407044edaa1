package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// Depth is how far a privilege reaches: none, the user's own rows and those of his teams, his
// business unit, that and the units below, the organization.
type Depth int8

// The depths, in Dataverse's names; each includes those before it.
const (
	DepthNone Depth = iota
	DepthBasic
	DepthLocal
	DepthDeep
	DepthGlobal
)

var depthNames = []string{"None", "Basic", "Local", "Deep", "Global"}

// String is the name that Dataverse uses.
func (d Depth) String() string {
	if d < DepthNone || d > DepthGlobal {
		return fmt.Sprintf("Depth(%d)", int(d))
	}
	return depthNames[d]
}

// ParseDepth reads a name, without case.
func ParseDepth(name string) (Depth, bool) {
	i := slices.IndexFunc(depthNames, func(n string) bool { return strings.EqualFold(n, name) })
	return Depth(max(i, 0)), i >= 0
}

// limits are privileges that were taken from a user, or cut to a depth, while the server runs. Readers never wait.
type limits struct {
	now atomic.Pointer[map[string]Depth]
}

// limit is the depth that a privilege may have at most.
func (l *limits) limit(privilege string) Depth {
	if m := l.now.Load(); m != nil {
		if d, ok := (*m)[privilege]; ok {
			return d
		}
	}
	return DepthGlobal
}

func (l *limits) set(privilege string, d Depth) {
	for {
		old := l.now.Load()
		next := map[string]Depth{}
		if old != nil {
			next = maps.Clone(*old)
		}
		next[privilege] = d
		if d == DepthGlobal {
			delete(next, privilege)
		}
		if l.now.CompareAndSwap(old, &next) {
			return
		}
	}
}

// holding is a privilege as one role gives it: the depth counts from the business unit of the role.
type holding struct {
	depth Depth
	unit  guid
}

// held is what the user has of a privilege, role by role; empty means that it is missing.
func (u *systemUser) held(privilege string) []holding {
	var out []holding
	most := u.limits.limit(privilege)
	for _, r := range u.allRoles() {
		if d := min(r.depth(privilege), most); d > DepthNone {
			out = append(out, holding{d, r.businessUnit})
		}
	}
	return out
}

// depth is the greatest one, with the business unit that it counts from.
func (u *systemUser) depth(privilege string) holding {
	best := holding{unit: u.businessUnit}
	for _, h := range u.held(privilege) {
		if h.depth > best.depth {
			best = h
		}
	}
	return best
}

// privilegeNames are the privileges that the user has, in order.
func (u *systemUser) privilegeNames() []string {
	set := map[string]bool{}
	for _, r := range u.allRoles() {
		for _, p := range r.names() {
			if min(r.depth(p), u.limits.limit(p)) > DepthNone {
				set[p] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// subject is what a refusal says that the privilege is about.
type subject struct {
	logical, label string
	otc            int
}

// missing is the refusal of section 9.2, in its words.
func (u *systemUser) missing(privilege string, about subject) *fault {
	mode := 0
	if u.ApplicationID != "" {
		mode = 4
	}
	return &fault{status: http.StatusForbidden, code: "0x80040220", message: fmt.Sprintf(
		"Principal user (Id=%s, type=8, roleCount=%d, privilegeCount=%d, accessMode=%d), is missing %s privilege (Id=%s) on OTC=%d for entity '%s' (LocalizedName='%s'). context.Caller=%s",
		u.id, len(u.allRoles()), len(u.privilegeNames()), mode, privilege, privilegeID(privilege), about.otc, about.logical,
		about.label, u.id)}
}

// requireOrgWideRead refuses a user who may not read every row of the table, as change tracking
// does. Its words for too small a depth are a guess; the same privilege error is documented.
func requireOrgWideRead(u *systemUser, t *table) *fault {
	if u.depth(t.privilege).depth == DepthGlobal {
		return nil
	}
	return u.missing(t.privilege, t.subject())
}

func (t *table) subject() subject { return subject{t.logical, t.label, t.otc} }

// privilege refuses a table that no role of the caller lets him read at all.
func (c *call) privilege(t *table) *fault {
	if c.user.depth(t.privilege).depth > DepthNone {
		return nil
	}
	return c.user.missing(t.privilege, t.subject())
}

// visible leaves the rows that the caller may read: the others are silently absent (6.2).
func (c *call) visible(t *table, rows []any) []any {
	held := c.user.held(t.privilege)
	if slices.ContainsFunc(held, func(h holding) bool { return h.depth == DepthGlobal }) {
		return rows
	}
	out := make([]any, 0, len(rows)/4)
	for _, r := range rows {
		if c.s.dir.sees(c.user, held, t, r) {
			out = append(out, r)
		}
	}
	return out
}

// readable refuses one row that is there and that the caller may not read.
func (c *call) readable(t *table, row any) *fault {
	if c.s.dir.sees(c.user, c.user.held(t.privilege), t, row) {
		return nil
	}
	return &fault{status: http.StatusForbidden, code: "0x80048306", message: fmt.Sprintf(
		"Principal with id %s does not have ReadAccess right(s) for record with id %s of entity %s", c.user.id, t.id(row),
		t.logical)}
}

// sees says whether what is held of a privilege reaches the row.
func (d *directory) sees(u *systemUser, held []holding, t *table, row any) bool {
	owner, unit := t.owner(row), guid{}
	for _, h := range held {
		switch {
		case h.depth == DepthGlobal:
			return true
		case owner == u.id, slices.ContainsFunc(u.teams, func(t *team) bool { return t.id == owner }):
			return true
		case h.depth == DepthBasic:
			continue
		}
		if unit == (guid{}) {
			unit = d.unitOf(owner)
		}
		if unit == h.unit || h.depth == DepthDeep && d.above[unit] == h.unit {
			return true
		}
	}
	return false
}

// unitOf is the business unit of whoever owns a row, or of the row's unit itself; for nobody it is the root.
func (d *directory) unitOf(owner guid) guid {
	if unit, ok := d.unit[owner]; ok {
		return unit
	}
	return d.units[businessUnits[0]]
}

func privilegeID(name string) guid {
	if name == readAccount {
		return prvReadAccountID
	}
	return namedGUID("privilege", name)
}

var prvReadAccountID, _ = parseGUID("886b280c-6396-4d56-a0a3-2c1b0a50ceb0") // the real one
