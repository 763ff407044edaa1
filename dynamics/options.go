package dynamics

import (
	"context"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ColumnKind is an attribute type that has options.
type ColumnKind string

// The kinds for [Session.Options]. Picklist, State and Status are the columns of
// type Choice, MultiSelect those of type Choices.
const (
	Picklist    ColumnKind = "Picklist"
	State       ColumnKind = "State"
	Status      ColumnKind = "Status"
	MultiSelect ColumnKind = "MultiSelectPicklist"
)

// Option is one value of a choice.
type Option struct {
	Value int
	Label string // in the language of the connection's user, else in the base language; "" if none
}

// OptionSet is what a choice can be.
type OptionSet struct {
	Options []Option // in Dataverse's order, as many as are kept
	Count   int      // how many there are
}

// MaxOptions bounds the options of one column that are kept.
const MaxOptions = 10_000

const (
	// optionBodies is how many times longer than other answers one with options may
	// be. It is read option by option, and kept are a value and a text of the 600
	// bytes that each takes.
	optionBodies = 4
	// maxOptionBytes bounds what is kept of one answer, optionBytes is what an
	// option takes beside its label.
	maxOptionBytes = 8 << 20
	optionBytes    = 64
	// maxOptionColumns bounds the columns of one answer; a table of SQL Server has
	// 1024 at most.
	maxOptionColumns = 10_000
	// maxOptionToken bounds a single text in such an answer.
	maxOptionToken = 1 << 20
)

// Options returns the options of all accounts columns of one kind by logical name.
//
// A column has its own options or uses a global choice, whose options stand under
// GlobalOptionSet while OptionSet is null: "Retrieve table definitions by name or
// MetadataId",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-metadata-name-metadataid.
// Some environments fill both. States and reasons are always a column's own.
func (s *Session) Options(ctx context.Context, kind ColumnKind) (map[string]OptionSet, error) {
	expand := "OptionSet($select=Options),GlobalOptionSet($select=Options)"
	switch kind {
	case Picklist, MultiSelect:
	case State, Status:
		expand = "OptionSet($select=Options)"
	default:
		return nil, refuse("metadata.options", "", "%q is not a kind of column that has options", kind)
	}
	var sets optionSets
	r := request{op: "metadata.options", read: sets.read, bodies: optionBodies}
	path := accountAttributes + "/Microsoft.Dynamics.CRM." + string(kind) + "AttributeMetadata"
	if err := s.get(ctx, r, path, "$select=LogicalName&$expand="+expand); err != nil {
		return nil, err
	}
	return sets.finished(), nil
}

// optionSets reads an answer with options.
type optionSets struct {
	columns []columnOptions
	base    languages
	kept    int // bytes
}

type columnOptions struct {
	name        string
	own, global rawOptions
}

// rawOptions are options whose labels wait until the base language is known.
type rawOptions struct {
	values []int
	labels []label // UserLocalizedLabel alone where there is one
	count  int
}

func (x *optionSets) read(b *body) error {
	*x = optionSets{base: languages{}}
	from := &shortTokens{from: b}
	return withDecoder(from, func(d *jsontext.Decoder) error {
		from.decoder = d
		seen := false
		err := members(d, "the answer is not a JSON object", func(name string) error {
			switch name {
			case "value":
				if seen {
					return pageFault(`the answer has two members "value"`)
				}
				seen = true
				return items(d, `"value" is not an array`, func() error { return x.column(d) })
			case "error":
				return pageFault("the answer ends in an error")
			}
			return d.SkipValue()
		})
		if err == nil && !seen {
			return pageFault(`the answer has no "value"`)
		}
		return err
	})
}

func (x *optionSets) column(d *jsontext.Decoder) error {
	var c columnOptions
	err := members(d, "a column is not a JSON object", func(name string) error {
		switch name {
		case "LogicalName":
			t, err := d.ReadToken()
			if err == nil && t.Kind() == '"' {
				c.name = t.String()
			}
			return err
		case "OptionSet":
			return x.set(d, &c.own)
		case "GlobalOptionSet":
			return x.set(d, &c.global)
		}
		return d.SkipValue()
	})
	switch {
	case err != nil || !isLogicalName(c.name): // it could not be asked for anyway
		return err
	case len(x.columns) == maxOptionColumns:
		return pageFault("the answer has more columns than a table can have")
	}
	x.columns = append(x.columns, c)
	return nil
}

func (x *optionSets) set(d *jsontext.Decoder, into *rawOptions) error {
	*into = rawOptions{}
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	return members(d, "a choice is not a JSON object", func(name string) error {
		if name != "Options" || d.PeekKind() == 'n' {
			return d.SkipValue()
		}
		*into = rawOptions{}
		return items(d, "the options of a choice are not an array", func() error { return x.option(d, into) })
	})
}

func (x *optionSets) option(d *jsontext.Decoder, into *rawOptions) error {
	if into.count++; into.count > MaxOptions || len(into.values) < into.count-1 || x.kept > maxOptionBytes {
		return d.SkipValue() // from the first that is not kept on none is
	}
	var one struct {
		Value int
		Label label
	}
	if err := json.UnmarshalDecode(d, &one); err != nil {
		return err
	}
	x.base.see(one.Label)
	if one.Label.User != nil && one.Label.User.Label != "" {
		one.Label.All = nil
		x.kept += len(one.Label.User.Label)
	}
	for _, text := range one.Label.All {
		x.kept += optionBytes + len(text.Label)
	}
	x.kept += optionBytes
	into.values, into.labels = append(into.values, one.Value), append(into.labels, one.Label)
	return nil
}

func (x *optionSets) finished() map[string]OptionSet {
	out, base := make(map[string]OptionSet, len(x.columns)), x.base.most()
	for _, c := range x.columns {
		from := c.own
		if from.count == 0 {
			from = c.global
		}
		set := OptionSet{Options: make([]Option, len(from.values)), Count: from.count}
		for i, value := range from.values {
			set.Options[i] = Option{Value: value, Label: from.labels[i].text(base)}
		}
		out[c.name] = set
	}
	return out
}

// shortTokens ends an answer in which one JSON token is longer than any label: the
// decoder would hold it whole.
type shortTokens struct {
	from    *body
	decoder *jsontext.Decoder
}

func (r *shortTokens) Read(p []byte) (int, error) {
	if r.decoder != nil && r.from.read-r.decoder.InputOffset() > maxOptionToken {
		return 0, pageFault("the answer holds a text that is too long for a label")
	}
	return r.from.Read(p)
}

// members reads an object; read takes the value of each member.
func members(d *jsontext.Decoder, fault string, read func(name string) error) error {
	if err := expect(d, '{', fault); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if err := read(name.String()); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// items reads an array; read takes each item.
func items(d *jsontext.Decoder, fault string, read func() error) error {
	if err := expect(d, '[', fault); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := read(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}
