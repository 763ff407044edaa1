package messages

// Accounts is the table of companies. Columns and options:
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/account.
var Accounts = Table{
	Name: "accounts", One: "account",
	Set: "accounts", Logical: "account", Key: "accountid", Display: "Account", ReadPrivilege: "prvReadAccount",
	Consent: "accounts (companies), and which of them changed or were deleted",
	Fields: []TableField{
		{"id", "accountid", FieldGUID},
		{"owner", "ownerid", FieldLookup},
		{"parent", "parentaccountid", FieldLookup},
		{"name", "name", FieldText},
		{"website", "websiteurl", FieldText},
		{"phone", "telephone1", FieldText},
		{"email", "emailaddress1", FieldText},
		{"city", "address1_city", FieldText},
		{"state", "address1_stateorprovince", FieldText},
		{"country", "address1_country", FieldText},
		{"postal_code", "address1_postalcode", FieldText},
		{"classification", "accountclassificationcode", FieldChoice},
		{"industry", "industrycode", FieldChoice},
		{"category", "accountcategorycode", FieldChoice},
		{"relationship", "customertypecode", FieldChoice},
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
	DefaultFields: []string{"id", "name", "website", "classification", "industry"},
	Options: map[string][]Choice{
		"accountclassificationcode": {{1, "Default Value"}},
		"accountcategorycode":       {{1, "Preferred Customer"}, {2, "Standard"}},
		"statecode":                 activeStates,
		"statuscode":                activeStatus,
		"customertypecode": {
			{1, "Competitor"}, {2, "Consultant"}, {3, "Customer"}, {4, "Investor"}, {5, "Partner"}, {6, "Influencer"},
			{7, "Press"}, {8, "Prospect"}, {9, "Reseller"}, {10, "Supplier"}, {11, "Vendor"}, {12, "Other"},
		},
		"industrycode": industries,
	},
}

// industries are the options of industrycode, of accounts and of leads.
var industries = []Choice{
	{1, "Accounting"}, {2, "Agriculture and Non-petrol Natural Resource Extraction"},
	{3, "Broadcasting Printing and Publishing"}, {4, "Brokers"}, {5, "Building Supply Retail"}, {6, "Business Services"},
	{7, "Consulting"}, {8, "Consumer Services"}, {9, "Design, Direction and Creative Management"},
	{10, "Distributors, Dispatchers and Processors"}, {11, "Doctor's Offices and Clinics"}, {12, "Durable Manufacturing"},
	{13, "Eating and Drinking Places"}, {14, "Entertainment Retail"}, {15, "Equipment Rental and Leasing"}, {16, "Financial"},
	{17, "Food and Tobacco Processing"}, {18, "Inbound Capital Intensive Processing"}, {19, "Inbound Repair and Services"},
	{20, "Insurance"}, {21, "Legal Services"}, {22, "Non-Durable Merchandise Retail"}, {23, "Outbound Consumer Service"},
	{24, "Petrochemical Extraction and Distribution"}, {25, "Service Retail"}, {26, "SIG Affiliations"}, {27, "Social Services"},
	{28, "Special Outbound Trade Contractors"}, {29, "Specialty Realty"}, {30, "Transportation"},
	{31, "Utility Creation and Distribution"}, {32, "Vehicle Retail"}, {33, "Wholesale"},
}
