package emulator

import "slices"

// contactTable is the table of people: https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/contact.
func contactTable() *table {
	t := &table{logical: "contact", set: "contacts", label: "Contact", otc: 2, key: "contactid", primary: "fullname", privilege: readContact, tracking: true,
		first: func(t *table, o Options, d *directory) (int, func() []*record) {
			return o.Contacts, func() []*record { return t.records(generateContacts(o, d)) }
		}}
	t.columns = slices.Concat([]*column{
		keyCell("contactid", "ContactId", "Contact"),
		computed(textCell("fullname", "FullName", "Full Name", 160), fullName, "firstname", "lastname"),
		textCell("firstname", "FirstName", "First Name", 50),
		textCell("lastname", "LastName", "Last Name", 50),
		textCell("salutation", "Salutation", "Salutation", 100),
		textCell("jobtitle", "JobTitle", "Job Title", 100),
		textCell("department", "Department", "Department", 100),
		textCell("emailaddress1", "EMailAddress1", "Email", 100),
		textCell("telephone1", "Telephone1", "Business Phone", 50),
		textCell("mobilephone", "MobilePhone", "Mobile Phone", 50),
		memo(textCell("description", "Description", "Description", 2000)),
	}, addressCells(), []*column{
		ownerCell(),
		customerCell("parentcustomerid", "ParentCustomerId", "Company Name"),
		lookupCell("transactioncurrencyid", "TransactionCurrencyId", "Currency", "transactioncurrency"),
		numberCell(kindMoney, "annualincome", "AnnualIncome", "Annual Income"),
		baseMoney("annualincome_base", "AnnualIncome_Base", "Annual Income (Base)", "annualincome"),
		choiceCell("accountrolecode", "AccountRoleCode", "Role", labels(1, "Decision Maker", "Employee", "Influencer")),
		choiceCell("gendercode", "GenderCode", "Gender", labels(1, "Male", "Female")),
		choiceCell("familystatuscode", "FamilyStatusCode", "Marital Status", labels(1, "Single", "Married", "Divorced", "Widowed")),
		choiceCell("preferredcontactmethodcode", "PreferredContactMethodCode", "Preferred Method of Contact", contactMethods),
		dateCell("birthdate", "BirthDate", "Birthday"),
	}, stateCells(activeStates, activeStatus), []*column{
		yesNoCell("donotemail", "DoNotEMail", "Do not allow Emails", "Allow", "Do Not Allow"),
		yesNoCell("donotbulkemail", "DoNotBulkEMail", "Do not allow Bulk Emails", "Allow", "Do Not Allow"),
		yesNoCell("donotphone", "DoNotPhone", "Do not allow Phone Calls", "Allow", "Do Not Allow"),
	}, systemCells(), mergeCells("contact"), []*column{
		custom(choiceCell("cb_persona", "cb_Persona", "Persona", personaOptions)),
		custom(global(choicesCell("cb_interests", "cb_Interests", "Interests", interestOptions))),
		custom(textCell("cb_externalref", "cb_ExternalRef", "External Reference", 100)),
		custom(numberCell(kindDecimal, "cb_engagement", "cb_Engagement", "Engagement")),
		custom(dateCell("cb_lastcampaign", "cb_LastCampaign", "Last Campaign")),
	})
	return t.keepRows()
}

var (
	personaOptions  = labels(100000000, "Buyer", "Technician", "Executive", "Assistant")
	interestOptions = labels(100000000, "Products", "Events", "Training", "Newsletter", "Partnership")
)

// fullName is first and last name, as an environment has it whose names are in English order.
func fullName(in inputs) value {
	s, last := in.at(0).s, in.at(1).s
	if s != "" && last != "" {
		s += " "
	}
	s += last
	return value{ok: s != "", s: s}
}
