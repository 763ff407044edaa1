package messages

// Types of fields. README.md lists the values and the operators of each.
const (
	FieldText        = "text"
	FieldWholeNumber = "whole number"
	FieldDecimal     = "decimal"
	FieldMoney       = "money"
	FieldDateTime    = "date and time"
	FieldDate        = "date" // values and operators of FieldDateTime, without a time of day
	FieldYesNo       = "yes/no"
	FieldChoice      = "choice"
	FieldChoices     = "several choices"
	FieldGUID        = "GUID"
	FieldLookup      = "lookup"
)

// FieldTypes lists the types of fields.
func FieldTypes() []string {
	return []string{FieldText, FieldWholeNumber, FieldDecimal, FieldMoney, FieldDateTime, FieldDate, FieldYesNo,
		FieldChoice,
		FieldChoices, FieldGUID, FieldLookup}
}

// Field describes one column: what it is asked by, and what a form needs to offer it.
type Field struct {
	// Name is the friendly name where there is one, the logical name otherwise.
	Name        string `json:"name"`
	LogicalName string `json:"logical_name"`
	// Label is in the language of the connection's user, the logical name where
	// there is none.
	Label  string `json:"label"`
	Type   string `json:"type"`
	Custom bool   `json:"custom"`
	// Readable reports whether the connection's user reads its values. Those of a column
	// that field-level security hides are null in every row, and neither filters nor
	// order_by take it.
	Readable bool `json:"readable" jsonschema:"the user reads its values; false where field-level security hides them"`
	// Searchable reports whether filters may use it.
	Searchable bool `json:"searchable"`
	// Options are what a choice can be, in the environment's order.
	Options []Choice `json:"options,omitempty"`
	// OptionsTruncated reports that there are more options than Options holds: they
	// are cut where they would not fit one message, or are more than crmbridge
	// keeps. OptionsCount is how many there are, 0 where that is not known.
	OptionsTruncated bool `json:"options_truncated,omitzero" jsonschema:"options holds not all of them"`
	OptionsCount     int  `json:"options_count,omitzero" jsonschema:"how many options there are, where options_truncated"`
}
