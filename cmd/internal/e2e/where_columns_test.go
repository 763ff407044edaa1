package e2e

import (
	"fmt"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// oracleColumn is a column of a table as messages/README.md#fields has it, and how
// to read it from the emulator's row.
type oracleColumn struct {
	names   []string // friendly and logical
	logical string
	kind    string
	options map[int32]string
	// values are options that random rows get; empty means all.
	values []int32
	// value is what Dataverse computes from other columns; nil is a column of its own.
	value func(emulator.Row) any
	index int
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

func accountColumns() []*oracleColumn {
	return numbered([]*oracleColumn{
		column(messages.FieldText, "name", "name"),
		column(messages.FieldText, "website", "websiteurl"),
		column(messages.FieldText, "phone", "telephone1"),
		column(messages.FieldText, "email", "emailaddress1"),
		column(messages.FieldText, "city", "address1_city"),
		column(messages.FieldText, "state", "address1_stateorprovince"),
		column(messages.FieldText, "country", "address1_country"),
		column(messages.FieldText, "postal_code", "address1_postalcode"),
		column(messages.FieldText, "", "accountnumber"),
		column(messages.FieldText, "", "description"),
		empty(column(messages.FieldText, "", "telephone2")),
		column(messages.FieldText, "", "cb_externalref"),
		choiceColumn("industry", "industrycode", optionsFrom(1, industryLabels...), 1, 33, 11),
		choiceColumn("classification", "accountclassificationcode", optionsFrom(1, "Default Value", "Key Account", "Growth", "Long Tail"), 1, 4),
		choiceColumn("category", "accountcategorycode", optionsFrom(1, "Preferred Customer", "Standard")),
		choiceColumn("relationship", "customertypecode", optionsFrom(1, "Competitor", "Consultant", "Customer", "Investor", "Partner", "Influencer",
			"Press", "Prospect", "Reseller", "Supplier", "Vendor", "Other"), 1, 12),
		choiceColumn("status", "statecode", optionsFrom(0, "Active", "Inactive")),
		choiceColumn("status_reason", "statuscode", optionsFrom(1, "Active", "Inactive")),
		choiceColumn("", "cb_campaigntier", optionsFrom(100000000, "Platinum", "Gold", "Silver", "Bronze"), 100000000, 100000003),
		column(messages.FieldYesNo, "do_not_email", "donotemail"),
		column(messages.FieldYesNo, "do_not_bulk_email", "donotbulkemail"),
		column(messages.FieldYesNo, "", "creditonhold"),
		column(messages.FieldYesNo, "merged", "merged"),
		column(messages.FieldWholeNumber, "employees", "numberofemployees"),
		column(messages.FieldMoney, "revenue", "revenue"),
		computed(column(messages.FieldMoney, "revenue_base", "revenue_base"), sameAs("revenue")),
		column(messages.FieldMoney, "", "creditlimit"),
		column(messages.FieldDecimal, "", "cb_leadscore"),
		column(messages.FieldDateTime, "created_at", "createdon"),
		column(messages.FieldDateTime, "modified_at", "modifiedon"),
		column(messages.FieldDate, "", "cb_lastcampaign"),
		column(messages.FieldGUID, "id", "accountid"),
		column(messages.FieldLookup, "owner", "ownerid"),
		column(messages.FieldLookup, "parent", "parentaccountid"),
		column(messages.FieldLookup, "", "primarycontactid"),
		column(messages.FieldLookup, "merged_into", "masterid"),
		choicesColumn("cb_channels", optionsFrom(100000000, "Email", "Phone", "Trade Fair", "Webinar", "Postal Mail")),
	})
}

// contactColumns: the account of a contact is an account or another contact.
func contactColumns() []*oracleColumn {
	return numbered(append(personColumns("contactid"),
		column(messages.FieldText, "postal_code", "address1_postalcode"),
		column(messages.FieldText, "department", "department"),
		column(messages.FieldText, "", "salutation"),
		column(messages.FieldText, "", "cb_externalref"),
		choiceColumn("status", "statecode", optionsFrom(0, "Active", "Inactive")),
		choiceColumn("status_reason", "statuscode", optionsFrom(1, "Active", "Inactive")),
		choiceColumn("", "accountrolecode", optionsFrom(1, "Decision Maker", "Employee", "Influencer")),
		choiceColumn("", "gendercode", optionsFrom(1, "Male", "Female")),
		choiceColumn("", "familystatuscode", optionsFrom(1, "Single", "Married", "Divorced", "Widowed")),
		choiceColumn("", "preferredcontactmethodcode", optionsFrom(1, "Any", "Email", "Phone", "Fax", "Mail"), 1, 5),
		choiceColumn("", "cb_persona", optionsFrom(100000000, "Buyer", "Technician", "Executive", "Assistant"), 100000000, 100000003),
		column(messages.FieldMoney, "", "annualincome"),
		computed(column(messages.FieldMoney, "", "annualincome_base"), sameAs("annualincome")),
		column(messages.FieldDecimal, "", "cb_engagement"),
		column(messages.FieldDate, "", "birthdate"),
		column(messages.FieldDate, "", "cb_lastcampaign"),
		column(messages.FieldLookup, "account", "parentcustomerid"),
		column(messages.FieldLookup, "currency", "transactioncurrencyid"),
		choicesColumn("cb_interests", optionsFrom(100000000, "Products", "Events", "Training", "Newsletter", "Partnership")),
	))
}

func leadColumns() []*oracleColumn {
	return numbered(append(personColumns("leadid"),
		column(messages.FieldText, "company", "companyname"),
		column(messages.FieldText, "website", "websiteurl"),
		column(messages.FieldText, "", "subject"),
		choiceColumn("industry", "industrycode", optionsFrom(1, industryLabels...), 1, 33, 11),
		choiceColumn("rating", "leadqualitycode", optionsFrom(1, "Hot", "Warm", "Cold")),
		choiceColumn("source", "leadsourcecode", optionsFrom(1, "Advertisement", "Employee Referral", "External Referral", "Partner",
			"Public Relations", "Seminar", "Trade Show", "Web", "Word of Mouth", "Other"), 1, 10),
		choiceColumn("status", "statecode", optionsFrom(0, "Open", "Qualified", "Disqualified")),
		choiceColumn("status_reason", "statuscode", optionsFrom(1, "New", "Contacted", "Qualified", "Lost", "Cannot Contact",
			"No Longer Interested", "Canceled")),
		column(messages.FieldWholeNumber, "employees", "numberofemployees"),
		column(messages.FieldMoney, "revenue", "revenue"),
		computed(column(messages.FieldMoney, "revenue_base", "revenue_base"), sameAs("revenue")),
		column(messages.FieldMoney, "", "budgetamount"),
		column(messages.FieldDecimal, "", "cb_leadscore"),
		column(messages.FieldLookup, "account", "parentaccountid"),
		column(messages.FieldLookup, "contact", "parentcontactid"),
		choicesColumn("cb_interests", optionsFrom(100000000, "Products", "Events", "Training", "Newsletter", "Partnership")),
	))
}

// personColumns are those that contacts and leads have alike.
func personColumns(key string) []*oracleColumn {
	return []*oracleColumn{
		computed(column(messages.FieldText, "name", "fullname"), fullName),
		column(messages.FieldText, "first_name", "firstname"),
		column(messages.FieldText, "last_name", "lastname"),
		column(messages.FieldText, "email", "emailaddress1"),
		column(messages.FieldText, "phone", "telephone1"),
		column(messages.FieldText, "mobile", "mobilephone"),
		column(messages.FieldText, "job_title", "jobtitle"),
		column(messages.FieldText, "city", "address1_city"),
		column(messages.FieldText, "state", "address1_stateorprovince"),
		column(messages.FieldText, "country", "address1_country"),
		column(messages.FieldText, "", "description"),
		column(messages.FieldYesNo, "do_not_email", "donotemail"),
		column(messages.FieldYesNo, "do_not_bulk_email", "donotbulkemail"),
		column(messages.FieldYesNo, "", "donotphone"),
		column(messages.FieldYesNo, "merged", "merged"),
		column(messages.FieldDateTime, "created_at", "createdon"),
		column(messages.FieldDateTime, "modified_at", "modifiedon"),
		column(messages.FieldGUID, "id", key),
		column(messages.FieldLookup, "owner", "ownerid"),
		column(messages.FieldLookup, "merged_into", "masterid"),
	}
}

func column(kind, friendly, logical string) *oracleColumn {
	c := &oracleColumn{names: []string{logical}, logical: logical, kind: kind}
	if friendly != "" && friendly != logical {
		c.names = []string{friendly, logical}
	}
	return c
}

// choiceColumn: values are the options that random rows get, or all of them.
func choiceColumn(friendly, logical string, options map[int32]string, values ...int32) *oracleColumn {
	c := column(messages.FieldChoice, friendly, logical)
	c.options, c.values = options, values
	return c
}

func choicesColumn(logical string, options map[int32]string) *oracleColumn {
	c := column(messages.FieldChoices, "", logical)
	c.options = options
	return c
}

func computed(c *oracleColumn, value func(emulator.Row) any) *oracleColumn {
	c.value = value
	return c
}

// empty is a column without a value in any row.
func empty(c *oracleColumn) *oracleColumn {
	return computed(c, func(emulator.Row) any { return nil })
}

// sameAs: money in the organization's currency, which is every row's here.
func sameAs(logical string) func(emulator.Row) any {
	return func(row emulator.Row) any { return row[logical] }
}

// fullName is the name as Dataverse puts it together.
func fullName(row emulator.Row) any {
	var parts []string
	for _, name := range []string{"firstname", "lastname"} {
		if text, _ := row[name].(string); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " ")
}

// get reads the column's cell.
func (c *oracleColumn) get(row emulator.Row) oracleCell {
	value := row[c.logical]
	if c.value != nil {
		value = c.value(row)
	}
	switch x := value.(type) {
	case string:
		return oracleCell{has: x != "", raw: x}
	case bool:
		if x {
			return oracleCell{has: true, at: exactly}
		}
		return oracleCell{has: true}
	case int:
		at := int64(x)
		if c.kind == messages.FieldWholeNumber {
			at *= 10_000
		}
		return oracleCell{has: true, at: exactly * at}
	case time.Time:
		return oracleCell{has: !x.IsZero(), at: exactly * x.Unix()}
	case []int32:
		cell := oracleCell{has: len(x) > 0}
		for _, option := range x {
			cell.at |= c.bit(option)
		}
		return cell
	case nil:
		return oracleCell{}
	}
	panic(fmt.Sprintf("%s: a row of the emulator's has %v (%T)", c.logical, value, value))
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
