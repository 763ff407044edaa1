package messages

// Leads is the table of people and companies that may become customers; it comes with Dynamics 365
// Sales. Columns and options:
// https://learn.microsoft.com/dynamics365/developer/reference/entities/lead.
var Leads = Table{
	Name: "leads", One: "lead",
	Set: "leads", Logical: "lead", Key: "leadid", Display: "Lead", ReadPrivilege: "prvReadLead",
	Consent: "leads (people and companies that may become customers), and which of them changed or were deleted",
	Product: "Dynamics 365 Sales",
	Fields: []TableField{
		{"id", "leadid", FieldGUID},
		{"account", "parentaccountid", FieldLookup},
		{"contact", "parentcontactid", FieldLookup},
		{"owner", "ownerid", FieldLookup},
		{"name", "fullname", FieldText},
		{"first_name", "firstname", FieldText},
		{"last_name", "lastname", FieldText},
		{"company", "companyname", FieldText},
		{"job_title", "jobtitle", FieldText},
		{"email", "emailaddress1", FieldText},
		{"phone", "telephone1", FieldText},
		{"mobile", "mobilephone", FieldText},
		{"website", "websiteurl", FieldText},
		{"city", "address1_city", FieldText},
		{"state", "address1_stateorprovince", FieldText},
		{"country", "address1_country", FieldText},
		{"industry", "industrycode", FieldChoice},
		{"source", "leadsourcecode", FieldChoice},
		{"rating", "leadqualitycode", FieldChoice},
		{"status", "statecode", FieldChoice},
		{"status_reason", "statuscode", FieldChoice},
		{"employees", "numberofemployees", FieldWholeNumber},
		{"revenue", "revenue", FieldMoney},
		{"revenue_base", "revenue_base", FieldMoney},
		{"currency", "transactioncurrencyid", FieldLookup},
		{"merged", "merged", FieldYesNo},
		{"merged_into", "masterid", FieldLookup},
		{"created_at", "createdon", FieldDateTime},
		{"modified_at", "modifiedon", FieldDateTime},
		{"do_not_email", "donotemail", FieldYesNo},
		{"do_not_bulk_email", "donotbulkemail", FieldYesNo},
	},
	DefaultFields: []string{"id", "name", "company", "email", "job_title"},
	Options: map[string][]Choice{
		"industrycode":    industries,
		"leadqualitycode": {{1, "Hot"}, {2, "Warm"}, {3, "Cold"}},
		"leadsourcecode": {
			{1, "Advertisement"}, {2, "Employee Referral"}, {3, "External Referral"}, {4, "Partner"},
			{5, "Public Relations"},
			{6, "Seminar"}, {7, "Trade Show"}, {8, "Web"}, {9, "Word of Mouth"}, {10, "Other"},
		},
		"statecode": {{0, "Open"}, {1, "Qualified"}, {2, "Disqualified"}},
		"statuscode": {
			{1, "New"}, {2, "Contacted"}, {3, "Qualified"}, {4, "Lost"}, {5, "Cannot Contact"},
			{6, "No Longer Interested"}, {7, "Canceled"},
		},
	},
}
