package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/messages"
)

// A column is one of CSV: what its first line calls it, and the field below that.
type column struct {
	Header string `json:"header"`
	Field  string `json:"field"`
}

// columns are the flag --columns: HEADER=FIELD, "HEADER, WITH COMMAS"=FIELD, or a field that goes by its
// own name.
type columns []column

// Decode reads one flag.
func (c *columns) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("name", &text); err != nil {
		return err
	}
	for more := true; more; {
		var header, pair string
		quoted := strings.HasPrefix(strings.TrimLeft(text, " "), `"`)
		if quoted {
			var err error
			if header, text, err = quotedHeader(strings.TrimLeft(text, " ")); err != nil {
				return err
			}
		}
		pair, text, more = strings.Cut(text, ",")
		field := strings.TrimSpace(pair)
		if i := strings.LastIndexByte(pair, '='); i >= 0 { // no field has one
			field = strings.TrimSpace(pair[i+1:])
			if !quoted {
				header = strings.TrimSpace(pair[:i])
			} else if strings.TrimSpace(pair[:i]) != "" {
				return fmt.Errorf(`after the header "%s" in quotes comes =FIELD`, header)
			}
		} else if quoted {
			return fmt.Errorf(`after the header "%s" in quotes comes =FIELD`, header)
		} else if header = field; field == "" {
			return errors.New("a name is missing; separate names by single commas")
		}
		*c = append(*c, column{header, field})
	}
	return nil
}

// quotedHeader reads a header in double quotes, as CSV has them: commas in it are its own, and a quote
// is doubled.
func quotedHeader(text string) (header, rest string, err error) {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '"':
		case i+1 < len(text) && text[i+1] == '"':
			i++
		default:
			return strings.ReplaceAll(text[1:i], `""`, `"`), text[i+1:], nil
		}
	}
	return "", "", errors.New("a quote is not closed; a header with commas stands in quotes: '\"Company, Inc\"=name'")
}

// columnsOf are fields that go by their own names.
func columnsOf(fields []string) columns {
	all := make(columns, len(fields))
	for i, field := range fields {
		all[i] = column{field, field}
	}
	return all
}

// headers are the first line.
func (c columns) headers() []string {
	all := make([]string, len(c))
	for i, column := range c {
		all[i] = column.Header
	}
	return all
}

// cellFields are the fields of the cells of a line.
func (c columns) cellFields() []string {
	all := make([]string, len(c))
	for i, column := range c {
		all[i] = column.Field
	}
	return all
}

// fields are what is asked for: each field once.
func (c columns) fields() []string {
	var all []string
	seen := map[string]bool{}
	for _, column := range c {
		if !seen[column.Field] {
			seen[column.Field] = true
			all = append(all, column.Field)
		}
	}
	return all
}

// check finds what is wrong before anything is asked for.
func (c columns) check(table messages.Table) error {
	headers := map[string]bool{}
	for _, column := range c {
		switch {
		case column.Header == "" || column.Field == "":
			return columnsError("%q lacks a name; write HEADER=FIELD, or FIELD", column.Header+"="+column.Field)
		case strings.ContainsFunc(column.Header, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return columnsError("the header %q has a control character", column.Header)
		case headers[column.Header]:
			return columnsError("two columns are called %q", column.Header)
		case !isFieldName(column.Field):
			return noField(column.Field, table.FieldNames())
		}
		headers[column.Header] = true
	}
	return nil
}

// isFieldName reports whether a field may have the name: a friendly one, or a logical one.
func isFieldName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz_0123456789"
	return name != "" && strings.Trim(strings.ToLower(name), letters) == ""
}

func columnsError(format string, args ...any) error {
	return fmt.Errorf("%w: --columns: "+format, append([]any{bridge.ErrUsage}, args...)...)
}

// noField is the error of a column of which there is no field.
func noField(name string, all []string) error {
	if near := messages.Nearest(name, all, 3); len(near) > 0 {
		return columnsError("there is no field %q; did you mean %s?", name, strings.Join(near, " or "))
	}
	return columnsError("there is no field %q that can be read", name)
}

// look asks the environment for its fields where there are columns that not every environment has,
// so that a slip costs no job. Where the fields cannot be read, whoever reads the rows says what is
// wrong.
func (c columns) look(ctx context.Context, ask *asker, table messages.Table, target messages.Target) error {
	known := map[string]bool{}
	names := table.FieldNames()
	for _, field := range table.Fields {
		known[field.Name], known[field.Logical] = true, true
	}
	var unknown []string
	for _, field := range c.fields() {
		if !known[field] {
			unknown = append(unknown, field)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	for page, err := range fieldPages(ctx, ask, table, messages.FieldsRequest{Target: target}) {
		if err != nil {
			return ctx.Err()
		}
		for _, field := range page.Fields {
			if !known[field.Name] {
				names = append(names, field.Name)
			}
			known[field.Name], known[field.LogicalName] = true, true
		}
	}
	for _, field := range unknown {
		if !known[field] {
			return noField(field, names)
		}
	}
	return nil
}
