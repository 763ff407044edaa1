package dynamics_test

import (
	"slices"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// application is the user whom the tests' application acts as.
const application = "crmbridge@contoso.example"

// emulatedAs opens a session of a user with these roles and teams.
func emulatedAs(t *testing.T, roles, teams []string) (emulator.Control, *dynamics.Session) {
	t.Helper()
	server, _, session, _ := emulatedWith(t, emulator.Options{Accounts: 4, Contacts: 4, Users: []emulator.User{{
		Name: "crmbridge", UserName: application, ApplicationID: emulator.DefaultClientID, Roles: roles, Teams: teams}}})
	return server.Control(), session
}

// A secured column is readable to administrators, and to whom a profile of the user's or
// of a team lets read it, in each table for itself.
func TestEmulatedSecuredColumns(t *testing.T) {
	type profile = emulator.FieldSecurityProfile
	const team = "Key Accounts"
	for name, c := range map[string]struct {
		roles, teams []string
		profile      *profile
		want         map[string]bool // by table
	}{
		"without a profile":    {roles: []string{"Campaign Reader"}, want: map[string]bool{}},
		"by the user's":        {roles: []string{"Campaign Reader"}, profile: &profile{Name: "p", Users: []string{application}, Read: []string{"accounts.telephone1", "contacts.telephone1"}}, want: map[string]bool{"accounts": true, "contacts": true}},
		"for one table only":   {roles: []string{"Campaign Reader"}, profile: &profile{Name: "p", Users: []string{application}, Read: []string{"contacts.telephone1"}}, want: map[string]bool{"contacts": true}},
		"by a team's":          {roles: []string{"Campaign Reader"}, teams: []string{team}, profile: &profile{Name: "p", Teams: []string{team}, Read: []string{"accounts.telephone1"}}, want: map[string]bool{"accounts": true}},
		"by another team's":    {roles: []string{"Campaign Reader"}, profile: &profile{Name: "p", Teams: []string{team}, Read: []string{"accounts.telephone1"}}, want: map[string]bool{}},
		"who may not ask":      {roles: []string{"No User Reader"}, profile: &profile{Name: "p", Users: []string{application}, Read: []string{"accounts.telephone1"}}, want: map[string]bool{}},
		"an administrator":     {roles: []string{"System Administrator"}, want: map[string]bool{"accounts": true, "contacts": true}},
		"an administrator too": {roles: []string{"Basic User", "System Administrator"}, want: map[string]bool{"accounts": true, "contacts": true}},
	} {
		t.Run(name, func(t *testing.T) {
			control, session := emulatedAs(t, c.roles, c.teams)
			for _, table := range []string{"accounts", "contacts"} {
				if !control.Table(table).Secure("telephone1", true) {
					t.Fatal("telephone1 cannot be secured")
				}
			}
			if c.profile != nil {
				if err := control.PutProfile(*c.profile); err != nil {
					t.Fatal(err)
				}
			}
			for _, table := range []dynamics.Table{accounts, contacts} {
				columns, err := session.Columns(t.Context(), table)
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(columns, func(c dynamics.TableColumn) bool { return c.Logical == "telephone1" })
				if i < 0 || !columns[i].Secured || columns[i].Readable != c.want[table.Name] {
					t.Errorf("%s: %+v", table.Name, columns[max(i, 0)])
				}
				for _, other := range columns {
					if other.Logical != "telephone1" && (other.Secured || !other.Readable) {
						t.Errorf("%s: %+v", table.Name, other)
					}
				}
			}
		})
	}
}

// The depth is the deepest of the user's roles and of those of the user's teams, in each
// table for itself.
func TestEmulatedReadDepth(t *testing.T) {
	for name, c := range map[string]struct {
		roles, teams       []string
		most               emulator.Depth // of contacts; DepthNone does not cut
		accounts, contacts dynamics.Depth
	}{
		"own rows":                   {roles: []string{"Own Accounts Reader"}, accounts: dynamics.DepthBasic, contacts: dynamics.DepthBasic},
		"the unit's":                 {roles: []string{"Unit Accounts Reader"}, accounts: dynamics.DepthLocal, contacts: dynamics.DepthLocal},
		"of the units below":         {roles: []string{"Unit Tree Accounts Reader"}, accounts: dynamics.DepthDeep, contacts: dynamics.DepthDeep},
		"all":                        {roles: []string{"Campaign Reader"}, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthOrganization},
		"each table for itself":      {roles: []string{"Own Contacts Reader"}, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthBasic},
		"none of one":                {roles: []string{"No Contact Reader"}, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthNone},
		"none at all":                {roles: []string{"Basic User"}, accounts: dynamics.DepthNone, contacts: dynamics.DepthNone},
		"the deepest of two roles":   {roles: []string{"Own Accounts Reader", "Unit Accounts Reader"}, accounts: dynamics.DepthLocal, contacts: dynamics.DepthLocal},
		"by a team":                  {roles: []string{"Basic User"}, teams: []string{"Key Accounts"}, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthOrganization},
		"by a team, own rows":        {roles: []string{"Basic User"}, teams: []string{"Key Accounts"}, most: emulator.DepthBasic, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthBasic},
		"by a team, the unit's":      {roles: []string{"Basic User"}, teams: []string{"Key Accounts"}, most: emulator.DepthLocal, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthLocal},
		"by a team, the units below": {roles: []string{"Basic User"}, teams: []string{"Key Accounts"}, most: emulator.DepthDeep, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthDeep},
		"a team beyond a role":       {roles: []string{"Own Accounts Reader"}, teams: []string{"Key Accounts"}, accounts: dynamics.DepthOrganization, contacts: dynamics.DepthOrganization},
	} {
		t.Run(name, func(t *testing.T) {
			control, session := emulatedAs(t, c.roles, c.teams)
			if c.most != emulator.DepthNone {
				control.Limit(application, contacts.Privilege, c.most)
			}
			for table, want := range map[dynamics.Table]dynamics.Depth{accounts: c.accounts, contacts: c.contacts} {
				if got, err := session.ReadDepth(t.Context(), table); err != nil || got != want {
					t.Errorf("%s: %v, %v; want %v", table.Name, got, err, want)
				}
			}
		})
	}
}
