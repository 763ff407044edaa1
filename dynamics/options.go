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
	// option takes in addition to its label.
	maxOptionBytes = 8 << 20
	optionBytes    = 64
)

// Options returns the options of all columns of t of one kind by logical name.
//
// A column has its own options or uses a global choice, whose options stand under
// GlobalOptionSet while OptionSet is null: "Retrieve table definitions by name or
// MetadataId",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-metadata-name-metadataid.
// Some environments fill both. States and reasons are always a column's own.
func (s *Session) Options(ctx context.Context, t Table, kind ColumnKind) (map[string]OptionSet, error) {
	expand := "OptionSet($select=Options),GlobalOptionSet($select=Options)"
	switch kind {
	case Picklist, MultiSelect:
	case State, Status:
		expand = "OptionSet($select=Options)"
	default:
		return nil, refuse("metadata.options", "", "%q is not a kind of column that has options", kind)
	}
	base, kept := languages{}, 0
	var page relatedPage[optionsRow]
	r := request{op: "metadata.options", bodies: optionBodies, read: func(b *body) error {
		base, kept = languages{}, 0
		return page.readRows(b, func(d *jsontext.Decoder, row *optionsRow) error { return row.read(b, d, base, &kept) })
	}}
	path := t.attributes() + "/Microsoft.Dynamics.CRM." + string(kind) + "AttributeMetadata"
	if err := s.getOf(ctx, t, r, path, "$select=LogicalName&$expand="+expand); err != nil {
		return nil, err
	}
	out, language := make(map[string]OptionSet, len(page.Value)), base.most()
	for _, row := range page.Value {
		if row.name != "" {
			out[row.name] = row.set(language)
		}
	}
	return out, nil
}

// optionsRow is a column with the options of its own set and of the global one.
type optionsRow struct {
	name        string
	own, global rawOptions
}

// rawOptions are options whose labels wait until the base language is known.
type rawOptions struct {
	values []int
	labels []label // UserLocalizedLabel alone where there is one
	count  int
}

// read reads a column. Its options are counted one by one: there may be many.
func (o *optionsRow) read(b *body, d *jsontext.Decoder, base languages, kept *int) error {
	_, err := members(d, "a column is not a JSON object", func(name string) error {
		into := &o.own
		switch name {
		case "LogicalName":
			if err := json.UnmarshalDecode(d, &o.name); err != nil {
				return err
			}
			if !isLogicalName(o.name) { // it could not be asked for anyway, and may be long
				o.name = ""
			}
			return nil
		case "GlobalOptionSet":
			into = &o.global
		case "OptionSet":
		default:
			return d.SkipValue()
		}
		_, err := members(d, "a set of options is not a JSON object", func(name string) error {
			if name != "Options" {
				return d.SkipValue()
			}
			_, err := elements(d, `"Options" is not an array`, func() error { return into.add(b, d, base, kept) })
			return err
		})
		return err
	})
	return err
}

// add reads one option. From the first that is not kept on none of the column is.
func (o *rawOptions) add(b *body, d *jsontext.Decoder, base languages, kept *int) error {
	if o.count++; o.count > MaxOptions || len(o.values) < o.count-1 || *kept > maxOptionBytes {
		return d.SkipValue()
	}
	var one struct {
		Value int
		Label label
	}
	if err := json.UnmarshalDecode(d, &one); err != nil {
		return err
	}
	base.see(one.Label)
	size := optionBytes
	if one.Label.User != nil && one.Label.User.Label != "" {
		one.Label.All = nil
		size += len(one.Label.User.Label)
	}
	for _, text := range one.Label.All {
		size += optionBytes + len(text.Label)
	}
	*kept += size
	o.values, o.labels = append(o.values, one.Value), append(o.labels, one.Label)
	return b.keep(growth * int64(size))
}

// set is the column's own set where it has one, else the global one.
func (o *optionsRow) set(language int) OptionSet {
	from := o.own
	if from.count == 0 {
		from = o.global
	}
	set := OptionSet{Options: make([]Option, len(from.values)), Count: from.count}
	for i, value := range from.values {
		set.Options[i] = Option{Value: value, Label: from.labels[i].text(language)}
	}
	return set
}
