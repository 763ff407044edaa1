package main

import (
	"slices"
	"strings"

	"github.com/crmbridge/crmbridge/messages"
)

// filterExamples are comparisons with fields of one table, for help texts. Each is an expression
// that crmbridge accepts for the table.
type filterExamples struct {
	choice string // one option: industry = Consulting
	either string // one of two options: industry in (Consulting, "Legal Services")
	number string // a lower bound: employees >= 50; of a date, where the table has no number
	date   string // a date: created_at
	order  string // what to sort by, largest first: revenue
	text   string // a text field that is not the name: website
}

// examplesFor chooses fields of a table by their type. Columns that every table of Dataverse has go
// by their logical names where the table has no names for them.
func examplesFor(table messages.Table) filterExamples {
	found := filterExamples{date: "createdon", text: "name"}
	var number string
	for _, field := range slices.Backward(table.Fields) { // the first of each type is what remains
		switch field.Type {
		case messages.FieldWholeNumber:
			number = field.Name
		case messages.FieldDateTime:
			found.date = field.Name
		case messages.FieldText:
			if field.Name != "name" {
				found.text = field.Name
			}
		}
	}
	found.number, found.order = found.date+" >= 2024-01-01", found.date
	if number != "" {
		found.number, found.order = number+" >= 50", number
	}
	found.choice, found.either = `name = "A. Datum"`, `name in ("A. Datum", Contoso)`
	if choice, labels := shownChoice(table); choice != "" {
		found.choice = choice + " = " + labels[0]
		found.either = choice + " in (" + strings.Join(labels, ", ") + ")"
	}
	return found
}

// shownLabel is the longest option label that fits an example.
const shownLabel = 10

// shownChoice is the choice field with the most standard options, and two of their labels, quoted
// where the expression form needs it. Where there is none the field is "".
func shownChoice(table messages.Table) (field string, labels []string) {
	const shownLabels = 2
	most := 1
	for _, f := range table.Fields {
		options := slices.DeleteFunc(slices.Clone(table.Options[f.Logical]), func(o messages.Choice) bool {
			return len(o.Label) > shownLabel || strings.ContainsAny(o.Label, `'"`)
		})
		all := len(table.Options[f.Logical])
		if f.Type != messages.FieldChoice || len(options) < shownLabels || all <= most {
			continue
		}
		most, field, labels = all, f.Name, nil
		for _, option := range options[:shownLabels] {
			label := option.Label
			if strings.ContainsAny(label, " ,-()") {
				label = `"` + label + `"`
			}
			labels = append(labels, label)
		}
	}
	return field, labels
}

// whereHelp is the expression form in short, with fields of the table.
func (o ofTable) whereHelp() string {
	x := examplesFor(o.table)
	return `A filter is made of comparisons with and, or, not and parentheses:
  =  !=  <  <=  >  >=     ` + x.number + `
  in, not in              ` + x.either + `
  between                 ` + x.date + ` between 2024-01-01 and 2024-01-31
  contains, not contains, starts with, ends with
  is null, is not null    ` + x.text + ` is not null
  contains any, contains none (several choices)
Text of several words goes in double or single quotes. An apostrophe may be doubled in both, and must
be in single ones. In a POSIX shell put the whole into double quotes to keep apostrophes:
  --where "name contains 'O''Brien' or name = 'A. Datum'"`
}
