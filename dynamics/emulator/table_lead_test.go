package emulator_test

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// Leads are there with Dynamics 365 Sales. Without it nothing tells that there could be any.
func TestLeadsComeWithSales(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 100})
	tok, c := g.signIn("").AccessToken, g.s.Control()
	rows := g.query(tok, "leads?$select=fullname,companyname,statecode,statuscode,leadqualitycode,_parentaccountid_value")
	states := map[any]int{}
	for _, r := range rows {
		states[r["statecode"]]++
	}
	if len(rows) != 50 || states[0.0] == 0 || states[1.0] == 0 || states[2.0] == 0 {
		t.Errorf("%d leads in states %v", len(rows), states)
	}
	const asked = "RetrieveTotalRecordCount(EntityNames=['lead'])"
	check := func(there bool) {
		t.Helper()
		for path, gone := range map[string]string{
			"leads":                                 `{"error":{"code":"0x80060888","message":"Resource not found for the segment 'leads'."}}`,
			"leads/$count":                          `{"error":{"code":"0x80060888","message":"Resource not found for the segment 'leads'."}}`,
			"EntityDefinitions(LogicalName='lead')": `{"error":{"code":"0x80041102","message":"The entity with a name = 'lead' with namemapping = 'Logical' was not found in the MetadataCache."}}`,
			"EntityDefinitions(LogicalName='lead')/Attributes": `{"error":{"code":"0x80041102","message":"The entity with a name = 'lead' with namemapping = 'Logical' was not found in the MetadataCache."}}`,
			asked: `{"error":{"code":"0x80040203","message":"Entity lead was not found in the CRM system"}}`,
		} {
			r := g.api(tok, path)
			if want := 404; there && r.status != 200 || !there && (r.body != gone || r.status != want && path != asked) {
				t.Errorf("%s, Sales is there %t: %d %.200s", path, there, r.status, r.body)
			}
		}
		for _, path := range []string{"$metadata", "", "EntityDefinitions?$select=LogicalName", "privileges?$select=name"} {
			body := g.api(tok, path).body
			for _, word := range []string{`"leads"`, `"lead"`, "prvReadLead"} {
				if strings.Contains(body, word) && !there {
					t.Errorf("%s tells of %s", path, word)
				}
			}
		}
		if ok := c.Withhold(emulator.FrenchUser, "prvReadLead"); ok != there {
			t.Errorf("prvReadLead is there: %t", ok)
		}
		if r := g.api(tok, "contacts?$top=1"); r.status != 200 {
			t.Errorf("contacts: %d", r.status)
		}
	}
	check(true)
	c.SetSales(false)
	check(false)
	id := rows[0]["leadid"].(string)
	if _, err := c.Table("leads").Put(emulator.Row{"lastname": "x"}); err == nil || c.Table("leads").Delete(id) {
		t.Error("a row of a table that is not there was changed")
	}
	c.SetSales(true)
	check(true)
	if again := g.query(tok, "leads?$select=fullname"); len(again) != 50 {
		t.Errorf("%d leads when Sales is back", len(again))
	}
	without := start(t, emulator.Options{AutoConsent: true, Accounts: 5, NoSales: true})
	if r := without.api(without.signIn("").AccessToken, "leads"); r.status != 404 {
		t.Errorf("NoSales: %d", r.status)
	}
}
