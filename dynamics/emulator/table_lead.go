package emulator

import (
	"fmt"
	"iter"
	"slices"
)

// leadTable is the table of people who may become customers. It comes with Dynamics 365 Sales:
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/lead.
func leadTable() *table {
	t := &table{logical: "lead", set: "leads", label: "Lead", otc: 4, key: "leadid", primary: "fullname",
		privilege: "prvReadLead", tracking: true,
		product: sales, translated: leadWords, first: func(t *table, o Options, d *directory) (int, func() []*record) {
			n := max(o.Accounts, 0) / 2
			return n, func() []*record { return t.records(generateLeads(n, o, d)) }
		}}
	t.columns = slices.Concat([]*column{
		keyCell("leadid", "LeadId", "Lead"),
		computed(textCell("fullname", "FullName", "Name", 160), fullName, "firstname", "lastname"),
		textCell("firstname", "FirstName", "First Name", 50),
		textCell("lastname", "LastName", "Last Name", 50),
		textCell("subject", "Subject", "Topic", 300),
		textCell("companyname", "CompanyName", "Company Name", 100),
		textCell("jobtitle", "JobTitle", "Job Title", 100),
		textCell("emailaddress1", "EMailAddress1", "Email", 100),
		textCell("telephone1", "Telephone1", "Business Phone", 50),
		textCell("mobilephone", "MobilePhone", "Mobile Phone", 50),
		textCell("websiteurl", "WebSiteUrl", "Website", 200),
		memo(textCell("description", "Description", "Description", 2000)),
	}, addressCells(), []*column{
		ownerCell(),
		lookupCell("parentaccountid", "ParentAccountId", "Parent Account for lead", "account"),
		lookupCell("parentcontactid", "ParentContactId", "Parent Contact for lead", "contact"),
		currencyOf("revenue", "budgetamount"),
		choiceCell("industrycode", "IndustryCode", "Industry", labels(1, industries...)),
		choiceCell("leadsourcecode", "LeadSourceCode", "Lead Source", labels(1, leadSources...)),
		choiceCell("leadqualitycode", "LeadQualityCode", "Rating", labels(1, "Hot", "Warm", "Cold")),
		numberCell(kindInt, "numberofemployees", "NumberOfEmployees", "No. of Employees"),
		numberCell(kindMoney, "revenue", "Revenue", "Annual Revenue"),
		baseMoney("revenue_base", "Revenue_Base", "Annual Revenue (Base)", "revenue"),
		numberCell(kindMoney, "budgetamount", "BudgetAmount", "Budget Amount"),
		baseMoney("budgetamount_base", "BudgetAmount_Base", "Budget Amount (Base)", "budgetamount"),
	}, stateCells(labels(0, "Open", "Qualified", "Disqualified"), leadStatus), []*column{
		yesNoCell("donotemail", "DoNotEMail", "Do not allow Emails", "Allow", "Do Not Allow"),
		yesNoCell("donotbulkemail", "DoNotBulkEMail", "Do not allow Bulk Emails", "Allow", "Do Not Allow"),
		yesNoCell("donotphone", "DoNotPhone", "Do not allow Phone Calls", "Allow", "Do Not Allow"),
		yesNoCell("decisionmaker", "DecisionMaker", "Decision Maker?", "mark incomplete", "completed"),
	}, systemCells(), mergeCells("lead"), []*column{
		custom(choicesCell("cb_interests", "cb_Interests", "Interests", interestOptions)),
		custom(numberCell(kindDecimal, "cb_leadscore", "cb_LeadScore", "Lead Score")),
	})
	return t.keepRows()
}

var (
	leadSources = []string{"Advertisement", "Employee Referral", "External Referral", "Partner", "Public Relations",
		"Seminar", "Trade Show", "Web",
		"Word of Mouth", "Other"}
	leadStatus = []option{{value: 1, label: "New"}, {value: 2, label: "Contacted"},
		{value: 3, label: "Qualified", state: 1}, {value: 4, label: "Lost", state: 2},
		{value: 5, label: "Cannot Contact", state: 2}, {value: 6, label: "No Longer Interested", state: 2},
		{value: 7, label: "Canceled", state: 2}}
)

func generateLeads(n int, o Options, d *directory) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		g := newPeople(o, d, 0x6c65_6164)
		for i := range n {
			if !yield(g.lead(i, o)) {
				return
			}
		}
	}
}

func (g *people) lead(i int, o Options) Row {
	p := places[g.rng.IntN(len(places))]
	r := Row{"leadid": rowID("lead", o.Seed, i).String(), "ownerid": g.owners[g.rng.IntN(len(g.owners))].String()}
	g.name(r, i)
	g.reach(r, i, p)
	g.address(r, p)
	g.wishes(r)
	g.dates(r)
	r["subject"] = g.one([]string{"Interested in ", "Asked for ", "Follow-up: ", "Anfrage: "}) + g.one(trades)
	if !g.some(12) {
		r["companyname"] = g.one(families) + " " + g.one(trades)
	}
	if !g.some(30) {
		r["websiteurl"] = fmt.Sprintf("https://www.lead-%d.example/", i)
	}
	if g.some(20) && o.Accounts > 0 {
		r["parentaccountid"] = rowID("account", o.Seed, g.rng.IntN(o.Accounts)).String()
	}
	if g.some(15) && o.Contacts > 0 {
		r["parentcontactid"] = rowID("contact", o.Seed, g.rng.IntN(o.Contacts)).String()
	}
	g.prospect(r)
	status := leadStatus[g.rng.IntN(len(leadStatus))]
	if g.some(55) {
		status = leadStatus[g.rng.IntN(2)]
	}
	r["statecode"], r["statuscode"] = status.state, status.value
	if i > 50 && g.some(1) {
		r["merged"], r["masterid"], r["statecode"], r["statuscode"] = true, rowID("lead", o.Seed, g.rng.IntN(i/2)).String(),
			2, 7
	}
	return r
}

// prospect fills what is known of the business behind a lead.
func (g *people) prospect(r Row) {
	if !g.some(15) {
		r["industrycode"] = 1 + g.rng.IntN(len(industries))
	}
	if !g.some(10) {
		r["leadsourcecode"] = 1 + g.rng.IntN(len(leadSources))
	}
	if !g.some(20) {
		r["leadqualitycode"] = 1 + g.rng.IntN(3)
	}
	if !g.some(35) {
		r["numberofemployees"] = 1 + g.rng.IntN(5000)
	}
	if !g.some(40) {
		r["revenue"] = (10_000 + g.rng.IntN(50_000_000)) * 10_000
	}
	if g.some(30) {
		r["budgetamount"] = (500 + g.rng.IntN(90_000)) * 10_000
	}
	r["decisionmaker"] = g.some(30)
	var interests []int32
	for _, x := range interestOptions {
		if g.some(30) {
			interests = append(interests, x.value)
		}
	}
	r["cb_interests"] = interests
	if !g.some(45) {
		r["cb_leadscore"] = g.rng.IntN(1_000_001)
	}
}

// leadWords are the texts that other tables do not have too.
var leadWords = translations{
	1031: {"First Name": "Vorname", "Last Name": "Nachname", "Topic": "Thema", "Company Name": "Firmenname",
		"Business Phone": "Telefon (geschäftlich)",
		"Mobile Phone":   "Mobiltelefon", "Lead Source": "Leadquelle", "Rating": "Bewertung",
		"No. of Employees":      "Anzahl der Mitarbeiter",
		"Annual Revenue (Base)": "Jahresumsatz (Basis)", "Budget Amount": "Budgetbetrag", "Merged": "Zusammengeführt",
		"Hot": "Heiß", "Warm": "Warm", "Cold": "Kalt",
		"Open": "Offen", "Qualified": "Qualifiziert", "Disqualified": "Disqualifiziert", "New": "Neu",
		"Contacted": "Kontaktiert", "Lost": "Verloren",
		"Cannot Contact": "Kontakt nicht möglich", "No Longer Interested": "Kein Interesse mehr", "Canceled": "Storniert",
		"Advertisement":     "Werbung",
		"Employee Referral": "Empfehlung eines Mitarbeiters", "External Referral": "Externe Empfehlung",
		"Public Relations": "Öffentlichkeitsarbeit",
		"Seminar":          "Seminar", "Trade Show": "Messe", "Web": "Web", "Word of Mouth": "Mundpropaganda",
		"Interests": "Interessen"},
	1036: {"Lead": "Prospect", "First Name": "Prénom", "Last Name": "Nom", "Topic": "Sujet",
		"Company Name":   "Nom de la société",
		"Business Phone": "Téléphone (bureau)", "Mobile Phone": "Téléphone mobile", "Lead Source": "Source du prospect",
		"Rating":           "Évaluation",
		"No. of Employees": "Nombre d'employés", "Annual Revenue (Base)": "Chiffre d'affaires annuel (de base)",
		"Budget Amount": "Montant du budget",
		"Merged":        "Fusionné", "Hot": "Chaud", "Warm": "Tiède", "Cold": "Froid", "Open": "Ouvert",
		"Qualified":    "Qualifié",
		"Disqualified": "Disqualifié",
		"New":          "Nouveau", "Contacted": "Contacté", "Lost": "Perdu", "Cannot Contact": "Contact impossible",
		"No Longer Interested": "Plus intéressé",
		"Canceled":             "Annulé", "Advertisement": "Publicité", "Employee Referral": "Référence d'un employé",
		"External Referral": "Référence externe",
		"Public Relations":  "Relations publiques", "Seminar": "Séminaire", "Trade Show": "Salon professionnel",
		"Word of Mouth": "Bouche-à-oreille",
		"Interests":     "Centres d'intérêt"},
}
