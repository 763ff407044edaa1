package messages

// A Table is one Dataverse table as crmbridge serves it. All that depends on a table follows from
// this value: operations, subjects, bodies and their schemas, checks, texts for people, the command
// line. It does not change once it is made.
type Table struct {
	// Name is the entity of the table's operations, and the member of replies that holds rows: contacts.
	Name string
	// One is the member that holds a single row, and followed by _id the one that names it: contact.
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

// Tables lists every table that crmbridge can serve. Which of them a deployment
// serves is its setting; code that has been handed tables asks those.
func Tables() []Table { return []Table{Accounts, Contacts, Leads, Opportunities} }

// IDMember is the member of a get request that names the row: contact_id.
func (t Table) IDMember() string { return t.One + "_id" }

// ReadCheck is the name of the check in connections.check that rows are read: contacts.read.
func (t Table) ReadCheck() string { return t.Name + ".read" }

// ChangesCheck is the name of the check that changes are tracked: contacts.changes.
func (t Table) ChangesCheck() string { return t.Name + ".changes" }

// FieldNames are the friendly names, in the order of Fields.
func (t Table) FieldNames() []string {
	names := make([]string, 0, len(t.Fields))
	for _, field := range t.Fields {
		names = append(names, field.Name)
	}
	return names
}

// TableNames are the names of tables, in their order.
func TableNames(tables []Table) []string {
	names := make([]string, 0, len(tables))
	for _, table := range tables {
		names = append(names, table.Name)
	}
	return names
}

// Options that several tables have alike.
var (
	activeStates = []Choice{{0, "Active"}, {1, "Inactive"}}
	activeStatus = []Choice{{1, "Active"}, {2, "Inactive"}}
)
