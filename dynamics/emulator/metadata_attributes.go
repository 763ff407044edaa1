package emulator

import (
	"slices"
	"strings"
)

// attributeType are the three names that metadata has for a column's type.
func (c *column) attributeType() (odata, attribute, name string) {
	switch c.kind {
	case kindGUID:
		return "UniqueIdentifierAttributeMetadata", "Uniqueidentifier", "UniqueidentifierType"
	case kindText:
		return "StringAttributeMetadata", "String", "StringType"
	case kindMemo:
		return "MemoAttributeMetadata", "Memo", "MemoType"
	case kindInt:
		return "IntegerAttributeMetadata", "Integer", "IntegerType"
	case kindBigInt:
		return "BigIntAttributeMetadata", "BigInt", "BigIntType"
	case kindMoney:
		return "MoneyAttributeMetadata", "Money", "MoneyType"
	case kindDecimal:
		return "DecimalAttributeMetadata", "Decimal", "DecimalType"
	case kindDateTime, kindDate:
		return "DateTimeAttributeMetadata", "DateTime", "DateTimeType"
	case kindBool:
		return "BooleanAttributeMetadata", "Boolean", "BooleanType"
	case kindChoice:
		return "PicklistAttributeMetadata", "Picklist", "PicklistType"
	case kindState:
		return "StateAttributeMetadata", "State", "StateType"
	case kindStatus:
		return "StatusAttributeMetadata", "Status", "StatusType"
	case kindChoices:
		return "MultiSelectPicklistAttributeMetadata", "Virtual", "MultiSelectPicklistType"
	}
	if c.name == "ownerid" {
		return "LookupAttributeMetadata", "Owner", "OwnerType"
	}
	if c.customer {
		return "LookupAttributeMetadata", "Customer", "CustomerType"
	}
	return "LookupAttributeMetadata", "Lookup", "LookupType"
}

// attributes answers …/Attributes[(LogicalName='x')][/Microsoft.Dynamics.CRM.Cast].
func (c *call) attributes(t *table, path []segment, o options) (*answer, *fault) {
	cols, cast := t.columns, ""
	one := path[0].hasKey
	if one {
		i, fail := t.attributeAt(path[0].key)
		if fail != nil {
			return nil, fail
		}
		cols = cols[i : i+1]
	}
	if len(path) > 2 {
		return nil, noSegment(path[2].name)
	}
	if len(path) == 2 {
		var fail *fault
		if cols, cast, fail = castTo(cols, path[1].name, one); fail != nil {
			return nil, fail
		}
	}
	if text, ok := o.get("$filter"); ok {
		if one {
			return nil, badRequest("The query parameter $filter is not supported")
		}
		var fail *fault
		if cols, fail = c.filtered(t, cols, cast, text); fail != nil {
			return nil, fail
		}
	}
	return c.writeAttributes(t, cols, cast, one, o)
}

// attributeAt finds a column by LogicalName='x' or by its MetadataId.
func (t *table) attributeAt(key string) (int, *fault) {
	m := logicalKey.FindStringSubmatch(key)
	id, isGUID := parseGUID(key)
	if m == nil && !isGUID {
		return 0, badRequest("Error in query syntax.")
	}
	i := slices.IndexFunc(t.columns, func(x *column) bool {
		return m != nil && x.name == m[1] || isGUID && namedGUID("metadata", t.logical, x.name) == id
	})
	if i < 0 && m != nil {
		return 0, &fault{status: 404, code: codeNotExist, message: "Could not find an attribute with specified name " +
			m[1] + " for the entity " + t.logical + "."}
	}
	if i < 0 {
		return 0, &fault{status: 404, code: codeNotExist, message: "Could not find an attribute with specified id " +
			id.String() + "."}
	}
	return i, nil
}

// filtered leaves the columns that the filter holds for. Only the members that all columns have can
// be named, unless there is a cast.
func (c *call) filtered(t *table, cols []*column, cast, text string) ([]*column, *fault) {
	example, typeName := c.anyColumn(t), "AttributeMetadata"
	if cast != "" && len(cols) > 0 {
		example, typeName = c.describeColumn(t, cols[0]), cast
	}
	test, fail := metadataFilter(text, example, typeName)
	if fail != nil {
		return nil, fail
	}
	return slices.DeleteFunc(slices.Clone(cols), func(x *column) bool { return !test(c.describeColumn(t, x)) }), nil
}

// anyColumn has the members that all columns have.
func (c *call) anyColumn(t *table) object {
	o := c.describeColumn(t, t.columns[0])
	return o[:len(o)-len(t.columns[0].ofType())]
}

func castTo(cols []*column, name string, one bool) ([]*column, string, *fault) {
	cast, ok := strings.CutPrefix(name, crm)
	if !ok {
		return nil, "", noSegment(name)
	}
	if cast == "EnumAttributeMetadata" {
		return nil, "", badRequest("The type '%s' is not supported; cast to the type of the column.", name)
	}
	castable := []string{"PicklistAttributeMetadata", "StateAttributeMetadata", "StatusAttributeMetadata",
		"MultiSelectPicklistAttributeMetadata",
		"BooleanAttributeMetadata", "StringAttributeMetadata", "MemoAttributeMetadata", "IntegerAttributeMetadata",
		"BigIntAttributeMetadata",
		"MoneyAttributeMetadata", "DecimalAttributeMetadata", "DateTimeAttributeMetadata", "LookupAttributeMetadata",
		"UniqueIdentifierAttributeMetadata"}
	if !slices.Contains(castable, cast) {
		return nil, "", noSegment(name)
	}
	var out []*column
	for _, c := range cols {
		if odata, _, _ := c.attributeType(); odata == cast {
			out = append(out, c)
		}
	}
	if one && len(out) == 0 {
		return nil, "", &fault{status: 404, code: codeNotExist, message: "The attribute is not of the type " + name + "."}
	}
	return out, cast, nil
}

func (c *call) writeAttributes(t *table, cols []*column, cast string, one bool, o options) (*answer, *fault) {
	sel, _ := o.get("$select")
	expand, expanded := o.get("$expand")
	rows, list := []object{}, ""
	if cast == "" { // what only some types have takes a cast
		if _, _, fail := narrow(c.anyColumn(t), sel, "AttributeMetadata"); fail != nil {
			return nil, fail
		}
	}
	for _, col := range cols {
		body := c.describeColumn(t, col)
		typeName := strings.TrimPrefix(body[0].value.(string), "#"+crm)
		if cast != "" {
			body = body[1:] // the type is in the context
		}
		var keep []string
		if expanded {
			for _, item := range splitTop(expand, ',') {
				name, rest, _ := strings.Cut(strings.TrimSpace(item), "(")
				if name != "OptionSet" && name != "GlobalOptionSet" || cast == "" || len(col.options) == 0 {
					return nil, badRequest("Could not find a property named '%s' on type '%s%s'.", name, crm, typeName)
				}
				value := any(nil) // one of the two is null: "Retrieve table definitions by name or MetadataId"
				if (name == "GlobalOptionSet") == col.global {
					value = c.optionSet(t, col, strings.TrimSuffix(rest, ")"))
				}
				body = append(body, member{name, value})
				keep = append(keep, name)
			}
		}
		narrowed, l, fail := narrow(body, sel, typeName, keep...)
		if fail != nil {
			return nil, fail
		}
		rows, list = append(rows, narrowed), l
	}
	context := c.base + "$metadata#EntityDefinitions('" + t.logical + "')/Attributes"
	if cast != "" {
		context += "/" + crm + cast
	}
	context += list
	if one {
		return c.jsonAnswer(append(object{{"@odata.context", context + "/$entity"}}, rows[0]...))
	}
	return c.jsonAnswer(object{{"@odata.context", context}, {"value", rows}})
}

// optionSet is the expanded option set; with $select=Options only MetadataId and Options.
func (x *call) optionSet(t *table, c *column, query string) object {
	kinds := map[kind]string{kindState: "State", kindStatus: "Status", kindBool: "Boolean"}
	setType := kinds[c.kind]
	if setType == "" {
		setType = "Picklist"
	}
	setName := t.logical + "_" + c.name
	if c.global {
		setName = "cb_global_" + c.name
	}
	id := member{"MetadataId", namedGUID("optionset", setName).String()}
	var options []member
	if c.kind == kindBool {
		options = []member{{"TrueOption", x.optionBody(c, c.options[1])}, {"FalseOption", x.optionBody(c, c.options[0])}}
	} else {
		list := []object{}
		for _, o := range c.options {
			list = append(list, x.optionBody(c, o))
		}
		options = []member{{"Options", list}}
	}
	if strings.HasPrefix(query, "$select=") {
		return append(object{id}, options...)
	}
	return append(object{id, {"HasChanged", nil}, {"Name", setName}, {"IsGlobal", c.global},
		{"IsCustomOptionSet", c.custom},
		{"IsManaged", true}, {"OptionSetType", setType},
		{"IsCustomizable", object{{"Value", true}, {"CanBeChanged", false},
			{"ManagedPropertyLogicalName", "iscustomizable"}}},
		{"IntroducedVersion", "5.0.0.0"}, {"DisplayName", x.label(c.words())}, {"Description", x.label(words{})}}, options...)
}

func (x *call) optionBody(c *column, o option) object {
	var body object
	switch c.kind {
	case kindState:
		body = object{{"@odata.type", "#Microsoft.Dynamics.CRM.StateOptionMetadata"}, {"DefaultStatus", o.value + 1},
			{"InvariantName", o.label}}
	case kindStatus:
		body = object{{"@odata.type", "#Microsoft.Dynamics.CRM.StatusOptionMetadata"}, {"State", o.state},
			{"TransitionData", nil}}
	}
	return append(body, object{{"Value", o.value}, {"Color", nil}, {"IsManaged", true}, {"ExternalValue", nil},
		{"ParentValues", []int{}}, {"Tag", nil},
		{"IsHidden", false}, {"MetadataId", nil}, {"HasChanged", nil}, {"Label", x.label(o.words())},
		{"Description", x.label(words{})}}...)
}
