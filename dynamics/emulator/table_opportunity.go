package emulator

import (
	"fmt"
	"iter"
	"slices"
	"time"
)

// opportunityTable is the table of sales that may happen. It comes with Dynamics 365 Sales:
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/opportunity.
func opportunityTable() *table {
	t := &table{logical: "opportunity", set: "opportunities", label: "Opportunity", otc: 3, key: "opportunityid",
		primary:   "name",
		privilege: "prvReadOpportunity", tracking: true, product: sales, translated: opportunityWords,
		first: func(t *table, o Options, d *directory) (int, func() []*record) {
			n := max(o.Accounts, 0) * 3 / 4
			return n, func() []*record { return t.records(generateOpportunities(n, o, d)) }
		}}
	t.columns = slices.Concat([]*column{
		keyCell("opportunityid", "OpportunityId", "Opportunity"),
		textCell("name", "Name", "Topic", 300),
		memo(textCell("description", "Description", "Description", 2000)),
		ownerCell(),
		lookupCell("parentaccountid", "ParentAccountId", "Account", "account"),
		lookupCell("parentcontactid", "ParentContactId", "Contact", "contact"),
		customerCell("customerid", "CustomerId", "Potential Customer"),
		currencyOf("estimatedvalue", "actualvalue"),
		textCell("stepname", "StepName", "Pipeline Phase", 200),
		choiceCell("salesstage", "SalesStage", "Sales Stage", labels(0, "Qualify", "Develop", "Propose", "Close")),
		choiceCell("opportunityratingcode", "OpportunityRatingCode", "Rating", labels(1, "Hot", "Warm", "Cold")),
		numberCell(kindInt, "closeprobability", "CloseProbability", "Probability"),
		numberCell(kindMoney, "estimatedvalue", "EstimatedValue", "Est. Revenue"),
		baseMoney("estimatedvalue_base", "EstimatedValue_Base", "Est. Revenue (Base)", "estimatedvalue"),
		dateCell("estimatedclosedate", "EstimatedCloseDate", "Est. Close Date"),
		numberCell(kindMoney, "actualvalue", "ActualValue", "Actual Revenue"),
		baseMoney("actualvalue_base", "ActualValue_Base", "Actual Revenue (Base)", "actualvalue"),
		dateCell("actualclosedate", "ActualCloseDate", "Actual Close Date"),
	}, stateCells(labels(0, "Open", "Won", "Lost"), opportunityStatus), systemCells(), []*column{
		custom(textCell("cb_externalref", "cb_ExternalRef", "External Reference", 100)),
	})
	return t.keepRows()
}

var (
	opportunityStatus = []option{{value: 1, label: "In Progress"}, {value: 2, label: "On Hold"},
		{value: 3, label: "Won", state: 1},
		{value: 4, label: "Canceled", state: 2}, {value: 5, label: "Out-Sold", state: 2}}
	pipeline = []string{"1-Qualify", "2-Develop", "3-Propose", "4-Close"}
)

func generateOpportunities(n int, o Options, d *directory) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		g := newPeople(o, d, 0x6f70_706f)
		for i := range n {
			if !yield(g.opportunity(i, o)) {
				return
			}
		}
	}
}

func (g *people) opportunity(i int, o Options) Row {
	r := Row{"opportunityid": rowID("opportunity", o.Seed, i).String(),
		"ownerid": g.owners[g.rng.IntN(len(g.owners))].String()}
	if r["name"] = g.one(adjectives) + " " + g.one(trades) +
		fmt.Sprintf(" %d", 2020+g.rng.IntN(7)); i < len(specialNames) {
		r["name"] = specialNames[i]
	}
	if !g.some(8) {
		r["parentaccountid"] = rowID("account", o.Seed, g.rng.IntN(o.Accounts)).String()
		r["customerid"] = r["parentaccountid"]
	}
	if g.some(60) && o.Contacts > 0 {
		r["parentcontactid"] = rowID("contact", o.Seed, g.rng.IntN(o.Contacts)).String()
		if r["customerid"] == nil {
			r["customerid"] = r["parentcontactid"]
		}
	}
	g.dates(r)
	stage := g.rng.IntN(len(pipeline))
	r["salesstage"] = stage
	if !g.some(10) {
		r["stepname"] = pipeline[stage]
	}
	if !g.some(15) {
		r["opportunityratingcode"] = 1 + g.rng.IntN(3)
	}
	if !g.some(10) {
		r["closeprobability"] = 5 * g.rng.IntN(21)
	}
	if !g.some(12) {
		r["estimatedvalue"] = (1000+g.rng.IntN(2_000_000))*10_000 + g.rng.IntN(100)*100
		r["estimatedclosedate"] = time.Date(2025, 1, 1+g.rng.IntN(900), 0, 0, 0, 0, time.UTC)
	}
	status := opportunityStatus[g.rng.IntN(len(opportunityStatus))]
	if g.some(40) {
		status = opportunityStatus[0]
	}
	r["statecode"], r["statuscode"] = status.state, status.value
	if status.state != 0 {
		r["actualclosedate"] = time.Date(2023, 1, 1+g.rng.IntN(900), 0, 0, 0, 0, time.UTC)
	}
	if status.state == 1 {
		r["actualvalue"] = (1000 + g.rng.IntN(2_000_000)) * 10_000
	}
	if !g.some(50) {
		r["cb_externalref"] = fmt.Sprintf("O/%06d", i)
	}
	return r
}

// opportunityWords are the texts that other tables do not have too.
var opportunityWords = translations{
	1031: {"Opportunity": "Verkaufschance", "Topic": "Thema", "Contact": "Kontakt",
		"Potential Customer": "Potenzieller Kunde", "Pipeline Phase": "Pipelinephase",
		"Sales Stage": "Vertriebsphase", "Rating": "Bewertung", "Probability": "Wahrscheinlichkeit",
		"Est. Revenue":    "Gesch. Umsatz",
		"Est. Close Date": "Gesch. Abschlussdatum", "Actual Revenue": "Tatsächlicher Umsatz",
		"Actual Close Date": "Tatsächliches Abschlussdatum",
		"Hot":               "Heiß", "Warm": "Warm", "Cold": "Kalt", "Open": "Offen", "Won": "Gewonnen", "Lost": "Verloren",
		"In Progress": "In Bearbeitung",
		"On Hold":     "Zurückgestellt", "Canceled": "Abgebrochen", "Out-Sold": "Ausverkauft", "Qualify": "Qualifizieren",
		"Develop": "Entwickeln",
		"Propose": "Vorschlagen", "Close": "Abschließen"},
	1036: {"Opportunity": "Opportunité", "Topic": "Sujet", "Contact": "Contact",
		"Potential Customer": "Client potentiel", "Pipeline Phase": "Phase du pipeline",
		"Sales Stage": "Étape de vente", "Rating": "Évaluation", "Probability": "Probabilité",
		"Est. Revenue":    "Chiffre d'affaires estimé",
		"Est. Close Date": "Date de conclusion estimée", "Actual Revenue": "Chiffre d'affaires réel",
		"Actual Close Date": "Date de conclusion réelle",
		"Hot":               "Chaud", "Warm": "Tiède", "Cold": "Froid", "Open": "Ouvert", "Won": "Gagné", "Lost": "Perdu",
		"In Progress": "En cours",
		"On Hold":     "En attente", "Canceled": "Annulé", "Out-Sold": "Vendu par un concurrent", "Qualify": "Qualifier",
		"Develop": "Développer",
		"Propose": "Proposer", "Close": "Conclure"},
}
