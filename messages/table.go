package messages

// A Table is one Dataverse table as crmbridge serves it. All that depends on a table follows from
// this value: operations, subjects, bodies and their schemas, checks, texts for people, the command
// line. It does not change once it is made.
type Table struct {
	// Name is the entity of the table's operations, and the member of replies that holds rows: contacts.
	Name string
	// One is the member that holds a single row, and with _id behind it the one that names it: contact.
	One string

	// Set, Logical and Key are Dataverse's names: of the entity set, of the table, and of its primary
	// key: contacts, contact, contactid.
	Set, Logical, Key string
	// Display is what Power Apps calls the table: Contact.
	Display string
	// ReadPrivilege is the privilege that reading rows takes: prvReadContact.
	ReadPrivilege string
	// Consent is what a person who connects is told that is read of this table.
	Consent string
	// Product is the product that brings the table to an environment, "" where each environment has it.
	Product string

	// Fields are the columns that have a name of crmbridge's own, in the order in which people read them.
	Fields []TableField
	// DefaultFields are the fields of a row when none are asked for.
	DefaultFields []string
	// Options are the options that Microsoft ships for choice columns, by logical name, in English. An
	// environment may change them, so its metadata goes before them.
	Options map[string][]Choice
}

// A TableField is one field with a name that requesters need not look up.
type TableField struct {
	// Name is what requests and replies call it.
	Name string
	// Logical is the column's name in Dataverse.
	Logical string
	// Type is one of the Field types: the same in every environment.
	Type string
}

// IDMember is the member of a get request that names the row: contact_id.
func (t Table) IDMember() string { return t.One + "_id" }

// Tables lists every table that crmbridge can serve.
func Tables() []Table { return []Table{Accounts, Contacts} }

// sharedOptions are options that several tables have alike.
var (
	activeStates = []Choice{{0, "Active"}, {1, "Inactive"}}
	activeStatus = []Choice{{1, "Active"}, {2, "Inactive"}}
)
