package emulator

// Constructors of the columns of tables whose rows are records. Where a column's cell is, [table.index] decides.

func textCell(name, schema, label string, length int) *column {
	return &column{name: name, schema: schema, label: label, kind: kindText, length: length}
}

func keyCell(name, schema, label string) *column {
	return &column{name: name, schema: schema, label: label, kind: kindGUID}
}

// lookupCell refers to rows of the target tables, by their logical names.
func lookupCell(name, schema, label string, targets ...string) *column {
	return &column{name: name, schema: schema, label: label, kind: kindLookup, targets: targets}
}

// ownerCell is the column of whom a row belongs to.
func ownerCell() *column { return lookupCell("ownerid", "OwnerId", "Owner", "systemuser", "team") }

// customerCell is a lookup of accounts and contacts, with a navigation property for each.
func customerCell(name, schema, label string) *column {
	c := lookupCell(name, schema, label, "account", "contact")
	c.customer = true
	return c
}

func numberCell(k kind, name, schema, label string) *column {
	return &column{name: name, schema: schema, label: label, kind: k}
}

func choiceCell(name, schema, label string, options []option) *column {
	return &column{name: name, schema: schema, label: label, kind: kindChoice, options: options}
}

func choicesCell(name, schema, label string, options []option) *column {
	return &column{name: name, schema: schema, label: label, kind: kindChoices, options: options}
}

// stateCells are the columns of whether a row is active and why; the first status of a state is its default.
func stateCells(states, status []option) []*column {
	return []*column{
		{name: "statecode", schema: "StateCode", label: "Status", kind: kindState, options: states},
		{name: "statuscode", schema: "StatusCode", label: "Status Reason", kind: kindStatus, options: status},
	}
}

func yesNoCell(name, schema, label, no, yes string) *column {
	return &column{name: name, schema: schema, label: label, kind: kindBool,
		options: []option{{value: 0, label: no}, {value: 1, label: yes}}}
}

func momentCell(name, schema, label string) *column {
	return &column{name: name, schema: schema, label: label, kind: kindDateTime}
}

func dateCell(name, schema, label string) *column {
	return &column{name: name, schema: schema, label: label, kind: kindDate}
}

// systemCells are those that the store fills.
func systemCells() []*column {
	return []*column{
		momentCell("createdon", "CreatedOn", "Created On"),
		momentCell("modifiedon", "ModifiedOn", "Modified On"),
		{name: "versionnumber", schema: "VersionNumber", label: "Version Number", kind: kindBigInt,
			get: func(_ *snapshot, r any) value { return value{ok: true, n: r.(*record).version} }},
	}
}

// mergeCells tell whether a row was merged into another one of its table.
func mergeCells(logical string) []*column {
	return []*column{yesNoCell("merged", "Merged", "Merged", "No", "Yes"),
		lookupCell("masterid", "MasterId", "Master ID", logical)}
}

// computed is a column that has no cell: its value follows from those of other columns. Rows cannot be given one.
func computed(c *column, from func(in inputs) value, inputs ...string) *column {
	c.compute, c.inputs = from, inputs
	return c
}

// addressCells are the parts of address 1, and the whole as one text.
func addressCells() []*column {
	whole := memo(textCell("address1_composite", "Address1_Composite", "Address 1", 1000))
	return []*column{
		textCell("address1_line1", "Address1_Line1", "Address 1: Street 1", 250),
		textCell("address1_city", "Address1_City", "Address 1: City", 80),
		textCell("address1_stateorprovince", "Address1_StateOrProvince", "Address 1: State/Province", 50),
		textCell("address1_postalcode", "Address1_PostalCode", "Address 1: ZIP/Postal Code", 20),
		textCell("address1_country", "Address1_Country", "Address 1: Country/Region", 80),
		computed(whole, composite, "address1_line1", "address1_city", "address1_stateorprovince", "address1_postalcode",
			"address1_country"),
	}
}

// baseMoney is money in the organization's currency, which is the only one here.
func baseMoney(name, schema, label, of string) *column {
	c := numberCell(kindMoney, name, schema, label)
	c.base = true
	return computed(c, func(in inputs) value { return in.at(0) }, of)
}

// currencyOf is the lookup of a row's currency: there where one of the columns of money has a value.
func currencyOf(money ...string) *column {
	return computed(lookupCell("transactioncurrencyid", "TransactionCurrencyId", "Currency", "transactioncurrency"),
		func(in inputs) value {
			for i := range money {
				if in.at(i).ok {
					return value{ok: true, id: currencyID}
				}
			}
			return value{}
		}, money...)
}
