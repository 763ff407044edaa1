package emulator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

const formattedOnly = `odata.include-annotations="OData.Community.Display.V1.FormattedValue"`

func TestFormattedValuesPerLanguage(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1,
		Now: func() time.Time { return time.Date(2023, 4, 7, 21, 59, 1, 0, time.UTC) }})
	g.s.Control().PutAccount(emulator.Account{Name: "x", Revenue: ptr(int64(200_000_000)),
		CreditLimit: ptr(int64(-12_345_678_900)), Employees: ptr(int32(9500)), Industry: ptr(int32(7)),
		CustomerType:   ptr(int32(8)),
		Classification: ptr(int32(4)), Tier: ptr(int32(100000001)), Channels: []int32{100000000, 100000003},
		LeadScore: ptr(int64(875_000)), DoNotEmail: true,
		LastCampaign: time.Date(2025, 12, 24, 0, 0, 0, 0, time.UTC), StateCode: 1})
	const columns = "accounts?$select=revenue,creditlimit,numberofemployees,industrycode,customertypecode,accountclassificationcode,cb_campaigntier,cb_channels,cb_leadscore,cb_lastcampaign,donotemail,creditonhold,statecode,statuscode,modifiedon"
	for user, want := range map[string]map[string]string{
		emulator.DefaultUser: {"revenue": "$20,000.00", "creditlimit": "($1,234,567.89)", "numberofemployees": "9,500",
			"industrycode": "Consulting", "customertypecode": "Prospect",
			"accountclassificationcode": "Long Tail", "cb_campaigntier": "Gold", "cb_channels": "Email; Webinar", "cb_leadscore": "87.50", "cb_lastcampaign": "12/24/2025",
			"donotemail": "Do Not Allow", "creditonhold": "No", "statecode": "Inactive", "statuscode": "Inactive", "modifiedon": "4/7/2023 2:59 PM"},
		emulator.GermanUser: {"revenue": "20.000,00\u00a0$", "creditlimit": "-1.234.567,89\u00a0$",
			"numberofemployees": "9.500", "industrycode": "Beratung", "customertypecode": "Interessent",
			"accountclassificationcode": "Long Tail", "cb_campaigntier": "Gold", "cb_channels": "E-Mail; Webinar", "cb_leadscore": "87,50", "cb_lastcampaign": "24.12.2025",
			"donotemail": "Nicht zulassen", "creditonhold": "Nein", "statecode": "Inaktiv", "statuscode": "Inaktiv", "modifiedon": "07.04.2023 14:59"},
		emulator.FrenchUser: {"revenue": "20\u00a0000,00\u00a0$", "creditlimit": "-1\u00a0234\u00a0567,89\u00a0$",
			"numberofemployees": "9\u00a0500", "industrycode": "Conseil", "customertypecode": "Prospect",
			"accountclassificationcode": "Long Tail", "cb_campaigntier": "Or", "cb_channels": "Courriel; Webinar", "cb_leadscore": "87,50", "cb_lastcampaign": "24/12/2025",
			"donotemail": "Ne pas autoriser", "creditonhold": "Non", "statecode": "Inactif", "statuscode": "Inactif", "modifiedon": "07/04/2023 14:59"},
	} {
		var page struct{ Value []map[string]any }
		r := g.api(g.signIn(user).AccessToken, columns, "Prefer", formattedOnly)
		if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Value) != 1 {
			t.Fatalf("%s: %d %s", user, r.status, r.body)
		}
		for column, text := range want {
			if got := page.Value[0][column+"@OData.Community.Display.V1.FormattedValue"]; got != text {
				t.Errorf("%s: %s is %q, want %q", user, column, got, text)
			}
		}
	}
}

type localized struct {
	Label        string
	LanguageCode int
}

type labelled struct {
	LocalizedLabels    []localized
	UserLocalizedLabel *localized
}

// user is the label in the caller's language, nothing where there is none.
func (l labelled) user() localized {
	if l.UserLocalizedLabel == nil {
		return localized{}
	}
	return *l.UserLocalizedLabel
}

// optionSet are the labels of a choice's values as a user sees them.
func (g *rig) optionSet(token, column string) map[int]labelled {
	g.Helper()
	type set struct {
		Options []struct {
			Value int
			Label labelled
		}
	}
	var body struct{ OptionSet, GlobalOptionSet *set }
	r := g.api(token, attributes+"(LogicalName='"+column+
		"')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)")
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.status != 200 {
		g.Fatalf("%s: %d %s", column, r.status, r.body)
	}
	if (body.OptionSet == nil) == (body.GlobalOptionSet == nil) {
		g.Fatalf("%s has both option sets or none: %s", column, r.body)
	}
	if body.OptionSet == nil {
		body.OptionSet = body.GlobalOptionSet
	}
	out := map[int]labelled{}
	for _, o := range body.OptionSet.Options {
		out[o.Value] = o.Label
	}
	return out
}

func TestLabelsPerLanguage(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1,
		Users: []emulator.User{{Name: "x", UserName: "x@x.example", Roles: []string{"Campaign Reader"}, Language: 1031}}})
	english, german, french := g.signIn("").AccessToken, g.signIn("x@x.example").AccessToken,
		g.signIn(emulator.FrenchUser).AccessToken
	for _, c := range []struct {
		token, column string
		value         int
		user          localized
		all           string
	}{
		{english, "industrycode", 7, localized{"Consulting", 1033}, "[{Consulting 1033} {Beratung 1031} {Conseil 1036}]"},
		{german, "industrycode", 7, localized{"Beratung", 1031}, "[{Consulting 1033} {Beratung 1031} {Conseil 1036}]"},
		{french, "industrycode", 7, localized{"Conseil", 1036}, "[{Consulting 1033} {Beratung 1031} {Conseil 1036}]"},
		{german, "accountclassificationcode", 4, localized{}, "[{Long Tail 1033}]"}, // without a translation
		{french, "accountclassificationcode", 2, localized{"Compte clé", 1036}, "[{Key Account 1033} {Schlüsselkunde 1031} {Compte clé 1036}]"},
		{french, "customertypecode", 8, localized{"Prospect", 1036}, "[{Prospect 1033} {Interessent 1031} {Prospect 1036}]"},
		{german, "customertypecode", 5, localized{"Partner", 1031}, "[{Partner 1033} {Partner 1031} {Partenaire 1036}]"},
	} {
		l := g.optionSet(c.token, c.column)[c.value]
		if l.user() != c.user || fmt.Sprint(l.LocalizedLabels) != c.all {
			t.Errorf("%s %d: %+v %v, want %v %s", c.column, c.value, l.UserLocalizedLabel, l.LocalizedLabels, c.user, c.all)
		}
	}
	// In every language the labels of one standard option set differ from each other.
	for name, token := range map[string]string{"en": english, "de": german, "fr": french} {
		for _, column := range []string{"industrycode", "customertypecode", "ownershipcode", "cb_campaigntier"} {
			seen := map[string]int{}
			for value, l := range g.optionSet(token, column) {
				if other, twice := seen[l.user().Label]; twice {
					t.Errorf("%s %s: %q is %d and %d", name, column, l.user().Label, value, other)
				}
				seen[l.user().Label] = value
			}
		}
	}
	for token, want := range map[string]string{english: "Industry", german: "Branche", french: "Secteur d'activité"} {
		if r := g.api(token, attributes+"?$select=DisplayName"); !strings.Contains(r.body, `"UserLocalizedLabel":{"Label":"`+want+`"`) {
			t.Errorf("%s: %.300s", want, r.body)
		}
		if r := g.api(token, attributes+"/Microsoft.Dynamics.CRM.StateAttributeMetadata?$expand=OptionSet"); !strings.Contains(r.body, `"InvariantName":"Active"`) {
			t.Errorf("%s: the invariant name is translated: %s", want, r.body)
		}
	}
	if r := g.api(german, "RetrieveProvisionedLanguages"); !strings.HasSuffix(r.body, `RetrieveProvisionedLanguagesResponse","RetrieveProvisionedLanguages":[1033,1031,1036]}`) {
		t.Error(r.body)
	}
	if r := g.api(german, "usersettingscollection?$filter=uilanguageid%20eq%201036"); strings.Count(r.body, `"uilanguageid":1036`) != 1 {
		t.Error(r.body)
	}
	if _, err := emulator.New(emulator.Options{Users: []emulator.User{{Name: "x", UserName: "x@x", Language: 7}}}); err == nil {
		t.Error("language 7 is accepted")
	}
}

// Two users of two languages at once never see each other's labels.
func TestLanguagesDoNotMix(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 300})
	var wg sync.WaitGroup
	for user, words := range map[string][2]string{emulator.DefaultUser: {"Consulting", "Beratung"}, emulator.GermanUser: {"Beratung", "Consulting"}} {
		token := g.signIn(user).AccessToken
		wg.Go(func() {
			for range 10 {
				r := g.api(token, "accounts?$select=industrycode", "Prefer", formattedOnly)
				if !strings.Contains(r.body, `"`+words[0]+`"`) || strings.Contains(r.body, `"`+words[1]+`"`) {
					t.Errorf("%s: %.200s", user, r.body)
				}
			}
		})
	}
	wg.Wait()
}

// An operation of a batch is in its caller's language, and sees what he may see, like any other.
func TestLanguageAndPrivilegesWithinABatch(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 60})
	token := g.signIn(emulator.GermanUser).AccessToken
	body := "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET accounts?$select=industrycode HTTP/1.1\r\n" +
		"Prefer: " + formattedOnly + "\r\n\r\n\r\n--b--\r\n"
	ask := func() reply {
		return g.do("POST", "/api/data/v9.2/$batch", token, strings.NewReader(body), "Content-Type", "multipart/mixed; boundary=b")
	}
	if r := ask(); r.status != 200 || !strings.Contains(r.body, `FormattedValue":"Beratung"`) ||
		strings.Contains(r.body, `"Consulting"`) {
		t.Errorf("%d %.600s", r.status, r.body)
	}
	g.s.Control().Withhold(emulator.GermanUser, "prvReadAccount")
	if r := ask(); r.status != 403 || !strings.Contains(r.body, "is missing prvReadAccount privilege") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
