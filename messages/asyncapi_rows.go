package messages

// A row's columns that the table has a name for have the same type in every environment; other
// columns may stand beside them, under Dataverse's names. Only the document says so, and not the
// schemas in the metadata of endpoints, which $SRV.INFO sends with each answer.

// shareRows makes the schemas of rows and of their values that are objects.
func (d *asyncAPI) shareRows() {
	text := object{"type": "string"}
	orNull := object{"type": []any{"string", "null"}}
	d.schemas["Choice"] = object{"title": "Choice", "type": "object", "required": []any{"value", "label"},
		"description": "an option of a choice column; the label is in the language of the user who connected",
		"properties":  object{"value": object{"type": "integer"}, "label": text}}
	d.schemas["Lookup"] = object{"title": "Lookup", "type": "object", "required": []any{"id", "name", "entity"},
		"description": "another row: its id, its name and its table as Dataverse calls it",
		"properties":  object{"id": text, "name": orNull, "entity": orNull}}
	other, _ := plain(anyValue()) // of a value that can be written
	for _, table := range d.tables {
		properties := object{}
		for _, field := range table.Fields {
			properties[field.Name] = ofColumn(field.Type)
		}
		d.schemas[table.rowName()] = object{"title": titleOf(table.rowName()), "type": "object", "properties": properties,
			"additionalProperties": other,
			"description":          "the requested fields of one row, under the names they were asked by"}
	}
}

// rowName is the name of the schema of the table's rows: AccountsRow.
func (t Table) rowName() string { return titleWords(t.Name) + "Row" }

// ofColumn is the schema of a column's values: each may be empty.
func ofColumn(of string) object {
	nullable := func(kind string) object { return object{"type": []any{kind, "null"}} }
	orNull := func(some object) object { return object{"oneOf": []any{some, object{"type": "null"}}} }
	switch of {
	case FieldWholeNumber:
		return nullable("integer")
	case FieldDecimal, FieldMoney:
		return nullable("number")
	case FieldYesNo:
		return nullable("boolean")
	case FieldChoice:
		return orNull(ref("components", "schemas", "Choice"))
	case FieldChoices:
		return orNull(object{"type": "array", "items": ref("components", "schemas", "Choice")})
	case FieldLookup:
		return orNull(ref("components", "schemas", "Lookup"))
	}
	return nullable("string")
}

// withRows has the rows of a table's reply be of its rows' schema.
func (d *asyncAPI) withRows(form object, table *Table) {
	properties, _ := form["properties"].(object)
	if rows, _ := properties[table.Name].(object); rows["items"] != nil {
		rows["items"] = ref("components", "schemas", table.rowName())
	}
	if row, _ := properties[table.One].(object); row["additionalProperties"] != nil {
		properties[table.One] = ref("components", "schemas", table.rowName())
	}
}
