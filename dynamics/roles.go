package dynamics

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"
)

// MaxTeams bounds the teams of a user whose roles are read.
const MaxTeams = 500

const (
	directly = "direct"
	// accessTeam is the teamtype of teams that share single rows. They cannot hold
	// roles, and a user can be in thousands of them:
	// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/team.
	accessTeam = 1
	maxGranted = 20_000 // roles through all teams
	// fewTeams are asked for one by one, more in a filter of teamsPerCall.
	fewTeams     = 8
	teamsPerCall = 50
	teamsAtOnce  = 4
	roleColumns  = "$select=roleid,name"
	teamColumns  = "$select=teamid,name,teamtype"
	teamRoles    = "teamroles_association"
)

type roleRow struct {
	ID   string `json:"roleid"`
	Name string `json:"name"`
}

// roleRows are at most one more than all that are read.
type roleRows []roleRow

// UnmarshalJSONFrom reads the roles one by one: each may be a few bytes only.
func (r *roleRows) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var rows roleRows
	some, err := elements(d, "the roles of a team are not an array", func() error {
		if len(rows) > maxGranted {
			return d.SkipValue()
		}
		var one roleRow
		err := json.UnmarshalDecode(d, &one)
		rows = append(rows, one)
		return err
	})
	if some && rows == nil {
		rows = roleRows{}
	}
	*r = rows
	return err
}

type teamRow struct {
	ID   string `json:"teamid"`
	Name string `json:"name"`
	Type *int   `json:"teamtype"`
}

func (t teamRow) holdsRoles() bool { return t.Type == nil || *t.Type != accessTeam }

// Roles returns the roles that a user has directly, then those through teams in
// the order of the teams: one entry per role and way. A team whose roles cannot
// be read is an error, since half of the roles would look like all; cut says that
// the user is in more than [MaxTeams] teams, or in so many others that they were not
// all looked at.
func (s *Session) Roles(ctx context.Context, userID string) (roles []Role, cut bool, err error) {
	key, ok := canonicalGUID(userID)
	if !ok {
		return nil, false, refuse("roles.read", "", "the user id is not a GUID")
	}
	user := "systemusers(" + key + ")/"
	own, err := allRoles(ctx, s, "roles.read", user+"systemuserroles_association")
	if err != nil {
		return nil, false, err
	}
	teams, cut, err := related(ctx, s, "teams.read", user+"teammembership_association",
		teamColumns+"&$filter=teamtype%20ne%201", MaxTeams, teamRow.holdsRoles)
	if KindOf(err) == Invalid { // the filter only makes the answer shorter
		teams, cut, err = related(ctx, s, "teams.read", user+"teammembership_association", teamColumns, MaxTeams,
			teamRow.holdsRoles)
	}
	if err != nil {
		return nil, false, err
	}
	for i := range teams {
		if teams[i].ID, ok = canonicalGUID(teams[i].ID); !ok {
			return nil, false, unusable("teams.read", "a team has no id", nil)
		}
	}
	granted, err := s.rolesOfTeams(ctx, teams)
	if err != nil {
		return nil, false, err
	}
	roles, err = gather(own, teams, granted)
	return roles, cut, err
}

// allRoles reads a relation to roles, whole or not at all.
func allRoles(ctx context.Context, s *Session, op, path string) ([]roleRow, error) {
	rows, cut, err := related[roleRow](ctx, s, op, path, roleColumns, maxRelated, nil)
	if err == nil && cut {
		err = &Error{Kind: TooLarge, Op: op, Message: "more roles than the 10,000 that are read"}
	}
	return rows, err
}

// rolesOfTeams reads the roles of each team.
func (s *Session) rolesOfTeams(ctx context.Context, teams []teamRow) ([][]roleRow, error) {
	granted := make([][]roleRow, len(teams))
	var rows atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(teamsAtOnce)
	size := 1
	if len(teams) > fewTeams {
		size = teamsPerCall
	}
	for begin := 0; begin < len(teams); begin += size {
		end := min(begin+size, len(teams))
		group.Go(Guard(func() error {
			err := s.rolesOfSome(ctx, teams[begin:end], granted[begin:end])
			for _, some := range granted[begin:end] {
				if rows.Add(int64(len(some))) > maxGranted && err == nil {
					err = &Error{Kind: TooLarge, Op: "teams.roles",
						Message: "more roles through teams than the 20,000 that are read"}
				}
			}
			return err
		}))
	}
	return granted, group.Wait()
}

// rolesOfSome reads the roles of some teams in one call, and those that the answer
// does not hold whole in one call each.
func (s *Session) rolesOfSome(ctx context.Context, teams []teamRow, granted [][]roleRow) error {
	known := map[string][]roleRow{}
	if len(teams) > 1 {
		var err error
		if known, err = s.rolesAtOnce(ctx, teams); err != nil {
			return err
		}
	}
	for i, team := range teams {
		rows, ok := known[team.ID]
		if !ok {
			var err error
			if rows, err = allRoles(ctx, s, "teams.roles", "teams("+team.ID+")/"+teamRoles); err != nil {
				return err
			}
		}
		granted[i] = rows
	}
	return nil
}

// rolesAtOnce asks for several teams with their roles. Dataverse gives up to 5000
// related rows with each, and a link to them that has a skip token where there are
// more: "Join tables using OData",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/join-tables.
// An environment that takes no such query gives nothing.
func (s *Session) rolesAtOnce(ctx context.Context, teams []teamRow) (map[string][]roleRow, error) {
	type row struct {
		ID    string   `json:"teamid"`
		Roles roleRows `json:"teamroles_association"`
		More  string   `json:"teamroles_association@odata.nextLink"`
	}
	ids := make([]string, len(teams))
	for i, team := range teams {
		ids[i] = "teamid eq " + team.ID
	}
	options := "$select=teamid&$filter=" + encode(strings.Join(ids, " or ")) + "&$expand=" + teamRoles + "(" +
		roleColumns + ")"
	rows, _, err := related[row](ctx, s, "teams.roles", "teams", options, len(teams), nil)
	if e, ok := errors.AsType[*Error](err); ok &&
		slices.Contains([]Kind{Invalid, UnknownColumn, NotFound, Upstream}, e.Kind) &&
		slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusNotImplemented}, e.Status) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := make(map[string][]roleRow, len(rows))
	for _, row := range rows {
		id, ok := canonicalGUID(row.ID)
		if ok && row.Roles != nil && !strings.Contains(strings.ToLower(row.More), "skiptoken") {
			known[id] = row.Roles
		}
	}
	return known, nil
}

func gather(own []roleRow, teams []teamRow, granted [][]roleRow) ([]Role, error) {
	roles, seen := []Role{}, map[Role]bool{}
	add := func(rows []roleRow, via string) error {
		for _, row := range rows {
			id, ok := canonicalGUID(row.ID)
			if !ok {
				return unusable("roles.read", "a role has no id", nil)
			}
			if r := (Role{ID: id, Name: row.Name, Via: via}); !seen[r] {
				seen[r] = true
				roles = append(roles, r)
			}
		}
		return nil
	}
	if err := add(own, directly); err != nil {
		return nil, err
	}
	for i, team := range teams {
		if err := add(granted[i], team.Name); err != nil {
			return nil, err
		}
	}
	return roles, nil
}
