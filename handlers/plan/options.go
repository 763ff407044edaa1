package plan

import (
	"maps"
	"slices"

	"github.com/crmbridge/crmbridge/dynamics"
)

// standardOptions are the options that Microsoft ships for the choice columns of
// messages/README.md#fields, in English:
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/account.
// Environments may relabel, add and remove options, so metadata goes before them.
func standardOptions() map[string]dynamics.OptionSet {
	sets := map[string]map[int]string{
		"accountclassificationcode": {1: "Default Value"},
		"accountcategorycode":       {1: "Preferred Customer", 2: "Standard"},
		"statecode":                 {0: "Active", 1: "Inactive"},
		"statuscode":                {1: "Active", 2: "Inactive"},
		"customertypecode": {
			1: "Competitor", 2: "Consultant", 3: "Customer", 4: "Investor", 5: "Partner", 6: "Influencer",
			7: "Press", 8: "Prospect", 9: "Reseller", 10: "Supplier", 11: "Vendor", 12: "Other",
		},
		"industrycode": {
			1: "Accounting", 2: "Agriculture and Non-petrol Natural Resource Extraction",
			3: "Broadcasting Printing and Publishing", 4: "Brokers", 5: "Building Supply Retail", 6: "Business Services",
			7: "Consulting", 8: "Consumer Services", 9: "Design, Direction and Creative Management",
			10: "Distributors, Dispatchers and Processors", 11: "Doctor's Offices and Clinics", 12: "Durable Manufacturing",
			13: "Eating and Drinking Places", 14: "Entertainment Retail", 15: "Equipment Rental and Leasing", 16: "Financial",
			17: "Food and Tobacco Processing", 18: "Inbound Capital Intensive Processing", 19: "Inbound Repair and Services",
			20: "Insurance", 21: "Legal Services", 22: "Non-Durable Merchandise Retail", 23: "Outbound Consumer Service",
			24: "Petrochemical Extraction and Distribution", 25: "Service Retail", 26: "SIG Affiliations", 27: "Social Services",
			28: "Special Outbound Trade Contractors", 29: "Specialty Realty", 30: "Transportation",
			31: "Utility Creation and Distribution", 32: "Vehicle Retail", 33: "Wholesale",
		},
	}
	out := make(map[string]dynamics.OptionSet, len(sets))
	for name, labels := range sets {
		set := dynamics.OptionSet{Count: len(labels)}
		for _, value := range slices.Sorted(maps.Keys(labels)) {
			set.Options = append(set.Options, dynamics.Option{Value: value, Label: labels[value]})
		}
		out[name] = set
	}
	return out
}
