package emulator_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

const crm = "Microsoft.Dynamics.CRM."

// dated is a server at noon (UTC-07:00) of Wednesday, 15 May 2024, with rows at telling moments.
func dated(t *testing.T) (*rig, string) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1,
		Now: func() time.Time { return day("2024-05-15T12:00:00-07:00") }})
	for i, a := range []emulator.Account{
		{Name: "year ago", CreatedOn: day("2023-05-15T12:00:00-07:00"), LastCampaign: day("2023-12-31T00:00:00Z")},
		{Name: "last month", CreatedOn: day("2024-04-30T23:59:59-07:00"), LastCampaign: day("2024-04-30T00:00:00Z")},
		{Name: "week ago", CreatedOn: day("2024-05-08T23:59:59-07:00"), LastCampaign: day("2024-05-11T00:00:00Z")},
		{Name: "sunday", CreatedOn: day("2024-05-12T00:00:00-07:00"), LastCampaign: day("2024-05-12T00:00:00Z")},
		{Name: "yesterday", CreatedOn: day("2024-05-14T23:59:59-07:00"), LastCampaign: day("2024-05-14T00:00:00Z")},
		{Name: "today", CreatedOn: day("2024-05-15T00:00:00-07:00"), LastCampaign: day("2024-05-15T00:00:00Z")},
		{Name: "tomorrow", CreatedOn: day("2024-05-16T00:00:00-07:00"), LastCampaign: day("2024-05-16T00:00:00Z")},
		{Name: "next month", CreatedOn: day("2024-06-01T00:00:00-07:00"), LastCampaign: day("2024-06-01T00:00:00Z")},
		{Name: "next year", CreatedOn: day("2025-01-01T00:00:00-07:00")},
	} {
		a.ID = trackRow(i + 1)
		g.s.Control().PutAccount(a)
	}
	return g, g.signIn("").AccessToken
}

func TestDateFunctions(t *testing.T) {
	g, tok := dated(t)
	for text, want := range map[string]string{
		"Today|createdon":                   "today",
		"Yesterday|createdon":               "yesterday",
		"Tomorrow|createdon":                "tomorrow",
		"Last7Days|createdon":               "sunday,today,yesterday",
		"Next7Days|createdon":               "today,tomorrow",
		"ThisWeek|createdon":                "sunday,today,tomorrow,yesterday",
		"LastWeek|createdon":                "week ago",
		"NextMonth|createdon":               "next month",
		"ThisMonth|createdon":               "sunday,today,tomorrow,week ago,yesterday",
		"LastMonth|createdon":               "last month",
		"LastYear|createdon":                "year ago",
		"NextYear|createdon":                "next year",
		"LastXDays|createdon|1":             "today,yesterday",
		"LastXDays|createdon|3":             "sunday,today,yesterday",
		"LastXWeeks|createdon|1":            "sunday,today,week ago,yesterday",
		"LastXMonths|createdon|1":           "last month,sunday,today,week ago,yesterday",
		"LastXYears|createdon|1":            "last month,sunday,today,week ago,year ago,yesterday",
		"LastXHours|createdon|12":           "today",
		"LastXHours|createdon|11":           "",
		"NextXHours|createdon|12":           "",
		"NextXHours|createdon|13":           "tomorrow",
		"NextXDays|createdon|1":             "tomorrow",
		"NextXMonths|createdon|1":           "next month,tomorrow",
		"OlderThanXDays|createdon|1":        "last month,sunday,week ago,year ago",
		"OlderThanXMonths|createdon|1":      "year ago",
		"OlderThanXYears|createdon|1":       "",
		"OlderThanXHours|createdon|12":      "last month,sunday,week ago,year ago,yesterday",
		"OlderThanXMinutes|createdon|720":   "last month,sunday,week ago,year ago,yesterday",
		"Today|cb_lastcampaign":             "today",
		"Last7Days|cb_lastcampaign":         "sunday,today,week ago,yesterday",
		"ThisWeek|cb_lastcampaign":          "sunday,today,tomorrow,yesterday",
		"LastYear|cb_lastcampaign":          "year ago",
		"On|createdon|'2024-05-14'":         "yesterday",
		"OnOrBefore|createdon|'2024-05-08'": "last month,week ago,year ago",
		"OnOrAfter|createdon|'2024-05-16'":  "next month,next year,tomorrow",
		"On|cb_lastcampaign|'2024-05-14'":   "yesterday",
	} {
		f := strings.Split(text, "|")
		filter := crm + f[0] + "(PropertyName='" + f[1] + "'"
		if len(f) > 2 {
			filter += ",PropertyValue=" + f[2]
		}
		if got := strings.Join(g.names(tok, filter+")"), ","); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestQueryFunctionErrors(t *testing.T) {
	g, tok := dated(t)
	for filter, want := range map[string]string{
		crm + "Today(PropertyName='name')":                                          "valid for date columns only",
		crm + "Today(PropertyName='createdon',PropertyValue=1)":                     "number of values given for the operator Today is wrong",
		crm + "LastXDays(PropertyName='createdon')":                                 "number of values given for the operator LastXDays is wrong",
		crm + "LastXDays(PropertyName='createdon',PropertyValue='7')":               "must be a positive whole number",
		crm + "LastXDays(PropertyName='createdon',PropertyValue=0)":                 "must be a positive whole number",
		crm + "LastXDays(PropertyName='createdon',PropertyValue=99999999999999999)": "must be a positive whole number",
		crm + `LastXDays(PropertyName='createdon',PropertyValues=["7"])`:            "number of values given for the operator LastXDays is wrong",
		crm + "On(PropertyName='createdon',PropertyValue=2024-05-14)":               "not a valid date",
		crm + "On(PropertyName='createdon',PropertyValue='14.05.2024')":             "not a valid date",
		crm + "LastXMinutes(PropertyName='createdon',PropertyValue=7)":              "is not part of this emulator",
		crm + "LastXFiscalYears(PropertyName='createdon',PropertyValue=7)":          "is not part of this emulator",
		crm + "In(PropertyName='name',PropertyValue='a')":                           "number of values given for the operator In is wrong",
		crm + "In(PropertyName='name',PropertyValues=[])":                           "number of values given for the operator In is wrong",
		crmIn("name", strings.Repeat("x", 851)):                                     "longer than 850 characters",
		crmIn("_ownerid_value", trackRow(1)):                                        "doesn't contain attribute with Name = '_ownerid_value'",
		crm + `Between(PropertyName='revenue',PropertyValues=["1"])`:                "number of values given for the operator Between is wrong",
		crm + `ContainValues(PropertyName='industrycode',PropertyValues=["1"])`:     "valid for multi-select choice columns only",
		crm + "EqualUserId(PropertyName='name')":                                    "refer to a user only",
		"not (" + crmIn("name", "a") + ")":                                          "Not operator along with the Custom Named Condition operators is not allowed",
		"not (name eq 'x' and (" + crmIn("name", "a") + " or name eq 'y'))":         "Not operator along with the Custom Named Condition operators is not allowed",
		"not (not " + crmIn("name", "a") + ")":                                      "Not operator along with the Custom Named Condition operators is not allowed",
		"not (not (" + crmIn("name", "a") + "))":                                    "Not operator along with the Custom Named Condition operators is not allowed",
		"not " + crm + "Today(PropertyName='createdon')":                            "Not operator along with the Custom Named Condition operators is not allowed",
	} {
		r := g.api(tok, "accounts?$select=name&$filter="+url.QueryEscape(filter))
		if r.status != 400 || !strings.Contains(message(t, r), want) {
			t.Errorf("%.300s: %d %s", filter, r.status, r.body)
		}
	}
	if got := g.names(tok, "not (name eq 'x') and "+crmIn("name", "today")); len(got) != 1 {
		t.Errorf("a not beside a function: %q", got)
	}
	values := make([]string, 600)
	for i := range values {
		values[i] = fmt.Sprint("name ", i)
	}
	if got := g.names(tok, crmIn("name", append(values, "TODAY")...)); len(got) != 1 {
		t.Errorf("601 values are one condition: %q", got)
	}
}

// Whether negative operators match columns without a value is not documented; the documented ones hold either way.
func TestNegativesAndNull(t *testing.T) {
	for _, skip := range []bool{false, true} {
		g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, NegativesSkipNull: skip})
		owner := g.s.Control().Users()[0].ID
		g.s.Control().PutAccount(emulator.Account{ID: trackRow(1), Name: "x", City: "x", Industry: ptr(int32(1)),
			Channels: []int32{1}, Employees: ptr(int32(1)), OwnerID: owner})
		g.s.Control().PutAccount(emulator.Account{ID: trackRow(2), Name: "y", City: "y", Industry: ptr(int32(2)),
			Channels: []int32{2}, Employees: ptr(int32(9)), OwnerID: trackRow(9)})
		g.s.Control().PutAccount(emulator.Account{ID: trackRow(3), Name: "null"})
		tok := g.signIn("").AccessToken
		with, without := "null,y", "null,y"
		if skip {
			with = "y"
		}
		for filter, want := range map[string]string{
			"not contains(address1_city,'x')":                                             with,
			"not startswith(address1_city,'x')":                                           with,
			strings.Replace(crmIn("industrycode", "1"), "In(", "NotIn(", 1):               with,
			crm + `DoesNotContainValues(PropertyName='cb_channels',PropertyValues=["1"])`: with,
			crm + "NotEqualUserId(PropertyName='ownerid')":                                with,
			crm + `NotBetween(PropertyName='numberofemployees',PropertyValues=["1","5"])`: "y",
			crmIn("industrycode", "1", "2"):                                               "x,y",
			crmIn("ownerid", owner):                                                       "x",
			"address1_city ne 'x'":                                                        without,
			"not (industrycode eq 1)":                                                     without,
			"_ownerid_value ne " + owner:                                                  without,
			"not (numberofemployees gt 1)":                                                "x",
		} {
			if got := strings.Join(g.names(tok, filter), ","); got != want {
				t.Errorf("skip %t, %s: got %s, want %s", skip, filter, got, want)
			}
		}
	}
}

func TestConditionalReads(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 3})
	c, tok := g.s.Control(), g.signIn("").AccessToken
	var row emulator.Account
	for row = range c.Accounts() {
		break
	}
	path := "accounts(" + row.ID + ")?$select=name"
	tag := g.api(tok, path).header.Get("ETag")
	user := "systemusers(" + c.Users()[0].ID + ")?$select=fullname"
	userTag := g.api(tok, user).header.Get("ETag")
	for _, x := range []struct {
		path, tag, prefer string
		status            int
	}{
		{path, tag, "", 304},
		{path, strings.TrimPrefix(tag, "W/"), "", 200},
		{path, `W/"1"`, "", 200},
		{path, "null", "", 200},
		{path, tag, `odata.include-annotations="*"`, 200},
		{"accounts?$select=name", tag, "", 200},
		{user, userTag, "", 304},
		{user + "&$expand=systemuserroles_association", userTag, "", 200},
	} {
		r := g.api(tok, x.path, "If-None-Match", x.tag, "Prefer", x.prefer)
		if r.status != x.status || (r.status == 304) != (r.body == "") || r.header.Get("OData-Version") != "4.0" ||
			r.status == 200 && !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
			t.Errorf("%+v: %d %v %.100s", x, r.status, r.header, r.body)
		}
	}
	row.Phone = "1"
	c.PutAccount(row)
	if r := g.api(tok, path, "If-None-Match", tag); r.status != 200 || r.header.Get("ETag") == tag {
		t.Errorf("after a change: %d", r.status)
	}
}
