package emulator

import (
	"strconv"
	"strings"
	"time"
)

// tables are the entity sets by name.
func tables(d *directory) map[string]*table {
	account, user, team, role := accountTable(), userTable(), teamTable(), roleTable()
	user.relations = map[string]*relation{
		"systemuserroles_association": {"systemuserroles_association", role, func(r any) []any { return anys(r.(*systemUser).roles) }},
		"teammembership_association":  {"teammembership_association", team, func(r any) []any { return anys(r.(*systemUser).teams) }},
	}
	team.relations = map[string]*relation{
		"teamroles_association":      {"teamroles_association", role, func(r any) []any { return anys(r.(*teamRow).roles) }},
		"teammembership_association": {"teammembership_association", user, func(r any) []any { return anys(r.(*teamRow).members) }},
	}
	out := map[string]*table{}
	for _, t := range []*table{account, user, team, role, unitTable(d), privilegeTable(), settingsTable(), organizationTable(d)} {
		out[t.set] = t.index()
	}
	return out
}

// teamRow and roleRow keep the constructors below readable beside the columns of the same names.
type (
	teamRow = team
	roleRow = role
)

func anys[T any](in []T) []any {
	out := make([]any, len(in))
	for i, x := range in {
		out[i] = x
	}
	return out
}

func find[T any](rows []T, id func(any) guid, want guid) any {
	for _, r := range rows {
		if id(r) == want {
			return r
		}
	}
	return nil
}

// Constructors of columns; T is the row's type.

func text[T any](name, schema, label string, length int, get func(T) string) *column {
	return &column{name: name, schema: schema, label: label, kind: kindText, length: length,
		get: func(_ *snapshot, r any) value { s := get(r.(T)); return value{ok: s != "", s: s} }}
}

func key[T any](name, schema, label string, get func(T) guid) *column {
	return &column{name: name, schema: schema, label: label, kind: kindGUID,
		get: func(_ *snapshot, r any) value { g := get(r.(T)); return value{ok: g != guid{}, id: g} }}
}

func lookup[T any](name, schema, label string, get func(T) guid) *column {
	c := key(name, schema, label, get)
	c.kind = kindLookup
	return c
}

func number[T any](k kind, name, schema, label string, get func(T) (int64, bool)) *column {
	return &column{name: name, schema: schema, label: label, kind: k,
		get: func(_ *snapshot, r any) value { n, ok := get(r.(T)); return value{ok: ok, n: n} }}
}

func choice[T any](k kind, name, schema, label string, options []option, get func(T) (int64, bool)) *column {
	c := number(k, name, schema, label, get)
	c.options = options
	return c
}

func boolean[T any](name, schema, label, no, yes string, get func(T) bool) *column {
	return choice(kindBool, name, schema, label, []option{{value: 0, label: no}, {value: 1, label: yes}}, func(r T) (int64, bool) {
		if get(r) {
			return 1, true
		}
		return 0, true
	})
}

func moment[T any](k kind, name, schema, label string, get func(T) time.Time) *column {
	return number(k, name, schema, label, func(r T) (int64, bool) { t := get(r); return t.Unix(), !t.IsZero() })
}

func custom(c *column) *column { c.custom = true; return c }

// global makes a choice one that uses a global choice, as about half of them do in environments.
func global(c *column) *column { c.global = true; return c }

func memo(c *column) *column { c.kind = kindMemo; return c }

func of32(p *int32) (int64, bool) {
	if p == nil {
		return 0, false
	}
	return int64(*p), true
}

func of64(p *int64) (int64, bool) {
	if p == nil {
		return 0, false
	}
	return *p, true
}

func labels(first int32, names ...string) []option {
	out := make([]option, len(names))
	for i, n := range names {
		out[i] = option{value: first + int32(i), label: n}
	}
	return out
}

func accountTable() *table {
	type a = *Account
	t := &table{logical: "account", set: "accounts", label: "Account", otc: 1, key: "accountid", primary: "name", privilege: readAccount,
		rows: func(v *snapshot) []any { return v.rows },
		byKey: func(v *snapshot, id guid) any {
			if r := v.account(id); r != nil {
				return r
			}
			return nil
		},
		id: func(r any) guid { return r.(a).id }, owner: func(r any) guid { return r.(a).owner }, version: func(r any) int64 { return r.(a).Version }}
	t.columns = append(accountTexts(), accountChoices()...)
	t.columns = append(t.columns, accountNumbers()...)
	t.columns = append(t.columns, accountCustom()...)
	return t
}

func accountTexts() []*column {
	type a = *Account
	return []*column{
		key("accountid", "AccountId", "Account", func(r a) guid { return r.id }),
		text("name", "Name", "Account Name", 160, func(r a) string { return r.Name }),
		text("accountnumber", "AccountNumber", "Account Number", 20, func(r a) string { return r.Number }),
		text("websiteurl", "WebSiteURL", "Website", 200, func(r a) string { return r.Website }),
		text("telephone1", "Telephone1", "Main Phone", 50, func(r a) string { return r.Phone }),
		text("telephone2", "Telephone2", "Other Phone", 50, func(a) string { return "" }),
		text("emailaddress1", "EMailAddress1", "Email", 100, func(r a) string { return r.Email }),
		memo(text("description", "Description", "Description", 2000, func(r a) string { return r.Description })),
		text("tickersymbol", "TickerSymbol", "Ticker Symbol", 10, func(r a) string { return r.Ticker }),
		text("address1_line1", "Address1_Line1", "Address 1: Street 1", 250, func(r a) string { return r.Line1 }),
		text("address1_city", "Address1_City", "Address 1: City", 80, func(r a) string { return r.City }),
		text("address1_stateorprovince", "Address1_StateOrProvince", "Address 1: State/Province", 50, func(r a) string { return r.State }),
		text("address1_postalcode", "Address1_PostalCode", "Address 1: ZIP/Postal Code", 20, func(r a) string { return r.PostalCode }),
		text("address1_country", "Address1_Country", "Address 1: Country/Region", 80, func(r a) string { return r.Land }),
		memo(text("address1_composite", "Address1_Composite", "Address 1", 1000, composite)),
		lookup("ownerid", "OwnerId", "Owner", func(r a) guid { return r.owner }),
		lookup("parentaccountid", "ParentAccountId", "Parent Account", func(r a) guid { return r.parent }),
		lookup("primarycontactid", "PrimaryContactId", "Primary Contact", func(a) guid { return guid{} }),
		lookup("transactioncurrencyid", "TransactionCurrencyId", "Currency", func(r a) guid {
			if r.Revenue == nil && r.CreditLimit == nil {
				return guid{}
			}
			return currencyID
		}),
	}
}

// composite is the address as one text, the lines separated as Dataverse does.
func composite(r *Account) string {
	town := strings.TrimSpace(strings.Join(nonEmpty(r.City, strings.TrimSpace(r.State+" "+r.PostalCode)), ", "))
	return strings.Join(nonEmpty(r.Line1, town, r.Land), "\r\n")
}

func nonEmpty(in ...string) []string {
	var out []string
	for _, s := range in {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func accountChoices() []*column {
	type a = *Account
	pick := func(name, schema, label string, options []option, get func(a) *int32) *column {
		return choice(kindChoice, name, schema, label, options, func(r a) (int64, bool) { return of32(get(r)) })
	}
	return []*column{
		pick("industrycode", "IndustryCode", "Industry", labels(1, industries...), func(r a) *int32 { return r.Industry }),
		global(pick("accountclassificationcode", "AccountClassificationCode", "Classification", classifications, func(r a) *int32 { return r.Classification })),
		pick("accountcategorycode", "AccountCategoryCode", "Category", labels(1, "Preferred Customer", "Standard"), func(r a) *int32 { return r.Category }),
		global(pick("customertypecode", "CustomerTypeCode", "Relationship Type", labels(1, customerTypes...), func(r a) *int32 { return r.CustomerType })),
		pick("ownershipcode", "OwnershipCode", "Ownership", labels(1, "Public", "Private", "Subsidiary", "Other"), func(r a) *int32 { return r.Ownership }),
		global(pick("accountratingcode", "AccountRatingCode", "Account Rating", labels(1, "Default Value"), func(r a) *int32 { return r.Rating })),
		pick("preferredcontactmethodcode", "PreferredContactMethodCode", "Preferred Method of Contact", labels(1, "Any", "Email", "Phone", "Fax", "Mail"), func(r a) *int32 { return r.PreferredContact }),
		choice(kindState, "statecode", "StateCode", "Status", labels(0, "Active", "Inactive"), func(r a) (int64, bool) { return int64(r.StateCode), true }),
		choice(kindStatus, "statuscode", "StatusCode", "Status Reason", []option{{value: 1, label: "Active"}, {value: 2, label: "Inactive", state: 1}}, func(r a) (int64, bool) { return int64(r.StatusCode), true }),
		boolean("donotemail", "DoNotEMail", "Do not allow Emails", "Allow", "Do Not Allow", func(r a) bool { return r.DoNotEmail }),
		boolean("donotbulkemail", "DoNotBulkEMail", "Do not allow Bulk Emails", "Allow", "Do Not Allow", func(r a) bool { return r.DoNotBulkEmail }),
		boolean("donotphone", "DoNotPhone", "Do not allow Phone Calls", "Allow", "Do Not Allow", func(r a) bool { return r.DoNotPhone }),
		{name: "isprivate", schema: "IsPrivate", label: "Is Private", kind: kindBool, sdkOnly: true, options: []option{{value: 0, label: "No"}, {value: 1, label: "Yes"}},
			get: func(*snapshot, any) value { return value{ok: true} }},
		boolean("creditonhold", "CreditOnHold", "Credit Hold", "No", "Yes", func(r a) bool { return r.CreditOnHold }),
	}
}

func accountNumbers() []*column {
	type a = *Account
	return []*column{
		number(kindInt, "numberofemployees", "NumberOfEmployees", "Number of Employees", func(r a) (int64, bool) { return of32(r.Employees) }),
		number(kindMoney, "revenue", "Revenue", "Annual Revenue", func(r a) (int64, bool) { return of64(r.Revenue) }),
		number(kindMoney, "creditlimit", "CreditLimit", "Credit Limit", func(r a) (int64, bool) { return of64(r.CreditLimit) }),
		moment(kindDateTime, "createdon", "CreatedOn", "Created On", func(r a) time.Time { return r.CreatedOn }),
		moment(kindDateTime, "modifiedon", "ModifiedOn", "Modified On", func(r a) time.Time { return r.ModifiedOn }),
		number(kindBigInt, "versionnumber", "VersionNumber", "Version Number", func(r a) (int64, bool) { return r.Version, true }),
	}
}

func accountCustom() []*column {
	type a = *Account
	channels := &column{name: "cb_channels", schema: "cb_Channels", label: "Channels", kind: kindChoices, options: channelOptions, global: true,
		get: func(_ *snapshot, r any) value {
			c := r.(a).Channels
			return value{ok: len(c) > 0, s: joinChoices(c)}
		}}
	return []*column{
		custom(choice(kindChoice, "cb_campaigntier", "cb_CampaignTier", "Campaign Tier", tierOptions, func(r a) (int64, bool) { return of32(r.Tier) })),
		custom(text("cb_externalref", "cb_ExternalRef", "External Reference", 100, func(r a) string { return r.ExternalRef })),
		custom(number(kindDecimal, "cb_leadscore", "cb_LeadScore", "Lead Score", func(r a) (int64, bool) { return of64(r.LeadScore) })),
		custom(channels),
		custom(moment(kindDate, "cb_lastcampaign", "cb_LastCampaign", "Last Campaign", func(r a) time.Time { return r.LastCampaign })),
	}
}

func joinChoices(in []int32) string {
	var b []byte
	for i, n := range in {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}
