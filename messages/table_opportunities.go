package messages

// Opportunities is the table of possible sales; it comes with Dynamics 365 Sales. Columns and options:
// https://learn.microsoft.com/dynamics365/developer/reference/entities/opportunity.
var Opportunities = Table{
	Name: "opportunities", One: "opportunity",
	Set: "opportunities", Logical: "opportunity", Key: "opportunityid", Display: "Opportunity",
	ReadPrivilege: "prvReadOpportunity",
	Consent:       "opportunities (possible sales), and which of them changed or were deleted",
	Product:       "Dynamics 365 Sales",
	Fields: []TableField{
		{"id", "opportunityid", FieldGUID},
		{"account", "parentaccountid", FieldLookup},
		{"contact", "parentcontactid", FieldLookup},
		{"owner", "ownerid", FieldLookup},
		{"name", "name", FieldText},
		{"stage", "stepname", FieldText},
		{"status", "statecode", FieldChoice},
		{"status_reason", "statuscode", FieldChoice},
		{"probability", "closeprobability", FieldWholeNumber},
		{"estimated_value", "estimatedvalue", FieldMoney},
		{"estimated_close", "estimatedclosedate", FieldDate},
		{"actual_value", "actualvalue", FieldMoney},
		{"actual_close", "actualclosedate", FieldDate},
		{"currency", "transactioncurrencyid", FieldLookup},
		{"created_at", "createdon", FieldDateTime},
		{"modified_at", "modifiedon", FieldDateTime},
	},
	DefaultFields: []string{"id", "name", "account", "stage", "estimated_value"},
	Options: map[string][]Choice{
		"statecode":  {{0, "Open"}, {1, "Won"}, {2, "Lost"}},
		"statuscode": {{1, "In Progress"}, {2, "On Hold"}, {3, "Won"}, {4, "Canceled"}, {5, "Out-Sold"}},
	},
}
