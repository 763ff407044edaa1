package messages

// Contacts is the table of people. Columns and options:
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/contact.
// The account of a contact is a customer: it may name another contact.
var Contacts = Table{
	Name: "contacts", One: "contact",
	Set: "contacts", Logical: "contact", Key: "contactid", Display: "Contact", ReadPrivilege: "prvReadContact",
	Consent: "contacts (people), and which of them changed or were deleted",
	Fields: []TableField{
		{"id", "contactid", FieldGUID},
		{"account", "parentcustomerid", FieldLookup},
		{"owner", "ownerid", FieldLookup},
		{"name", "fullname", FieldText},
		{"first_name", "firstname", FieldText},
		{"last_name", "lastname", FieldText},
		{"email", "emailaddress1", FieldText},
		{"phone", "telephone1", FieldText},
		{"mobile", "mobilephone", FieldText},
		{"job_title", "jobtitle", FieldText},
		{"department", "department", FieldText},
		{"city", "address1_city", FieldText},
		{"state", "address1_stateorprovince", FieldText},
		{"country", "address1_country", FieldText},
		{"postal_code", "address1_postalcode", FieldText},
		{"status", "statecode", FieldChoice},
		{"status_reason", "statuscode", FieldChoice},
		{"currency", "transactioncurrencyid", FieldLookup},
		{"merged", "merged", FieldYesNo},
		{"merged_into", "masterid", FieldLookup},
		{"created_at", "createdon", FieldDateTime},
		{"modified_at", "modifiedon", FieldDateTime},
		{"do_not_email", "donotemail", FieldYesNo},
		{"do_not_bulk_email", "donotbulkemail", FieldYesNo},
	},
	DefaultFields: []string{"id", "name", "email", "job_title", "account"},
	Options: map[string][]Choice{
		"statecode":  activeStates,
		"statuscode": activeStatus,
	},
}
