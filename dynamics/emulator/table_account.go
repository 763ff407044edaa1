package emulator

import (
	"iter"
	"slices"
	"strings"
	"time"
)

// Account is one row. A nil pointer or an empty text is a column without a value, as in Dataverse.
type Account struct {
	// ID is accountid, in lower case.
	ID                                   string
	Name, Number, Website, Phone, Email  string
	Description                          string
	Line1, City, State, PostalCode, Land string // address1_…; Land is address1_country
	Ticker                               string
	Employees                            *int32
	// Revenue and CreditLimit are in ten-thousandths of a US dollar, as Dataverse keeps money.
	Revenue, CreditLimit *int64
	// Choices by their integers.
	Industry, Classification, Category, CustomerType, Ownership, Rating, PreferredContact *int32
	StateCode, StatusCode                                                                 int32
	DoNotEmail, DoNotBulkEmail, DoNotPhone, CreditOnHold                                  bool
	// OwnerID is a systemuser or a team, ParentID an account, PrimaryContactID a contact; each may be empty.
	OwnerID, ParentID, PrimaryContactID string
	// Merged rows went into the account MasterID.
	Merged                bool
	MasterID              string
	CreatedOn, ModifiedOn time.Time
	// Tier, ExternalRef, LeadScore (in ten-thousandths), Channels and LastCampaign are the custom columns cb_….
	Tier         *int32
	ExternalRef  string
	LeadScore    *int64
	Channels     []int32
	LastCampaign time.Time // date only; zero means none
	// More are the values of columns that [Control.AddColumn] added, as [Row] has them.
	More    map[string]any
	Version int64
}

// accountMembers are the members of [Account] by the columns that hold them.
var accountMembers = []struct {
	column string
	of     func(*Account) any // a pointer
}{
	{"accountid", func(a *Account) any { return &a.ID }}, {"name", func(a *Account) any { return &a.Name }},
	{"accountnumber", func(a *Account) any { return &a.Number }},
	{"websiteurl", func(a *Account) any { return &a.Website }},
	{"telephone1", func(a *Account) any { return &a.Phone }}, {"emailaddress1", func(a *Account) any { return &a.Email }},
	{"description", func(a *Account) any { return &a.Description }},
	{"tickersymbol", func(a *Account) any { return &a.Ticker }},
	{"address1_line1", func(a *Account) any { return &a.Line1 }},
	{"address1_city", func(a *Account) any { return &a.City }},
	{"address1_stateorprovince", func(a *Account) any { return &a.State }},
	{"address1_postalcode", func(a *Account) any { return &a.PostalCode }},
	{"address1_country", func(a *Account) any { return &a.Land }}, {"ownerid", func(a *Account) any { return &a.OwnerID }},
	{"parentaccountid", func(a *Account) any { return &a.ParentID }},
	{"primarycontactid", func(a *Account) any { return &a.PrimaryContactID }},
	{"merged", func(a *Account) any { return &a.Merged }}, {"masterid", func(a *Account) any { return &a.MasterID }},
	{"industrycode", func(a *Account) any { return &a.Industry }},
	{"accountclassificationcode", func(a *Account) any { return &a.Classification }},
	{"accountcategorycode", func(a *Account) any { return &a.Category }},
	{"customertypecode", func(a *Account) any { return &a.CustomerType }},
	{"ownershipcode", func(a *Account) any { return &a.Ownership }},
	{"accountratingcode", func(a *Account) any { return &a.Rating }},
	{"preferredcontactmethodcode", func(a *Account) any { return &a.PreferredContact }},
	{"statecode", func(a *Account) any { return &a.StateCode }},
	{"statuscode", func(a *Account) any { return &a.StatusCode }},
	{"donotemail", func(a *Account) any { return &a.DoNotEmail }},
	{"donotbulkemail", func(a *Account) any { return &a.DoNotBulkEmail }},
	{"donotphone", func(a *Account) any { return &a.DoNotPhone }},
	{"creditonhold", func(a *Account) any { return &a.CreditOnHold }},
	{"numberofemployees", func(a *Account) any { return &a.Employees }},
	{"revenue", func(a *Account) any { return &a.Revenue }},
	{"creditlimit", func(a *Account) any { return &a.CreditLimit }},
	{"createdon", func(a *Account) any { return &a.CreatedOn }},
	{"modifiedon", func(a *Account) any { return &a.ModifiedOn }},
	{"cb_campaigntier", func(a *Account) any { return &a.Tier }},
	{"cb_externalref", func(a *Account) any { return &a.ExternalRef }},
	{"cb_leadscore", func(a *Account) any { return &a.LeadScore }},
	{"cb_channels", func(a *Account) any { return &a.Channels }},
	{"cb_lastcampaign", func(a *Account) any { return &a.LastCampaign }},
}

// isMember are the columns of accountMembers.
var isMember = func() map[string]bool {
	out := make(map[string]bool, len(accountMembers))
	for _, m := range accountMembers {
		out[m.column] = true
	}
	return out
}()

// accountMaker makes records of accounts; what does not depend on the account is looked up once.
type accountMaker struct {
	t       *table
	columns []*column // of accountMembers; nil where it was removed
	maker   maker
}

func newAccountMaker(t *table, many bool) *accountMaker {
	m := &accountMaker{t: t, columns: make([]*column, len(accountMembers)), maker: maker{n: t.cells, many: many}}
	for i := range accountMembers {
		m.columns[i] = t.column(accountMembers[i].column)
	}
	return m
}

// record is the account as the store keeps it; false where a GUID is none.
func (m *accountMaker) record(a *Account) (*record, bool) {
	r := m.maker.record()
	for i, c := range m.columns {
		if c == nil {
			continue
		}
		x, ok := memberValue(c, accountMembers[i].of(a))
		if !ok {
			return nil, false
		}
		r.set(c, x)
	}
	for name, v := range a.More {
		if c := m.t.column(name); c != nil && c.stored() {
			x, _ := c.toValue(v) // of another type it is null
			r.set(c, x)
		}
	}
	r.id = r.key(m.t)
	return r, true
}

// memberValue is a member of [Account] as queries see it.
func memberValue(c *column, p any) (out value, ok bool) {
	switch x := p.(type) {
	case *string:
		if *x == "" || c.kind.textual() {
			return textCellValue(*x), true
		}
		id, ok := parseGUID(*x)
		return value{ok: ok, id: id}, ok
	case **int32:
		if *x == nil {
			return value{}, true
		}
		return numberCellValue(int64(**x)), true
	case **int64:
		if *x == nil {
			return value{}, true
		}
		return numberCellValue(**x), true
	case *int32:
		return numberCellValue(int64(*x)), true
	case *bool:
		return numberCellValue(int64(btoi(*x))), true
	case *time.Time:
		if x.IsZero() {
			return value{}, true
		}
		return numberCellValue(x.Unix()), true
	case *[]int32:
		return textCellValue(joinChoices(*x)), true
	}
	return value{}, false
}

// account is the record as an Account.
func (r *record) account(t *table) Account {
	a := Account{Version: r.version}
	for i := range accountMembers {
		m := &accountMembers[i]
		c := t.column(m.column)
		if c == nil {
			continue
		}
		x := r.value(c)
		if !x.ok {
			continue
		}
		switch p := m.of(&a).(type) {
		case *string:
			if *p = x.s; !c.kind.textual() {
				*p = x.id.String()
			}
		case **int32:
			n := int32(x.n)
			*p = &n
		case **int64:
			n := x.n
			*p = &n
		case *int32:
			*p = int32(x.n)
		case *bool:
			*p = x.n != 0
		case *time.Time:
			*p = time.Unix(x.n, 0).UTC()
		case *[]int32:
			*p = splitChoices(x.s)
		}
	}
	for _, c := range t.columns {
		if !isMember[c.name] && c.stored() {
			if v := c.public(r.value(c)); v != nil {
				if a.More == nil {
					a.More = map[string]any{}
				}
				a.More[c.name] = v
			}
		}
	}
	return a
}

func accountRecords(t *table, rows iter.Seq[*Account]) []*record {
	var out []*record
	maker := newAccountMaker(t, true)
	for a := range rows {
		r, ok := maker.record(a)
		if !ok {
			panic("emulator: a generated account has a GUID that is none: " + a.ID)
		}
		r.fill(t)
		r.pack()
		out = append(out, r)
	}
	return out
}

func accountTable() *table {
	t := &table{logical: "account", set: "accounts", label: "Account", otc: 1, key: "accountid", primary: "name",
		privilege: readAccount, tracking: true,
		first: func(t *table, o Options, d *directory) (int, func() []*record) {
			return max(o.Accounts, 0), func() []*record { return accountRecords(t, generate(o, d)) }
		}}
	t.columns = slices.Concat(accountTexts(), accountChoices(), accountNumbers(), accountCustom(), mergeCells("account"))
	return t.keepRows()
}

func accountTexts() []*column {
	return slices.Concat([]*column{
		keyCell("accountid", "AccountId", "Account"),
		textCell("name", "Name", "Account Name", 160),
		textCell("accountnumber", "AccountNumber", "Account Number", 20),
		textCell("websiteurl", "WebSiteURL", "Website", 200),
		textCell("telephone1", "Telephone1", "Main Phone", 50),
		textCell("telephone2", "Telephone2", "Other Phone", 50),
		textCell("emailaddress1", "EMailAddress1", "Email", 100),
		memo(textCell("description", "Description", "Description", 2000)),
		textCell("tickersymbol", "TickerSymbol", "Ticker Symbol", 10),
	}, addressCells(), []*column{
		ownerCell(),
		lookupCell("parentaccountid", "ParentAccountId", "Parent Account", "account"),
		lookupCell("primarycontactid", "PrimaryContactId", "Primary Contact", "contact"),
		currencyOf("revenue", "creditlimit"),
	})
}

// composite is the address as one text, the lines separated as Dataverse does.
func composite(in inputs) value {
	line, city, state, code, land := in.at(0).s, in.at(1).s, in.at(2).s, in.at(3).s, in.at(4).s
	town := strings.TrimSpace(strings.Join(nonEmpty(city, strings.TrimSpace(state+" "+code)), ", "))
	s := strings.Join(nonEmpty(line, town, land), "\r\n")
	return value{ok: s != "", s: s}
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

var (
	activeStates = labels(0, "Active", "Inactive")
	activeStatus = []option{{value: 1, label: "Active"}, {value: 2, label: "Inactive", state: 1}}
)

func accountChoices() []*column {
	return slices.Concat([]*column{
		choiceCell("industrycode", "IndustryCode", "Industry", labels(1, industries...)),
		global(choiceCell("accountclassificationcode", "AccountClassificationCode", "Classification", classifications)),
		choiceCell("accountcategorycode", "AccountCategoryCode", "Category", labels(1, "Preferred Customer", "Standard")),
		global(choiceCell("customertypecode", "CustomerTypeCode", "Relationship Type", labels(1, customerTypes...))),
		choiceCell("ownershipcode", "OwnershipCode", "Ownership", labels(1, "Public", "Private", "Subsidiary", "Other")),
		global(choiceCell("accountratingcode", "AccountRatingCode", "Account Rating", labels(1, "Default Value"))),
		choiceCell("preferredcontactmethodcode", "PreferredContactMethodCode", "Preferred Method of Contact", contactMethods),
	}, stateCells(activeStates, activeStatus), []*column{
		yesNoCell("donotemail", "DoNotEMail", "Do not allow Emails", "Allow", "Do Not Allow"),
		yesNoCell("donotbulkemail", "DoNotBulkEMail", "Do not allow Bulk Emails", "Allow", "Do Not Allow"),
		yesNoCell("donotphone", "DoNotPhone", "Do not allow Phone Calls", "Allow", "Do Not Allow"),
		{name: "isprivate", schema: "IsPrivate", label: "Is Private", kind: kindBool, sdkOnly: true,
			options: []option{{value: 0, label: "No"}, {value: 1, label: "Yes"}},
			get:     func(*snapshot, any) value { return value{ok: true} }},
		yesNoCell("creditonhold", "CreditOnHold", "Credit Hold", "No", "Yes"),
	})
}

var contactMethods = labels(1, "Any", "Email", "Phone", "Fax", "Mail")

func accountNumbers() []*column {
	return slices.Concat([]*column{
		numberCell(kindInt, "numberofemployees", "NumberOfEmployees", "Number of Employees"),
		numberCell(kindMoney, "revenue", "Revenue", "Annual Revenue"),
		baseMoney("revenue_base", "Revenue_Base", "Annual Revenue (Base)", "revenue"),
		numberCell(kindMoney, "creditlimit", "CreditLimit", "Credit Limit"),
	}, systemCells())
}

func accountCustom() []*column {
	return []*column{
		custom(choiceCell("cb_campaigntier", "cb_CampaignTier", "Campaign Tier", tierOptions)),
		custom(textCell("cb_externalref", "cb_ExternalRef", "External Reference", 100)),
		custom(numberCell(kindDecimal, "cb_leadscore", "cb_LeadScore", "Lead Score")),
		custom(global(choicesCell("cb_channels", "cb_Channels", "Channels", channelOptions))),
		custom(dateCell("cb_lastcampaign", "cb_LastCampaign", "Last Campaign")),
	}
}
