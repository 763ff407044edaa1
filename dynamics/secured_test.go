package dynamics_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// securedTable answers for a table of three columns, of which two are secured.
func securedTable(more map[string]http.HandlerFunc) http.HandlerFunc {
	attribute := func(name, id, security string) string {
		return fmt.Sprintf(`{"LogicalName":%q,"MetadataId":%q,"AttributeTypeName":{"Value":"StringType"},"IsValidForRead":true,%s}`, name, id, security)
	}
	columns := `{"value":[` + strings.Join([]string{
		attribute("name", guid(1), `"IsSecured":false,"CanBeSecuredForRead":true`),
		attribute("salary", guid(2), `"IsSecured":true,"CanBeSecuredForRead":true`),
		attribute("secret", strings.ToUpper(guid(3)), `"IsSecured":true`),
		attribute("writeonce", guid(4), `"IsSecured":true,"CanBeSecuredForRead":false`),
	}, ",") + `]}`
	return func(w http.ResponseWriter, req *http.Request) {
		path := strings.TrimPrefix(req.URL.Path, "/api/data/v9.2/")
		for end, handler := range more {
			if strings.HasSuffix(path, end) {
				handler(w, req)
				return
			}
		}
		switch {
		case strings.HasSuffix(path, "DateTimeAttributeMetadata"):
			_, _ = w.Write([]byte(`{"value":[]}`))
		case strings.HasSuffix(path, "/Attributes"):
			_, _ = w.Write([]byte(columns))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":{"code":"0x80060888","message":"Resource not found for the segment 'x'."}}`))
		}
	}
}

// endless answers with the end of a text again and again, as long as somebody reads.
func endless(begin, again string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		_, err := w.Write([]byte(begin))
		for block := []byte(strings.Repeat(again, 4096)); err == nil && req.Context().Err() == nil; {
			_, err = w.Write(block)
		}
	}
}

func TestColumnsThatTheUserMayNotRead(t *testing.T) {
	const function = "RetrievePrincipalAttributePrivileges()"
	forbidden := answer(403, `{"error":{"code":"0x80040220","message":"is missing prvReadUser privilege"}}`)
	privileges := func(entries ...string) http.HandlerFunc {
		return answer(200, `{"AttributePrivileges":[`+strings.Join(entries, ",")+`]}`)
	}
	allowed := func(id string, read int) string { return fmt.Sprintf(`{"AttributeId":%q,"CanRead":%d}`, id, read) }
	none := answer(200, `{"value":[]}`)
	profile := func(id string) http.HandlerFunc {
		return answer(200, fmt.Sprintf(`{"value":[{"fieldsecurityprofileid":%q}]}`, id))
	}
	permissions := answer(200, fmt.Sprintf(`{"value":[
		{"attributelogicalname":"salary","entityname":"contact","canread":4,"_fieldsecurityprofileid_value":%q},
		{"attributelogicalname":"secret","entityname":"contact","canread":4,"_fieldsecurityprofileid_value":%q},
		{"attributelogicalname":"secret","entityname":"contact","canread":0,"_fieldsecurityprofileid_value":%q},
		{"attributelogicalname":"secret","entityname":"account","canread":4,"_fieldsecurityprofileid_value":%q}]}`, guid(20), guid(99), guid(20), guid(20)))
	team := answer(200, fmt.Sprintf(`{"value":[{"teamid":%q,"name":"t","teamtype":0}]}`, guid(30)))
	role := func(id string) http.HandlerFunc {
		return answer(200, fmt.Sprintf(`{"value":[{"roleid":%q,"name":"r"}]}`, id))
	}

	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf(`{"fieldsecurityprofileid":%q}`, guid(1000+i)))
	}

	for name, c := range map[string]struct {
		served map[string]http.HandlerFunc
		want   string // the readable columns
	}{
		"by the function":         {map[string]http.HandlerFunc{function: privileges(allowed(strings.ToUpper(guid(2)), 4), allowed(guid(3), 0))}, "name salary writeonce"},
		"all by the function":     {map[string]http.HandlerFunc{function: privileges(allowed(guid(2), 4), allowed(guid(3), 4))}, "name salary secret writeonce"},
		"none by the function":    {map[string]http.HandlerFunc{function: privileges()}, "name writeonce"},
		"the user may not ask":    {map[string]http.HandlerFunc{function: forbidden}, "name writeonce"},
		"nothing of it is served": {nil, "name writeonce"},
		"by a profile":            {map[string]http.HandlerFunc{"systemuserprofiles_association": profile(guid(20)), "teammembership_association": none, "fieldpermissions": permissions}, "name salary writeonce"},
		"by a profile of a team":  {map[string]http.HandlerFunc{"systemuserprofiles_association": none, "teammembership_association": team, "teamprofiles_association": profile(guid(20)), "fieldpermissions": permissions}, "name salary writeonce"},
		"too many profiles": {map[string]http.HandlerFunc{"systemuserprofiles_association": answer(200, `{"value":[`+strings.Join(many, ",")+`]}`),
			"teammembership_association": team, "teamprofiles_association": profile(guid(20)), "fieldpermissions": permissions}, "name writeonce"},
		"by another's profile":      {map[string]http.HandlerFunc{"systemuserprofiles_association": profile(guid(21)), "teammembership_association": none, "fieldpermissions": permissions}, "name writeonce"},
		"permissions are kept":      {map[string]http.HandlerFunc{"systemuserprofiles_association": profile(guid(20)), "teammembership_association": none, "fieldpermissions": forbidden}, "name writeonce"},
		"by a system administrator": {map[string]http.HandlerFunc{function: privileges(), "/systemuserroles_association": role(guid(40)), "teammembership_association": none, "roles": role(guid(40))}, "name salary secret writeonce"},
		"by another role":           {map[string]http.HandlerFunc{function: privileges(), "/systemuserroles_association": role(guid(41)), "teammembership_association": none, "roles": role(guid(40))}, "name writeonce"},
		"nobody can read it":        {map[string]http.HandlerFunc{function: answer(200, `{"AttributePrivileges":"all"}`)}, "name writeonce"},
		"of another type":           {map[string]http.HandlerFunc{function: privileges(`{"AttributeId":7,"CanRead":true}`)}, "name writeonce"},
		"of no JSON":                {map[string]http.HandlerFunc{function: answer(200, `<html>sign in</html>`)}, "name writeonce"},
		"without privileges":        {map[string]http.HandlerFunc{function: answer(200, `{}`)}, "name writeonce"},
		"without an end":            {map[string]http.HandlerFunc{function: endless(`{"AttributePrivileges":[`, `{"AttributeId":"","CanRead":4},`)}, "name writeonce"},
		"unreadable roles":          {map[string]http.HandlerFunc{function: privileges(allowed(guid(2), 4)), "roles": answer(200, `{"value":7}`)}, "name salary writeonce"},
	} {
		r := newRig(t, securedTable(c.served))
		r.tokens.access.Principal = dynamics.Principal{Organization: guid(50), User: guid(51)}
		columns, err := r.open(t).Columns(t.Context(), contacts)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var readable []string
		for _, one := range columns {
			if one.Readable {
				readable = append(readable, one.Logical)
			}
			if secured := one.Logical == "salary" || one.Logical == "secret"; one.Secured != secured || !one.Valid {
				t.Errorf("%s: %+v", name, one)
			}
		}
		if got := strings.Join(readable, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// What passes by itself is an error and hides nothing, and a table without secured
// columns costs no request more.
func TestSecuredColumnsAreAskedForWhereThereAreSome(t *testing.T) {
	r := newRig(t, securedTable(map[string]http.HandlerFunc{"Privileges()": answer(http.StatusServiceUnavailable, "")}))
	r.tokens.access.Principal = dynamics.Principal{Organization: guid(50), User: guid(51)}
	_, err := r.open(t).Columns(t.Context(), contacts)
	kind(t, err, dynamics.Unavailable)

	open := answer(200, `{"value":[{"LogicalName":"name","AttributeTypeName":{"Value":"StringType"},"IsValidForRead":true,"IsSecured":false}]}`)
	r = newRig(t, securedTable(map[string]http.HandlerFunc{"/Attributes": open}))
	columns, err := r.open(t).Columns(t.Context(), contacts)
	if err != nil || len(columns) != 1 || !columns[0].Readable || columns[0].Secured || len(r.uris()) != 2 {
		t.Errorf("%+v, %v after %v", columns, err, r.uris())
	}
}

func TestReadDepth(t *testing.T) {
	body := func(entries ...string) string { return `{"RolePrivileges":[` + strings.Join(entries, ",") + `]}` }
	entry := func(depth, name string) string {
		return fmt.Sprintf(`{"Depth":%s,"PrivilegeName":%q,"BusinessUnitId":%q}`, depth, name, guid(1))
	}
	for want, answers := range map[dynamics.Depth][]string{
		dynamics.DepthNone:  {body(), body(entry(`"Global"`, "prvReadAccount"))},
		dynamics.DepthBasic: {body(entry(`"Basic"`, "prvReadContact")), body(entry(`0`, "prvReadContact"))},
		dynamics.DepthLocal: {body(entry(`"Local"`, "prvreadcontact"), entry(`"Basic"`, "prvReadContact"))},
		dynamics.DepthDeep: {body(entry(`"Basic"`, "prvReadContact"), entry(`"Deep"`, "prvReadContact"),
			entry(`"Local"`, "prvReadContact"))},
		dynamics.DepthOrganization: {body(entry(`"Global"`, "prvReadContact"), entry(`"Basic"`, "prvReadContact")),
			body(`{"Depth":3}`)},
	} {
		for _, a := range answers {
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				if strings.HasSuffix(req.URL.Path, "WhoAmI") {
					_, _ = fmt.Fprintf(w, `{"UserId":%q,"BusinessUnitId":%q,"OrganizationId":%q}`, guid(51), guid(1), guid(2))
					return
				}
				_, _ = w.Write([]byte(a))
			})
			got, err := r.open(t).ReadDepth(t.Context(), contacts)
			if err != nil || got != want {
				t.Errorf("%s: %v, %v; want %v", a, got, err, want)
			}
			asked := "/api/data/v9.2/systemusers(" + guid(51) +
				")/Microsoft.Dynamics.CRM.RetrieveUserSetOfPrivilegesByNames(PrivilegeNames=@p)?@p=%5B%22prvReadContact%22%5D"
			if uris := r.uris(); uris[len(uris)-1] != asked {
				t.Errorf("asked for %v", uris)
			}
		}
	}
	for _, bad := range []string{`{}`, body(entry(`"Everything"`, "prvReadContact")), body(entry(`null`, "prvReadContact")), `[]`} {
		r := newRig(t, answer(200, bad))
		r.tokens.access.Principal = dynamics.Principal{Organization: guid(50), User: guid(51)}
		depth, err := r.open(t).ReadDepth(t.Context(), contacts)
		if kind(t, err, dynamics.Upstream); depth != dynamics.DepthNone {
			t.Errorf("%s: %v", bad, depth)
		}
	}
	if got := dynamics.DepthOrganization.String() + " " + dynamics.Depth(77).String(); got != "organization none" {
		t.Error(got)
	}
}
