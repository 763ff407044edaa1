package emulator

import "time"

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
	// OwnerID is a systemuser or a team, ParentID an account or empty.
	OwnerID, ParentID     string
	CreatedOn, ModifiedOn time.Time
	// Tier, ExternalRef, LeadScore (in ten-thousandths), Channels and LastCampaign are the custom columns cb_….
	Tier         *int32
	ExternalRef  string
	LeadScore    *int64
	Channels     []int32
	LastCampaign time.Time // date only; zero means none
	// More are the values of columns that [Control.AddColumn] added, by name: a string, an int (ten-thousandths where the column
	// has decimals), a bool, a time.Time or an []int32.
	More    map[string]any
	Version int64

	id, owner, parent guid
}

// reference is what a lookup's id stands for.
type reference struct{ name, entity string }

func (v *snapshot) refer(id guid) (reference, bool) {
	if ref, ok := v.dir.refer(id); ok { // most lookups are owners
		return ref, true
	}
	if a := v.account(id); a != nil {
		return reference{a.Name, "account"}, true
	}
	return reference{}, false
}

func (d *directory) refer(id guid) (reference, bool) {
	ref, ok := d.references[id]
	return ref, ok
}

// index fills what is looked up by id once everything is there.
func (d *directory) index() {
	d.references = map[guid]reference{currencyID: {"US Dollar", "transactioncurrency"}}
	d.unit, d.above = map[guid]guid{}, map[guid]guid{}
	for n, g := range d.units {
		d.references[g] = reference{n, "businessunit"}
		d.unit[g] = g
		if n != businessUnits[0] {
			d.above[g] = d.units[businessUnits[0]]
		}
	}
	for _, u := range d.users {
		d.references[u.id] = reference{u.Name, "systemuser"}
		d.unit[u.id] = u.businessUnit
	}
	for _, t := range d.teams {
		d.references[t.id] = reference{t.name, "team"}
		d.unit[t.id] = t.businessUnit
	}
	for _, r := range d.roles {
		d.references[r.id] = reference{r.name, "role"}
		d.unit[r.id] = r.businessUnit
	}
}

var currencyID, _ = parseGUID("228f42f8-e646-e111-8eb7-78e7d162ced1")
