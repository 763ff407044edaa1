package emulator_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestWhatMetadataRefuses(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	tok := g.signIn("").AccessToken
	filter := func(text string) string { return attributes + "?$filter=" + url.QueryEscape(text) }
	const enum = "/Microsoft.Dynamics.CRM."
	for path, want := range map[string]string{
		attributes + "?$top=1":                                            `400 0x80060888 The query parameter $top is not supported`,
		attributes + "?$orderby=LogicalName":                              `400 0x80060888 The query parameter $orderby is not supported`,
		attributes + "?$count=true":                                       `400 0x80060888 The query parameter $count is not supported`,
		attributes + "?LabelLanguages=1033":                               `400 0x80060888 The query parameter LabelLanguages is not supported`,
		"EntityDefinitions?LabelLanguages=1033":                           `400 0x80060888 The query parameter LabelLanguages is not supported`,
		"EntityDefinitions(LogicalName='account')?$skip=1":                `400 0x80060888 Skip Clause is not supported in CRM`,
		filter("startswith(LogicalName,'a')"):                             `400 0x8006088a The "startswith" function isn't supported for Metadata Entities.`,
		filter("IsCustomAttribute eq true and contains(LogicalName,'a')"): `400 0x8006088a The "contains" function isn't supported for Metadata Entities.`,
		filter("Nix eq 1"):                                                `400 0x80060888 Could not find a property named 'Nix' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'.`,
		filter("MaxLength eq 100"):                                        `400 0x80060888 Could not find a property named 'MaxLength' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'.`,
		filter("AttributeType eq 'Picklist'"):                             `400 0x80060888 A binary operator with incompatible types was detected. Found operand types 'Microsoft.Dynamics.CRM.AttributeTypeCode' and 'Edm.String' for operator kind 'Equal'.`,
		filter("IsCustomAttribute"):                                       `400 0x80060888 Syntax error at position 17 in 'IsCustomAttribute'.`,
		filter("(IsCustomAttribute eq true"):                              `400 0x80060888 Syntax error at position 26 in '(IsCustomAttribute eq true'.`,
		filter("IsCustomAttribute eq"):                                    `400 0x80060888 Syntax error at position 20 in 'IsCustomAttribute eq'.`,
		filter("IsCustomAttribute gt true"):                               `400 0x80060888 Syntax error at position 18`,
		attributes + "?$select=MaxLength":                                 `400 0x80060888 Could not find a property named 'MaxLength' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'.`,
		attributes + "(LogicalName='name')?$select=Format":                `400 0x80060888 Could not find a property named 'Format' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'.`,
		attributes + "(LogicalName='nix')":                                `404 0x80040217 Could not find an attribute with specified name nix`,
		attributes + "(018d0d88-05c2-46bb-ac83-63a910e8b1f1)":             `404 0x80040217 Could not find an attribute with specified id`,
		attributes + "(name)":                                             `400 0x80060888 Error in query syntax.`,
		attributes + enum + "EnumAttributeMetadata":                       `400 0x80060888 The type 'Microsoft.Dynamics.CRM.EnumAttributeMetadata' is not supported`,
		attributes + enum + "NixAttributeMetadata":                        `404 0x80060888 Resource not found for the segment`,
		attributes + "?$expand=OptionSet":                                 `400 0x80060888 Could not find a property named 'OptionSet' on type`,
		attributes + "(LogicalName='name')" + enum +
			"PicklistAttributeMetadata": `404 0x80040217 The attribute is not of the type`,
		"EntityDefinitions(LogicalName='account')/Keys": `404 0x80060888 Resource not found for the segment 'Keys'.`,
		"$metadata/x": `404 0x80060888 Resource not found for the segment 'x'.`,
	} {
		r := g.api(tok, path)
		var b struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(r.body), &b); err != nil ||
			!strings.HasPrefix(jsonStatus(r.status)+" "+b.Error.Code+" "+b.Error.Message, want) {
			t.Errorf("%s: got %d %s\nwant %s", path, r.status, r.body, want)
		}
	}
}

func jsonStatus(n int) string { return strings.Trim(jsonNumber(n), "[]") }

func TestMetadataFilters(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	tok := g.signIn("").AccessToken
	custom := []string{"cb_campaigntier", "cb_channels", "cb_externalref", "cb_lastcampaign", "cb_leadscore"}
	for filter, want := range map[string][]string{
		"IsCustomAttribute eq true":                         custom,
		"not(IsCustomAttribute ne true)":                    custom,
		"LogicalName eq 'name'":                             {"name"},
		"LogicalName eq 'name' or LogicalName eq 'revenue'": {"name", "revenue"},
		"(LogicalName eq 'name' or LogicalName eq 'revenue') and AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Money'": {"revenue"},
		"AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist' and IsCustomAttribute eq true":                        {"cb_campaigntier"},
		"AttributeTypeName/Value eq 'MultiSelectPicklistType'":                                                                     {"cb_channels"},
		"IsValidForAdvancedFind/Value eq false":                                                                                    {"isprivate", "versionnumber"},
		"RequiredLevel/Value eq 'ApplicationRequired'":                                                                             {"name"},
		"IsPrimaryId eq true and AttributeOf eq null":                                                                              {"accountid"},
		"LogicalName eq 'nix'": nil,
	} {
		var page struct {
			Value []struct{ LogicalName string }
		}
		r := g.api(tok, attributes+"?$select=LogicalName&$filter="+url.QueryEscape(filter))
		if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != 200 {
			t.Errorf("%s: %d %s", filter, r.status, r.body)
			continue
		}
		var got []string
		for _, a := range page.Value {
			got = append(got, a.LogicalName)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	if r := g.api(tok, attributes+"/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName&$filter=MaxLength%20eq%20160"); !strings.Contains(r.body, `"LogicalName":"name"`) || strings.Count(r.body, "LogicalName\":") != 1 {
		t.Errorf("a member of the cast: %s", r.body)
	}
}

func TestMetadataShapes(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	tok := g.signIn("").AccessToken
	one := func(name, kind string) string {
		return attributes + "(LogicalName='" + name + "')/Microsoft.Dynamics.CRM." + kind + "AttributeMetadata"
	}
	for path, wants := range map[string][]string{
		one("industrycode", "Picklist") + "?$select=LogicalName&$expand=OptionSet,GlobalOptionSet": {
			`$metadata#EntityDefinitions('account')/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata(LogicalName)/$entity"`, `"Name":"account_industrycode","IsGlobal":false,"IsCustomOptionSet":false`,
			`"OptionSetType":"Picklist","IsCustomizable":{"Value":true,"CanBeChanged":`, `"IntroducedVersion":"`, `"GlobalOptionSet":null`,
			`{"Value":33,"Color":null,"IsManaged":true,"ExternalValue":null,"ParentValues":[],"Tag":null,"IsHidden":false,"MetadataId":null,"HasChanged":null,"Label":{"LocalizedLabels":[{"Label":"Wholesale","LanguageCode":1033,"IsManaged":true,"MetadataId":"`},
		one("donotemail", "Boolean") + "?$expand=OptionSet":                                     {`"OptionSetType":"Boolean"`, `"TrueOption":{"Value":1,`, `"FalseOption":{"Value":0,`, `"DefaultValue":false`},
		one("statecode", "State") + "?$select=LogicalName&$expand=OptionSet($select=Options)":   {`"OptionSet":{"MetadataId":"`, `"DefaultStatus":2,"InvariantName":"Inactive"`},
		one("statuscode", "Status") + "?$select=LogicalName&$expand=OptionSet($select=Options)": {`"@odata.type":"#Microsoft.Dynamics.CRM.StatusOptionMetadata","State":0,"TransitionData":null,"Value":1`},
		one("createdon", "DateTime"):       {`"Format":"DateAndTime"`, `"DateTimeBehavior":{"Value":"UserLocal"}`},
		one("cb_lastcampaign", "DateTime"): {`"Format":"DateOnly"`, `"DateTimeBehavior":{"Value":"DateOnly"}`},
		one("ownerid", "Lookup"):           {`"AttributeType":"Owner"`, `"Targets":["systemuser","team"]`},
		one("revenue", "Money"):            {`"Precision":2`},
		attributes + "(LogicalName='name')": {`"@odata.type":"#Microsoft.Dynamics.CRM.StringAttributeMetadata"`,
			`"IsSearchable":true`, `"MaxLength":160`, `"AttributeTypeName":{"Value":"StringType"}`,
			`"IsValidForAdvancedFind":{"Value":true,"CanBeChanged":true,"ManagedPropertyLogicalName":"canmodifysearchsettings"}`,
			`"RequiredLevel":{"Value":"ApplicationRequired","CanBeChanged":true,"ManagedPropertyLogicalName":"canmodifyrequirementlevelsettings"}`, `"Description":{"LocalizedLabels":[],"UserLocalizedLabel":null}`},
		"": {`$metadata","value":[{"name":"accounts","kind":"EntitySet","url":"accounts"}`, `{"name":"usersettingscollection","kind":"EntitySet","url":"usersettingscollection"}]}`},
	} {
		r := g.api(tok, path)
		for _, want := range wants {
			if r.status != 200 || !strings.Contains(r.body, want) || !json.Valid([]byte(r.body)) {
				t.Errorf("%s: %d %.3000s\nlacks %s", path, r.status, r.body, want)
			}
		}
	}
}

func TestCSDL(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	r := g.api(g.signIn(emulator.GermanUser).AccessToken, "$metadata")
	if r.status != 200 || r.header.Get("Content-Type") != "application/xml" {
		t.Fatalf("%d %v", r.status, r.header)
	}
	for _, want := range []string{
		`<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm"`, `<EntityType Name="account" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="accountid" /></Key>`,
		`<Property Name="_ownerid_value" Type="Edm.Guid"><Annotation Term="Org.OData.Core.V1.Computed" Bool="true" />`, `<Property Name="revenue" Type="Edm.Decimal" Scale="Variable">`,
		`<NavigationProperty Name="systemuserroles_association" Type="Collection(mscrm.role)" />`, `<EntitySet Name="accounts" EntityType="Microsoft.Dynamics.CRM.account">`,
		`<FunctionImport Name="WhoAmI" Function="Microsoft.Dynamics.CRM.WhoAmI" />`,
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("lacks %s", want)
		}
	}
	d := xml.NewDecoder(strings.NewReader(r.body))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
