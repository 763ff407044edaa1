package main

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// shown is how commands show rows to people.
type shown struct {
	UTC bool `name:"utc" help:"Show times in UTC, as they are on the wire, not in this machine's zone."`
}

// cells are rows as people read them: money to the cent, with the row's currency where it is among
// the fields, and times in this machine's zone. JSON and CSV have what the wire has.
func (o ofTable) cells(s shown, fields []string, rows []messages.Row) [][]string {
	types := map[string]string{}
	for _, field := range o.table.Fields {
		types[field.Name], types[field.Logical] = field.Type, field.Type
	}
	texts := make([][]string, len(rows))
	for i, row := range rows {
		texts[i] = make([]string, len(fields))
		for j, field := range fields {
			texts[i][j] = o.cell(s, row, field, types[field])
		}
	}
	return texts
}

func (o ofTable) cell(s shown, row messages.Row, field, of string) string {
	text := row.Text(field)
	if text == "" {
		return ""
	}
	switch of {
	case messages.FieldMoney:
		text = term.Cents(text)
		if !strings.HasSuffix(field, "_base") { // that is in the organization's currency
			if currency := row.Text("currency"); currency != "" { // its name: US Dollar, which stays with the number
				text += "\u00a0" + strings.ReplaceAll(currency, " ", "\u00a0")
			}
		}
	case messages.FieldDateTime:
		var at time.Time
		if json.Unmarshal(row[field], &at) == nil && !s.UTC {
			text = at.Local().Format("2006-01-02 15:04:05")
		}
	}
	return text
}
