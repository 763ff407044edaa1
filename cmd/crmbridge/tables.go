package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/messages"
)

// tableCommands are the commands of one table. Their help texts name the rows, one row and the
// default fields by variables that the table's group sets; see groupTag.
type tableCommands struct {
	Search  rowsSearch  `cmd:"" help:"Search ${rows}."`
	Get     rowsGet     `cmd:"" help:"Show one ${row}."`
	Count   rowsCount   `cmd:"" help:"Count ${rows}."`
	Fields  rowsFields  `cmd:"" help:"List the fields that ${rows} have."`
	Changes rowsChanges `cmd:"" help:"Show what changed since last time."`
	Export  rowsExport  `cmd:"" help:"Write all ${rows} to a file, through crashes and restarts."`
}

// ofTable is the table that a command asks about.
type ofTable struct{ table messages.Table }

// Help shows examples.
func (c *tableCommands) Help() string {
	of := c.Search.ofTable
	return "Examples:\n  " + of.command(messages.VerbSearch) + " --limit 10\n  " + of.command(messages.VerbFields)
}

// newTableCommands makes the commands of a table.
func newTableCommands(table messages.Table) *tableCommands {
	of := ofTable{table}
	return &tableCommands{
		Search:  rowsSearch{ofTable: of},
		Get:     rowsGet{ofTable: of},
		Count:   rowsCount{ofTable: of},
		Fields:  rowsFields{ofTable: of},
		Changes: rowsChanges{ofTable: of},
		Export:  rowsExport{ofTable: of},
	}
}

// tableGroups makes one command group for each table. kong reads names and help texts from
// struct tags, so each group is a struct type of its own with one field.
func tableGroups(tables []messages.Table) kong.Plugins {
	var groups kong.Plugins
	for _, table := range tables {
		group := reflect.New(reflect.StructOf([]reflect.StructField{{
			Name: "Commands", Type: reflect.TypeFor[tableCommands](), Tag: groupTag(table)}}))
		group.Elem().Field(0).Set(reflect.ValueOf(newTableCommands(table)).Elem())
		groups = append(groups, group.Interface())
	}
	return groups
}

// groupTag is the struct tag of a table's group. The variables that it sets are for the help
// texts of the commands in it.
func groupTag(table messages.Table) reflect.StructTag {
	tag := fmt.Sprintf("cmd:%q name:%q help:%q", "", table.Name,
		fmt.Sprintf("Search, count, show and export %s, their fields and what changed.", table.Name))
	for _, variable := range [][2]string{
		{"rows", table.Name}, {"row", table.One}, {"defaults", strings.Join(table.DefaultFields, ",")},
	} {
		tag += fmt.Sprintf(" set:%q", variable[0]+"="+variable[1])
	}
	return reflect.StructTag(tag)
}

// command is a command of the table as a person types it, for the connection that crmbridge-dev makes.
func (o ofTable) command(verb messages.Verb) string {
	return "crmbridge " + o.table.Name + " " + string(verb) + " demo"
}

// fieldsHelp names the fields that need not be looked up.
func (o ofTable) fieldsHelp() string {
	help := "Fields that have a name in every environment: " + strings.Join(o.table.FieldNames(), ", ") + "."
	help += " Any other column goes by its logical name; '" + o.command(messages.VerbFields) + "' lists them."
	if o.table.Product != "" {
		help += " The table comes with " + o.table.Product + "; environments without it answer not_supported."
	}
	return help
}
