package dynamics_test

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

func guid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

// script answers by the path below the API root, without the query.
func script(replies map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		path := strings.TrimPrefix(req.URL.Path, "/api/data/v9.2/")
		body, ok := replies[path]
		if req.URL.Query().Has("$skiptoken") {
			body, ok = replies[path+"#2"]
		}
		if !ok {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"error":{"code":"0x80040220","message":"is missing prvReadRole privilege"}}`)
			return
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "HOST", "http://"+req.Host))
	}
}

func userScript() map[string]string {
	u := "systemusers(" + someID + ")"
	return map[string]string{
		u: `{"@odata.etag":"W/\"1\"","systemuserid":"` + strings.ToUpper(someID) +
			`","fullname":"Ada","internalemailaddress":"ada@x.example","isdisabled":true,"title":null,"jobtitle":"Planner","_businessunitid_value":"` + guid(9) + `","ownerid":"x"}`,
		u + "/systemuserroles_association": `{"value":[{"roleid":"` + guid(1) +
			`","name":"Salesperson"}],"@odata.nextLink":"HOST/api/data/v9.2/` + u + `/systemuserroles_association?$skiptoken=2"}`,
		u + "/systemuserroles_association#2": `{"value":[{"roleid":"` + guid(2) + `","name":"Reader"},{"roleid":"` +
			guid(1) + `","name":"Salesperson"}]}`,
		u + "/teammembership_association": `{"value":[{"teamid":"` + guid(5) + `","name":"North"},{"teamid":"` +
			guid(6) + `","name":"South"}]}`,
		"teams(" + guid(5) + ")/teamroles_association": `{"value":[{"roleid":"` + guid(1) + `","name":"Salesperson"}]}`,
		"teams(" + guid(6) + ")/teamroles_association": `{"value":[]}`,
	}
}

func TestUserWithRoles(t *testing.T) {
	r := newRig(t, script(userScript()))
	got, err := r.open(t).User(t.Context(), strings.ToUpper(someID))
	want := dynamics.User{ID: someID, Name: "Ada", Email: "ada@x.example", Disabled: true, Title: "Planner",
		BusinessUnitID: guid(9), Roles: []dynamics.Role{
			{ID: guid(1), Name: "Salesperson", Via: "direct"}, {ID: guid(2), Name: "Reader", Via: "direct"}, {ID: guid(1), Name: "Salesperson", Via: "North"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRolesAreWholeOrAnError(t *testing.T) {
	u := "systemusers(" + someID + ")/"
	for _, c := range []struct {
		path, body string
		want       dynamics.Kind
	}{
		{"teams(" + guid(6) + ")/teamroles_association", "", dynamics.Forbidden},
		{u + "teammembership_association", "", dynamics.Forbidden},
		{u + "systemuserroles_association#2", "", dynamics.Forbidden},
		{u + "systemuserroles_association", `{}`, dynamics.Upstream},
		{u + "systemuserroles_association", `{"value":[{"name":"x"}]}`, dynamics.Upstream},
		{u + "teammembership_association", `{"value":[{"name":"x"}]}`, dynamics.Upstream},
		{u + "systemuserroles_association", `{"value":[],"@odata.nextLink":"https://evil.example/x?y"}`, dynamics.Upstream},
		{u + "systemuserroles_association", `{"value":[],"@odata.nextLink":"HOST/api/data/v9.2/accounts?y"}`, dynamics.Upstream},
		{u + "systemuserroles_association#2", `{"value":[],"@odata.nextLink":"HOST/api/data/v9.2/` + u + `systemuserroles_association?$skiptoken=2"}`, dynamics.Upstream},
	} {
		replies := userScript()
		if delete(replies, c.path); c.body != "" {
			replies[c.path] = c.body
		}
		roles, _, err := newRig(t, script(replies)).open(t).Roles(t.Context(), someID)
		if e := kind(t, err, c.want); roles != nil || c.want == dynamics.Forbidden && e.Privilege != "prvReadRole" {
			t.Errorf("%s: %v, %v", c.path, roles, err)
		}
	}
}

func TestUsersByEmail(t *testing.T) {
	row := strings.Replace(userScript()["systemusers("+someID+")"], "ada@x.example", "O'Brien+X@Y.example", 1)
	byName := strings.Replace(row, `"internalemailaddress":"O'Brien+X@Y.example"`,
		`"internalemailaddress":null,"domainname":"o'brien+x@y.example "`, 1)
	another := strings.Replace(row, "O'Brien", "O'Briën", 1) // the same to some collations
	r := newRig(t, script(map[string]string{"systemusers": `{"value":[` + row + `,` + another + `,` + byName + `]}`}))
	got, err := r.open(t).UsersByEmail(t.Context(), "o'brien+x@y.example")
	if err != nil || len(got) != 2 || got[0].ID != someID || got[0].Roles != nil || got[1].Email != "" {
		t.Errorf("%+v, %v", got, err)
	}
	want := "/api/data/v9.2/systemusers?$select=systemuserid,fullname,internalemailaddress,domainname,isdisabled,title,jobtitle,_businessunitid_value" +
		"&$filter=(internalemailaddress%20eq%20'o''brien%2Bx%40y.example'%20or%20domainname%20eq%20'o''brien%2Bx%40y.example')&$orderby=isdisabled%20asc,systemuserid%20asc"
	if r.uris()[0] != want {
		t.Errorf("got %s", r.uris()[0])
	}
	for _, email := range []string{"", "a\x00", "\xff"} {
		_, err := r.open(t).UsersByEmail(t.Context(), email)
		kind(t, err, dynamics.Invalid)
	}
	_, err = newRig(t, answer(400, `{"error":{"code":"0x80060888","message":"near GEHEIM@x.example"}}`)).open(
		t).UsersByEmail(t.Context(), "geheim@x.example")
	if kind(t, err, dynamics.Invalid); strings.Contains(strings.ToLower(err.Error()), "geheim") {
		t.Error(err)
	}
}

// One name that was cut in the middle of an emoji must not hide everybody's roles.
func TestANameThatIsNotUnicodeIsMended(t *testing.T) {
	replies := userScript()
	u := "systemusers(" + someID + ")/"
	replies[u+"systemuserroles_association"] = `{"value":[{"roleid":"` + guid(1) + `","name":"Sales \ud83d"}]}`
	replies[u+"teammembership_association"] = `{"value":[]}`
	roles, _, err := newRig(t, script(replies)).open(t).Roles(t.Context(), someID)
	if err != nil || len(roles) != 1 || roles[0].Name != "Sales \uFFFD" {
		t.Errorf("%+v, %v", roles, err)
	}
	_, _, err = newRig(t, answer(403, `{"error":{"code":"0x80040220","message":"near 'x\ud83d' is missing prvReadRole privilege"}}`)).open(t).Roles(t.Context(), someID)
	if e := kind(t, err, dynamics.Forbidden); e.Privilege != "prvReadRole" || e.Code != "0x80040220" {
		t.Errorf("%+v", e)
	}
}

func TestRefusedUserIDs(t *testing.T) {
	r := newRig(t, answer(200, `{"systemuserid":"`+guid(1)+`"}`))
	for _, id := range []string{"", "x", someID + "x"} {
		_, err := r.open(t).User(t.Context(), id)
		kind(t, err, dynamics.Invalid)
		_, _, err = r.open(t).Roles(t.Context(), id)
		kind(t, err, dynamics.Invalid)
	}
	_, err := r.open(t).User(t.Context(), someID)
	kind(t, err, dynamics.Upstream)
}

// Another user than the one that was asked for is none, whatever roles there are.
func TestAnotherUserIsNotTheUser(t *testing.T) {
	replies := userScript()
	u := "systemusers(" + someID + ")"
	replies[u] = strings.Replace(replies[u], strings.ToUpper(someID), guid(3), 1)
	user, err := newRig(t, script(replies)).open(t).User(t.Context(), someID)
	if kind(t, err, dynamics.Upstream); user.ID != "" {
		t.Errorf("%+v", user)
	}
}

// Of users with one address the first 50 are read, and of roles 10,000 or none.
func TestBoundsOfUsersAndRoles(t *testing.T) {
	row := func(i int) string {
		return `{"systemuserid":"` + guid(i) + `","internalemailaddress":"a@x.example"}`
	}
	rows := make([]string, 51)
	for i := range rows {
		rows[i] = row(i)
	}
	users, err := newRig(t, script(map[string]string{"systemusers": `{"value":[` + strings.Join(rows, ",") +
		`]}`})).open(t).UsersByEmail(t.Context(), "a@x.example")
	if err != nil || len(users) != 50 || users[49].ID != guid(49) {
		t.Errorf("%d users, %v", len(users), err)
	}
	for n, want := range map[int]dynamics.Kind{10_000: 0, 10_001: dynamics.TooLarge} {
		replies := userScript()
		u := "systemusers(" + someID + ")/"
		replies[u+"systemuserroles_association"] = `{"value":[` +
			strings.TrimSuffix(strings.Repeat(`{"roleid":"`+guid(1)+`"},`, n), ",") + `]}`
		roles, _, err := newRig(t, script(replies)).open(t).Roles(t.Context(), someID)
		if dynamics.KindOf(err) != want || want == 0 && len(roles) != 2 {
			t.Errorf("%d rows: %v, %v", n, roles, err)
		}
	}
}

// Through all teams together there are 20,000 roles or none.
func TestRolesThroughTeamsAreBounded(t *testing.T) {
	for n, want := range map[int]dynamics.Kind{10_000: 0, 10_001: dynamics.TooLarge} {
		replies := userScript()
		for _, team := range []int{5, 6} {
			rows := strings.Repeat(`{"roleid":"`+guid(1)+`"},`, 10_000)
			if team == 6 {
				rows = strings.Repeat(`{"roleid":"`+guid(1)+`"},`, n-5000)
			}
			replies["teams("+guid(team)+")/teamroles_association"] = `{"value":[` + strings.TrimSuffix(rows, ",") + `]}`
		}
		third := "teams(" + guid(7) + ")/teamroles_association"
		replies[third] = `{"value":[` + strings.TrimSuffix(strings.Repeat(`{"roleid":"`+guid(1)+`"},`, 5000), ",") + `]}`
		u := "systemusers(" + someID + ")/teammembership_association"
		replies[u] = strings.Replace(replies[u], `{"value":[`, `{"value":[{"teamid":"`+guid(7)+`","name":"East"},`, 1)
		roles, _, err := newRig(t, script(replies)).open(t).Roles(t.Context(), someID)
		if dynamics.KindOf(err) != want {
			t.Errorf("%d rows beside 10,000: %v, %v", n, roles, err)
		}
	}
}

// Who asks for a user hears that not all teams were looked at.
func TestAUserOfTooManyTeams(t *testing.T) {
	teams := make([]string, dynamics.MaxTeams+1)
	for i := range teams {
		teams[i] = `{"teamid":"` + guid(i) + `","name":"T","teamtype":0}`
	}
	for n, cut := range map[int]bool{dynamics.MaxTeams: false, dynamics.MaxTeams + 1: true} {
		replies := userScript()
		replies["systemusers("+someID+")/teammembership_association"] = `{"value":[` + strings.Join(teams[:n], ",") + `]}`
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/api/data/v9.2/teams" {
				script(replies)(w, req)
				return
			}
			var rows []string
			for i := range teams {
				if strings.Contains(req.URL.RawQuery, guid(i)) {
					rows = append(rows, `{"teamid":"`+guid(i)+`","teamroles_association":[]}`)
				}
			}
			_, _ = io.WriteString(w, `{"value":[`+strings.Join(rows, ",")+`]}`)
		})
		if user, err := r.open(t).User(t.Context(), someID); err != nil || user.RolesCut != cut {
			t.Errorf("%d teams: cut %t, %v", n, user.RolesCut, err)
		}
	}
}

// A label that the user's language does not have is the base language's, which most
// labels are in.
func TestLabelsInTheBaseLanguage(t *testing.T) {
	const attributes = "EntityDefinitions(LogicalName='account')/Attributes"
	row := func(name, labels string) string {
		return `{"LogicalName":"` + name + `","AttributeType":"String","DisplayName":{"UserLocalizedLabel":null,"LocalizedLabels":[` + labels + `]}}`
	}
	german, english := `{"Label":"Kanal","LanguageCode":1031}`, `{"Label":"Channel","LanguageCode":1033}`
	for base, want := range map[string]string{german: "Kanal", english: "Channel"} {
		for _, both := range []string{german + "," + english, english + "," + german} {
			got, err := newRig(t, script(map[string]string{
				attributes: `{"value":[` + row("a", both) + `,` + row("b", base) + `,` + row("c", base) + `,` +
					row("d", german) + `]}`,
				attributes + "/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata": `{"value":[]}`,
			})).open(t).Columns(t.Context(), accounts)
			if err != nil || len(got) != 4 || got[0].Label != want || got[1].Label != want || got[3].Label != "Kanal" {
				t.Errorf("%s: %+v, %v; want %q", both, got, err, want)
			}
		}
	}
}

// What may be read and what may be searched by are two things.
func TestWhatColumnsAreFor(t *testing.T) {
	const attributes = "EntityDefinitions(LogicalName='account')/Attributes"
	row := func(name string, custom, read, find bool) string {
		return fmt.Sprintf(`{"LogicalName":%q,"AttributeType":"String","IsCustomAttribute":%t,"IsValidForRead":%t,"IsValidForAdvancedFind":{"Value":%t}}`, name, custom, read, find)
	}
	got, err := newRig(t, script(map[string]string{
		attributes: `{"value":[` + row("a", true, false, false) + `,` + row("b", false, true, false) + `,` +
			row("c", false, false, true) + `]}`,
		attributes + "/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata": `{"value":[]}`,
	})).open(t).Columns(t.Context(), accounts)
	want := []dynamics.TableColumn{
		{Column: column("a", dynamics.Text), Custom: true, Readable: true}, {Column: column("b", dynamics.Text), Valid: true, Readable: true},
		{Column: column("c", dynamics.Text), Searchable: true, Readable: true}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMetadata(t *testing.T) {
	const attributes = "EntityDefinitions(LogicalName='account')/Attributes"
	row := func(name, kind, rest string) string {
		return `{"@odata.type":"#x","LogicalName":"` + name + `","AttributeType":"Virtual","AttributeTypeName":{"Value":"` +
			kind + `"},"IsCustomAttribute":true,"IsValidForRead":true,"IsValidForAdvancedFind":{"Value":true,"CanBeChanged":true},"DisplayName":` + rest + `,"MetadataId":"x"}`
	}
	r := newRig(t, script(map[string]string{
		attributes: `{"value":[` + row("new_x", "MultiSelectPicklistType",
			`{"LocalizedLabels":[],"UserLocalizedLabel":{"Label":"Kanäle","LanguageCode":1031}}`) + `,` +
			strings.Replace(row("owneridname", "StringType", `{}`), `"LogicalName"`, `"AttributeOf":"ownerid","LogicalName"`,
				1) + `,` + row("ownerid", "OwnerType", `{}`) + `,` +
			row("new_founded", "DateTimeType", `{"UserLocalizedLabel":null}`) + `,` + row("createdon", "DateTimeType", `{}`) +
			`,` + row("entityimage", "ImageType", `{}`) + `]}`,
		attributes + "/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata": `{"value":[{"LogicalName":"new_founded","DateTimeBehavior":{"Value":"DateOnly"}},{"LogicalName":"createdon","DateTimeBehavior":{"Value":"UserLocal"}}]}`,
		attributes + "/Microsoft.Dynamics.CRM.StateAttributeMetadata":    `{"value":[{"@odata.type":"#x","LogicalName":"statecode","MetadataId":"x","OptionSet":{"Options":[{"Value":0,"Label":{"UserLocalizedLabel":{"Label":"Active"}}},{"Value":1,"Label":{"UserLocalizedLabel":null}}]}}]}`,
	}))
	got, err := r.open(t).Columns(t.Context(), accounts)
	want := []dynamics.TableColumn{
		{Column: column("createdon", dynamics.DateTime), Custom: true, Valid: true, Readable: true, Searchable: true},
		{Column: column("entityimage", dynamics.Unsupported), Custom: true, Valid: true, Readable: true, Searchable: true},
		{Column: column("new_founded", dynamics.Date), Custom: true, Valid: true, Readable: true, Searchable: true},
		{Column: column("new_x", dynamics.Choices), Label: "Kanäle", Custom: true, Valid: true, Readable: true, Searchable: true},
		{Column: column("ownerid", dynamics.Lookup), Custom: true, Valid: true, Readable: true, Searchable: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	options, err := r.open(t).Options(t.Context(), accounts, dynamics.State)
	if err != nil || !reflect.DeepEqual(options, map[string]dynamics.OptionSet{"statecode": {Options: []dynamics.Option{{Value: 0, Label: "Active"}, {Value: 1}}, Count: 2}}) {
		t.Errorf("%+v, %v", options, err)
	}
	_, err = r.open(t).Options(t.Context(), accounts, "Boolean")
	kind(t, err, dynamics.Invalid)
	_, err = r.open(t).Options(t.Context(), accounts, dynamics.Picklist)
	kind(t, err, dynamics.Forbidden)
}

// Access teams hold no roles and are not asked about, however the environment takes
// the filter that leaves them out; the roles of many other teams come in few calls,
// and what is not in such an answer is asked for by itself.
func TestRolesOfManyTeams(t *testing.T) {
	u := "systemusers(" + someID + ")/"
	team := func(i, kind int) string {
		return fmt.Sprintf(`{"teamid":%q,"name":"Team %d","teamtype":%d}`, guid(i), i, kind)
	}
	role := func(i int) string { return fmt.Sprintf(`{"roleid":%q,"name":"Role"}`, guid(1000+i)) }
	for name, c := range map[string]struct {
		owners     int
		refused    bool // the environment takes no such filter
		incomplete bool // the answer lacks some teams
		noFilter   bool // nor one of teams by their type
		calls      int
		cut        bool
	}{
		"few":           {owners: 3, calls: 5},
		"as few":        {owners: 8, calls: 10},
		"some":          {owners: 9, calls: 3},
		"many":          {owners: 120, calls: 5},
		"too many":      {owners: 501, calls: 12, cut: true},
		"no filter":     {owners: 9, refused: true, calls: 3 + 9},
		"no filters":    {owners: 9, refused: true, noFilter: true, calls: 4 + 9},
		"not all of it": {owners: 9, incomplete: true, calls: 3 + 3},
	} {
		asked := 0
		var mu sync.Mutex
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			path := strings.TrimPrefix(req.URL.Path, "/api/data/v9.2/")
			switch {
			case path == u+"systemuserroles_association":
				_, _ = io.WriteString(w, `{"value":[]}`)
			case path == u+"teammembership_association":
				filter := req.URL.Query().Get("$filter")
				if filter != "teamtype ne 1" && (filter != "" || !c.noFilter) {
					t.Errorf("filter %q", filter)
				}
				if c.noFilter && filter != "" {
					w.WriteHeader(400)
					_, _ = io.WriteString(w, `{"error":{"code":"0x80060888","message":"no filter here"}}`)
					return
				}
				rows := []string{}
				for i := range c.owners {
					rows = append(rows, team(i, 0))
				}
				for i := range 1500 {
					rows = append(rows, team(5000+i, 1))
				}
				_, _ = io.WriteString(w, `{"value":[`+strings.Join(rows, ",")+`]}`)
			case path == "teams" && !c.refused:
				var rows []string
				for i := range c.owners {
					if strings.Contains(req.URL.RawQuery, guid(i)) {
						more := ""
						if c.incomplete && i == 1 {
							more = `,"teamroles_association@odata.nextLink":"HOST/x?$skiptoken=1"`
						}
						if c.incomplete && i == 2 { // the teams without what hangs on them
							rows = append(rows, fmt.Sprintf(`{"teamid":%q}`, guid(i)))
						} else if !c.incomplete || i != 0 {
							rows = append(rows, fmt.Sprintf(`{"teamid":%q,"teamroles_association":[%s]%s}`, guid(i), role(i), more))
						}
					}
				}
				_, _ = io.WriteString(w, `{"value":[`+strings.Join(rows, ",")+`]}`)
			case strings.HasPrefix(path, "teams("):
				for i := range c.owners {
					if strings.Contains(path, guid(i)) {
						_, _ = io.WriteString(w, `{"value":[`+role(i)+`]}`)
						return
					}
				}
				t.Errorf("%s: asked %s", name, path)
				fallthrough
			default:
				w.WriteHeader(400)
				_, _ = io.WriteString(w, `{"error":{"code":"0x80060888","message":"no such query"}}`)
			}
		})
		roles, cut, err := r.open(t).Roles(t.Context(), someID)
		if err != nil || cut != c.cut || len(roles) != min(c.owners, dynamics.MaxTeams) || asked != c.calls {
			t.Errorf("%s: %d roles in %d calls, cut %v, %v", name, len(roles), asked, cut, err)
			continue
		}
		for i, role := range roles {
			if role.ID != guid(1000+i) || role.Via != fmt.Sprintf("Team %d", i) {
				t.Errorf("%s: %+v", name, role)
				break
			}
		}
	}
}
