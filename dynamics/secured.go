package dynamics

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"
)

// A column that is secured is null to a user who may not read it, so that a condition on
// it would be answered wrongly: "Column-level security by using code",
// https://learn.microsoft.com/power-apps/developer/data-platform/column-level-security.
// Field security profiles let users and teams read it, and system administrators read
// all. Rows may be shared column by column as well, which is not looked at.

const (
	// mayRead is Allowed of the global choice field_security_permission_type.
	mayRead = 4
	// administratorTemplate is the role template of the role System Administrator,
	// whatever the role is called in an environment.
	administratorTemplate = "627090ff-40a3-4053-8790-584edc5be201"

	opSecured = "metadata.secured"
)

// hide marks the columns that the user may not read. Nothing is sent where no column is
// secured. What the user cannot find out counts as not readable: a wrong null is worse
// than a refusal.
func (s *Session) hide(ctx context.Context, t Table, columns []TableColumn, ids map[string]string) error {
	if !slices.ContainsFunc(columns, func(c TableColumn) bool { return !c.Readable }) {
		return nil
	}
	user, err := s.user(ctx)
	if err != nil {
		return err
	}
	readable, err := s.attributePrivileges(ctx, user)
	if notServed(err) {
		readable, err = s.profilePermissions(ctx, t, user)
	}
	if err != nil && !untold(err) {
		return err
	}
	hidden := false
	for i := range columns {
		c := &columns[i]
		c.Readable = c.Readable || readable[c.Logical] || readable[ids[c.Logical]]
		hidden = hidden || !c.Readable
	}
	if !hidden {
		return nil
	}
	all, err := s.administers(ctx, user)
	if err != nil && !untold(err) {
		return err
	}
	for i := range columns {
		columns[i].Readable = columns[i].Readable || all
	}
	return nil
}

// notServed reports whether the environment does not know what was asked for.
func notServed(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusNotImplemented}, e.Status)
}

// untold reports whether the environment does not say what was asked for, to this user
// or at all, or says it in a form that nobody can read. Another try would not change it.
func untold(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (notServed(err) || e.Kind == Forbidden || e.Kind == TooLarge || e.Kind == Upstream && !e.retry)
}

// attributePrivileges returns the ids of the secured columns that the user may read,
// also through teams. The function needs no more than prvReadUser, unlike the tables
// that it is made from:
// https://learn.microsoft.com/dotnet/api/microsoft.crm.sdk.messages.retrieveprincipalattributeprivilegesrequest.
func (s *Session) attributePrivileges(ctx context.Context, user string) (map[string]bool, error) {
	readable := map[string]bool{}
	r := request{op: opSecured, most: maxRelatedBody, read: func(b *body) error {
		clear(readable)
		return withDecoder(b, func(d *jsontext.Decoder) error {
			seen := false
			_, err := members(d, "the answer is not a JSON object", func(name string) (err error) {
				if name != "AttributePrivileges" {
					return d.SkipValue()
				}
				seen, err = elements(d, `"AttributePrivileges" is not an array`, func() error {
					return readPrivilege(b, d, readable)
				})
				return err
			})
			if err == nil && !seen {
				return pageFault("the answer holds no privileges")
			}
			return err
		}, jsontext.AllowDuplicateNames(false))
	}}
	err := s.get(ctx, r, "systemusers("+user+")/Microsoft.Dynamics.CRM.RetrievePrincipalAttributePrivileges()", "")
	return readable, err
}

// readableBytes is what an id takes in a map.
const readableBytes = 128

// readPrivilege reads one privilege. Only the id of what may be read is kept: an answer
// may hold any number of entries of a few bytes.
func readPrivilege(b *body, d *jsontext.Decoder, readable map[string]bool) error {
	var p struct {
		AttributeId string
		CanRead     int
	}
	if err := json.UnmarshalDecode(d, &p); err != nil {
		return err
	}
	id, ok := canonicalGUID(p.AttributeId)
	if !ok || p.CanRead != mayRead || readable[id] {
		return nil
	}
	readable[id] = true
	return b.keep(readableBytes)
}

type profileRow struct {
	ID string `json:"fieldsecurityprofileid"`
}

// profilePermissions returns the logical names of t's secured columns that a profile of
// the user, or of one of the user's teams, lets be read.
func (s *Session) profilePermissions(ctx context.Context, t Table, user string) (map[string]bool, error) {
	profiles, err := s.profiles(ctx, user)
	if err != nil || len(profiles) == 0 {
		return nil, err
	}
	type permission struct {
		Column  string `json:"attributelogicalname"`
		Table   string `json:"entityname"`
		Profile string `json:"_fieldsecurityprofileid_value"`
		Read    int    `json:"canread"`
	}
	filter := "entityname eq " + quote(t.Logical) + " and canread eq 4"
	rows, _, err := related[permission](ctx, s, opSecured, "fieldpermissions",
		"$select=attributelogicalname,entityname,canread,_fieldsecurityprofileid_value&$filter="+encode(filter),
		maxRelated, nil)
	if err != nil {
		return nil, err
	}
	readable := map[string]bool{}
	for _, p := range rows {
		if id, ok := canonicalGUID(p.Profile); ok && profiles[id] && p.Table == t.Logical && p.Read == mayRead {
			readable[p.Column] = true
		}
	}
	return readable, nil
}

// profiles are the field security profiles of a user and of the user's teams.
func (s *Session) profiles(ctx context.Context, user string) (map[string]bool, error) {
	const columns = "$select=fieldsecurityprofileid"
	path := "systemusers(" + user + ")/"
	own, _, err := related[profileRow](ctx, s, opSecured, path+"systemuserprofiles_association", columns, maxRelated, nil)
	if err != nil {
		return nil, err
	}
	teams, _, err := related[teamRow](ctx, s, opSecured, path+"teammembership_association", teamColumns, MaxTeams, nil)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(teamsAtOnce)
	all := map[string]bool{}
	add := func(rows []profileRow) {
		mu.Lock()
		defer mu.Unlock()
		for _, row := range rows {
			if id, ok := canonicalGUID(row.ID); ok && len(all) < maxRelated {
				all[id] = true // what is beyond lets nothing be read
			}
		}
	}
	add(own)
	for _, team := range teams {
		id, ok := canonicalGUID(team.ID)
		if !ok {
			_ = group.Wait()
			return nil, unusable(opSecured, "a team has no id", nil)
		}
		group.Go(Guard(func() error {
			rows, _, err := related[profileRow](ctx, s, opSecured, "teams("+id+")/teamprofiles_association", columns,
				maxRelated, nil)
			add(rows)
			return err
		}))
	}
	return all, group.Wait()
}

// administers reports whether the user is a system administrator, directly or through a
// team. Every business unit has a copy of the role.
func (s *Session) administers(ctx context.Context, user string) (bool, error) {
	copies, _, err := related[roleRow](ctx, s, opSecured, "roles",
		"$select=roleid&$filter="+encode("_roletemplateid_value eq "+administratorTemplate), maxRelated, nil)
	if err != nil || len(copies) == 0 {
		return false, err
	}
	roles, _, err := s.Roles(ctx, user)
	return slices.ContainsFunc(roles, func(r Role) bool {
		return slices.ContainsFunc(copies, func(c roleRow) bool { id, ok := canonicalGUID(c.ID); return ok && id == r.ID })
	}), err
}
