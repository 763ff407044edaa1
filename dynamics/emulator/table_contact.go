package emulator

import "slices"

// contactTable is the table of people:
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/contact.
func contactTable() *table {
	t := &table{logical: "contact", set: "contacts", label: "Contact", otc: 2, key: "contactid", primary: "fullname",
		privilege: readContact, tracking: true, translated: contactWords,
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
		choiceCell("familystatuscode", "FamilyStatusCode", "Marital Status",
			labels(1, "Single", "Married", "Divorced", "Widowed")),
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

// contactWords are the texts that accounts do not have too. Assistant, Newsletter and other custom
// options have none, as in real environments.
var contactWords = translations{
	1031: {"Contact": "Kontakt", "First Name": "Vorname", "Last Name": "Nachname", "Salutation": "Anrede",
		"Department":     "Abteilung",
		"Business Phone": "Telefon (geschäftlich)", "Mobile Phone": "Mobiltelefon", "Company Name": "Firmenname",
		"Role": "Rolle", "Gender": "Geschlecht",
		"Marital Status": "Familienstand", "Birthday": "Geburtstag", "Annual Income": "Jahreseinkommen",
		"Annual Income (Base)": "Jahreseinkommen (Basis)",
		"Merged":               "Zusammengeführt", "Master ID": "Master-ID", "Decision Maker": "Entscheidungsträger",
		"Employee": "Mitarbeiter", "Male": "Männlich",
		"Female": "Weiblich", "Single": "Ledig", "Married": "Verheiratet", "Divorced": "Geschieden", "Widowed": "Verwitwet",
		"Buyer":      "Einkäufer",
		"Technician": "Techniker", "Executive": "Führungskraft", "Products": "Produkte", "Events": "Veranstaltungen",
		"Training": "Schulung", "Interests": "Interessen"},
	1036: {"Contact": "Contact", "First Name": "Prénom", "Last Name": "Nom", "Salutation": "Formule d'appel",
		"Department":     "Service",
		"Business Phone": "Téléphone (bureau)", "Mobile Phone": "Téléphone mobile", "Company Name": "Nom de la société",
		"Role": "Rôle", "Gender": "Sexe",
		"Marital Status": "Situation familiale", "Birthday": "Date de naissance", "Annual Income": "Revenu annuel",
		"Annual Income (Base)": "Revenu annuel (de base)",
		"Merged":               "Fusionné", "Master ID": "ID principal", "Decision Maker": "Décideur", "Employee": "Employé",
		"Male": "Homme", "Female": "Femme",
		"Single": "Célibataire", "Married": "Marié(e)", "Divorced": "Divorcé(e)", "Widowed": "Veuf/veuve",
		"Buyer": "Acheteur", "Technician": "Technicien",
		"Executive": "Dirigeant", "Products": "Produits", "Events": "Événements", "Training": "Formation",
		"Interests": "Centres d'intérêt"},
}
