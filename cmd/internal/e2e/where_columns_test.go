package e2e

import (
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// oracleColumn is a column of account as messages/README.md#fields has it, and how
// to read it from the emulator's row.
type oracleColumn struct {
	names   []string // friendly and logical
	kind    string
	options map[int32]string
	get     func(*emulator.Account) oracleCell
	index   int
}

// operators are section 5's, by type.
var operators = map[string]string{
	messages.FieldText:        "eq ne in not_in contains not_contains starts_with ends_with is_null not_null",
	messages.FieldWholeNumber: "eq ne lt le gt ge between in not_in is_null not_null",
	messages.FieldDecimal:     "eq ne lt le gt ge between in not_in is_null not_null",
	messages.FieldMoney:       "eq ne lt le gt ge between in not_in is_null not_null",
	messages.FieldDateTime:    "eq ne lt le gt ge between is_null not_null",
	messages.FieldDate:        "eq ne lt le gt ge between is_null not_null",
	messages.FieldYesNo:       "eq ne is_null not_null",
	messages.FieldChoice:      "eq ne in not_in is_null not_null",
	messages.FieldChoices:     "contains_any contains_none eq is_null not_null",
	messages.FieldGUID:        "eq ne in not_in is_null not_null",
	messages.FieldLookup:      "eq ne in not_in is_null not_null",
}

func (c *oracleColumn) ops() []messages.Op {
	var ops []messages.Op
	for op := range strings.FieldsSeq(operators[c.kind]) {
		ops = append(ops, messages.Op(op))
	}
	return ops
}

type row = *emulator.Account

var oracleColumns = func() []*oracleColumn {
	columns := []*oracleColumn{
		textColumn("name", "name", func(a row) string { return a.Name }),
		textColumn("website", "websiteurl", func(a row) string { return a.Website }),
		textColumn("phone", "telephone1", func(a row) string { return a.Phone }),
		textColumn("email", "emailaddress1", func(a row) string { return a.Email }),
		textColumn("city", "address1_city", func(a row) string { return a.City }),
		textColumn("state", "address1_stateorprovince", func(a row) string { return a.State }),
		textColumn("country", "address1_country", func(a row) string { return a.Land }),
		textColumn("postal_code", "address1_postalcode", func(a row) string { return a.PostalCode }),
		textColumn("", "accountnumber", func(a row) string { return a.Number }),
		textColumn("", "description", func(a row) string { return a.Description }),
		textColumn("", "telephone2", func(row) string { return "" }), // no row has one
		textColumn("", "cb_externalref", func(a row) string { return a.ExternalRef }),
		choiceColumn("industry", "industrycode", optionsFrom(1, industryLabels...), func(a row) *int32 { return a.Industry }),
		choiceColumn("classification", "accountclassificationcode", optionsFrom(1, "Default Value", "Key Account", "Growth", "Long Tail"),
			func(a row) *int32 { return a.Classification }),
		choiceColumn("category", "accountcategorycode", optionsFrom(1, "Preferred Customer", "Standard"), func(a row) *int32 { return a.Category }),
		choiceColumn("relationship", "customertypecode", optionsFrom(1, "Competitor", "Consultant", "Customer", "Investor", "Partner", "Influencer",
			"Press", "Prospect", "Reseller", "Supplier", "Vendor", "Other"), func(a row) *int32 { return a.CustomerType }),
		choiceColumn("status", "statecode", optionsFrom(0, "Active", "Inactive"), func(a row) *int32 { return &a.StateCode }),
		choiceColumn("status_reason", "statuscode", optionsFrom(1, "Active", "Inactive"), func(a row) *int32 { return &a.StatusCode }),
		choiceColumn("", "cb_campaigntier", optionsFrom(100000000, "Platinum", "Gold", "Silver", "Bronze"), func(a row) *int32 { return a.Tier }),
		column(messages.FieldYesNo, "do_not_email", "donotemail", func(a row) oracleCell { return yesNo(a.DoNotEmail) }),
		column(messages.FieldYesNo, "do_not_bulk_email", "donotbulkemail", func(a row) oracleCell { return yesNo(a.DoNotBulkEmail) }),
		column(messages.FieldYesNo, "", "creditonhold", func(a row) oracleCell { return yesNo(a.CreditOnHold) }),
		column(messages.FieldWholeNumber, "employees", "numberofemployees", func(a row) oracleCell {
			if a.Employees == nil {
				return oracleCell{}
			}
			return oracleCell{has: true, at: exactly * 10_000 * int64(*a.Employees)}
		}),
		scaledColumn(messages.FieldMoney, "revenue", "revenue", func(a row) *int64 { return a.Revenue }),
		scaledColumn(messages.FieldMoney, "", "creditlimit", func(a row) *int64 { return a.CreditLimit }),
		scaledColumn(messages.FieldDecimal, "", "cb_leadscore", func(a row) *int64 { return a.LeadScore }),
		momentColumn(messages.FieldDateTime, "created_at", "createdon", func(a row) time.Time { return a.CreatedOn }),
		momentColumn(messages.FieldDateTime, "modified_at", "modifiedon", func(a row) time.Time { return a.ModifiedOn }),
		momentColumn(messages.FieldDate, "", "cb_lastcampaign", func(a row) time.Time { return a.LastCampaign }),
		idColumn(messages.FieldGUID, "id", "accountid", func(a row) string { return a.ID }),
		idColumn(messages.FieldLookup, "owner", "ownerid", func(a row) string { return a.OwnerID }),
		idColumn(messages.FieldLookup, "parent", "parentaccountid", func(a row) string { return a.ParentID }),
		idColumn(messages.FieldLookup, "", "primarycontactid", func(a row) string { return a.PrimaryContactID }),
	}
	channels := column(messages.FieldChoices, "", "cb_channels", nil)
	channels.options = optionsFrom(100000000, "Email", "Phone", "Trade Fair", "Webinar", "Postal Mail")
	channels.get = func(a row) oracleCell {
		cell := oracleCell{has: len(a.Channels) > 0}
		for _, value := range a.Channels {
			cell.at |= channels.bit(value)
		}
		return cell
	}
	columns = append(columns, channels)
	for i, c := range columns {
		c.index = i
	}
	return columns
}()

func column(kind, friendly, logical string, get func(row) oracleCell) *oracleColumn {
	c := &oracleColumn{names: []string{logical}, kind: kind, get: get}
	if friendly != "" && friendly != logical {
		c.names = []string{friendly, logical}
	}
	return c
}

func textColumn(friendly, logical string, get func(row) string) *oracleColumn {
	return idColumn(messages.FieldText, friendly, logical, get)
}

func idColumn(kind, friendly, logical string, get func(row) string) *oracleColumn {
	return column(kind, friendly, logical, func(a row) oracleCell { s := get(a); return oracleCell{has: s != "", raw: s} })
}

func scaledColumn(kind, friendly, logical string, get func(row) *int64) *oracleColumn {
	return column(kind, friendly, logical, func(a row) oracleCell {
		if n := get(a); n != nil {
			return oracleCell{has: true, at: exactly * *n}
		}
		return oracleCell{}
	})
}

func momentColumn(kind, friendly, logical string, get func(row) time.Time) *oracleColumn {
	return column(kind, friendly, logical, func(a row) oracleCell {
		t := get(a)
		return oracleCell{has: !t.IsZero(), at: exactly * t.Unix()}
	})
}

func choiceColumn(friendly, logical string, options map[int32]string, get func(row) *int32) *oracleColumn {
	c := column(messages.FieldChoice, friendly, logical, func(a row) oracleCell {
		if n := get(a); n != nil {
			return oracleCell{has: true, at: exactly * int64(*n)}
		}
		return oracleCell{}
	})
	c.options = options
	return c
}

func yesNo(yes bool) oracleCell {
	if yes {
		return oracleCell{has: true, at: exactly}
	}
	return oracleCell{has: true}
}

func optionsFrom(first int32, labels ...string) map[int32]string {
	options := map[int32]string{}
	for i, label := range labels {
		options[first+int32(i)] = label
	}
	return options
}

var industryLabels = []string{"Accounting", "Agriculture and Non-petrol Natural Resource Extraction", "Broadcasting Printing and Publishing",
	"Brokers", "Building Supply Retail", "Business Services", "Consulting", "Consumer Services", "Design, Direction and Creative Management",
	"Distributors, Dispatchers and Processors", "Doctor's Offices and Clinics", "Durable Manufacturing", "Eating and Drinking Places",
	"Entertainment Retail", "Equipment Rental and Leasing", "Financial", "Food and Tobacco Processing",
	"Inbound Capital Intensive Processing", "Inbound Repair and Services", "Insurance", "Legal Services", "Non-Durable Merchandise Retail",
	"Outbound Consumer Service", "Petrochemical Extraction and Distribution", "Service Retail", "SIG Affiliations", "Social Services",
	"Special Outbound Trade Contractors", "Specialty Realty", "Transportation", "Utility Creation and Distribution", "Vehicle Retail", "Wholesale"}
