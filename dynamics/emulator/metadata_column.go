package emulator

// managed is a managed property: a value, and whether a solution's customer may change it.
func managed(value any, name string) object {
	return object{{"Value", value}, {"CanBeChanged", true}, {"ManagedPropertyLogicalName", name}}
}

// readOnly are the columns that nobody can write.
func (c *column) readOnly() bool {
	switch c.name {
	case "createdon", "modifiedon", "versionnumber", "address1_composite", "fullname":
		return true
	}
	return c.kind == kindGUID || c.base
}

// metadataID is the MetadataId of a column.
func metadataID(entity, attribute string) guid { return namedGUID("metadata", entity, attribute) }

// describeColumn is a column's metadata with every member that its type has, in the order of
// Microsoft's answers as far as that is known. Values that nothing here depends on (ColumnNumber,
// IntroducedVersion and the like) are made up.
func (x *call) describeColumn(t *table, c *column) object {
	odata, attribute, name := c.attributeType()
	required := "None"
	if c.name == t.key {
		required = "SystemRequired"
	} else if c.name == t.primary {
		required = "ApplicationRequired"
	}
	number := 0
	for i, col := range t.columns {
		if col == c {
			number = i + 1
		}
	}
	o := object{
		{"@odata.type", "#Microsoft.Dynamics.CRM." + odata},
		{"MetadataId", metadataID(t.logical, c.name).String()}, {"HasChanged", nil}, {"AttributeOf", nil},
		{"AttributeType", attribute},
		{"ColumnNumber", number}, {"DeprecatedVersion", nil}, {"IntroducedVersion", "5.0.0.0"},
		{"EntityLogicalName", t.logical},
		{"IsCustomAttribute", c.custom}, {"IsPrimaryId", c.name == t.key}, {"IsValidODataAttribute", !c.sdkOnly},
		{"IsPrimaryName", c.name == t.primary},
		{"IsValidForCreate", !c.readOnly()}, {"IsValidForRead", true}, {"IsValidForUpdate", !c.readOnly()},
		{"CanBeSecuredForRead", t.securable(c)},
		{"CanBeSecuredForCreate", t.securable(c)}, {"CanBeSecuredForUpdate", t.securable(c)}, {"IsSecured", c.secured},
		{"IsRetrievable", true}, {"IsFilterable", false},
		{"IsSearchable", c.kind.textual()}, {"IsManaged", !c.custom}, {"LinkedAttributeId", nil}, {"LogicalName", c.name},
		{"IsValidForForm", true},
		{"IsRequiredForForm", false}, {"IsValidForGrid", true}, {"SchemaName", c.schema}, {"ExternalName", nil},
		{"IsLogical", false},
		{"IsDataSourceSecret", false}, {"InheritsFrom", nil}, {"CreatedOn", "1900-01-01T00:00:00Z"},
		{"ModifiedOn", "1900-01-01T00:00:00Z"}, {"SourceType", 0},
		{"AutoNumberFormat", ""}, {"AttributeTypeName", object{{"Value", name}}}, {"Description", x.label(words{})},
		{"DisplayName", x.label(c.words())},
		{"IsAuditEnabled", managed(true, "canmodifyauditsettings")},
		{"IsGlobalFilterEnabled", managed(false, "canmodifyglobalfiltersettings")},
		{"IsSortableEnabled", managed(false, "canmodifyissortablesettings")},
		{"IsCustomizable", managed(true, "iscustomizable")},
		{"IsRenameable", managed(true, "isrenameable")},
		{"IsValidForAdvancedFind", managed(c.kind != kindBigInt && !c.sdkOnly, "canmodifysearchsettings")},
		{"RequiredLevel", managed(required, "canmodifyrequirementlevelsettings")},
		{"CanModifyAdditionalSettings", managed(true, "canmodifyadditionalsettings")},
		{"Settings", []object{}},
	}
	return append(o, c.ofType()...)
}

// ofType are the members that only the column's type has.
func (c *column) ofType() object {
	switch c.kind {
	case kindText:
		return object{{"Format", "Text"}, {"FormatName", object{{"Value", "Text"}}}, {"ImeMode", "Auto"},
			{"IsLocalizable", false}, {"MaxLength", c.length},
			{"YomiOf", nil}, {"FormulaDefinition", ""}, {"SourceTypeMask", 0}, {"DatabaseLength", 2 * c.length}}
	case kindMemo:
		return object{{"Format", "TextArea"}, {"FormatName", object{{"Value", "TextArea"}}}, {"ImeMode", "Auto"},
			{"IsLocalizable", false}, {"MaxLength", c.length}}
	case kindInt:
		return object{{"Format", "None"}, {"MinValue", -1 << 31}, {"MaxValue", 1<<31 - 1}, {"FormulaDefinition", ""},
			{"SourceTypeMask", 0}}
	case kindBigInt:
		return object{{"MinValue", int64(-1 << 63)}, {"MaxValue", int64(1<<63 - 1)}}
	case kindMoney:
		return object{{"CalculationOf", nil}, {"ImeMode", "Disabled"}, {"IsBaseCurrency", c.base}, {"MinValue", 0},
			{"MaxValue", 100000000000000}, {"Precision", 2}, {"PrecisionSource", 2}}
	case kindDecimal:
		return object{{"ImeMode", "Disabled"}, {"MinValue", -100000000000}, {"MaxValue", 100000000000}, {"Precision", 4},
			{"FormulaDefinition", ""}, {"SourceTypeMask", 0}}
	case kindDateTime, kindDate:
		format, behavior := "DateAndTime", "UserLocal"
		if c.kind == kindDate {
			format, behavior = "DateOnly", "DateOnly"
		}
		return object{{"Format", format}, {"ImeMode", "Auto"}, {"MinSupportedValue", "1753-01-01T00:00:00Z"},
			{"MaxSupportedValue", "9999-12-30T23:59:59Z"},
			{"CanChangeDateTimeBehavior", managed(false, "canmodifydatetimebehavior")},
			{"DateTimeBehavior", object{{"Value", behavior}}}}
	case kindBool:
		return object{{"DefaultValue", false}, {"FormulaDefinition", ""}, {"SourceTypeMask", 0}}
	case kindChoice, kindState, kindStatus, kindChoices:
		return object{{"DefaultFormValue", -1}, {"FormulaDefinition", nil}, {"SourceTypeMask", nil},
			{"ParentPicklistLogicalName", nil}, {"ChildPicklistLogicalNames", []string{}}}
	case kindLookup:
		return object{{"Targets", c.targets}, {"Format", "None"}}
	}
	return nil
}
