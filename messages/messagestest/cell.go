package messagestest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/messages"
)

// A cell is the value of a column in a row: as it is on the wire, and as it is compared. The zero
// value is none.
type cell struct {
	wire jsontext.Value

	text   string   // texts and names folded; ids in lower case
	id     string   // of a lookup
	number *big.Rat // numbers, choices, and yes/no as 1 and 0
	moment time.Time
	set    []int64 // several choices, in order
}

func (c cell) null() bool { return c.wire == nil }

func (c cell) json() jsontext.Value {
	if c.null() {
		return jsontext.Value("null")
	}
	return c.wire
}

// fold is how texts are compared.
func fold(text string) string { return strings.ToLower(text) }

// trimmed is fold for the comparison of whole texts, in which trailing blanks do not count.
func trimmed(text string) string { return strings.TrimRight(fold(text), " ") }

func isGUID(text string) bool {
	_, err := uuid.Parse(text)
	return err == nil && len(text) == 36
}

// compare orders cells of one column; those without a value come first.
func compare(t string, a, b cell) int {
	switch {
	case a.null() || b.null():
		return cmp.Compare(truth(!a.null()), truth(!b.null()))
	case a.number != nil:
		return a.number.Cmp(b.number)
	case t == messages.FieldDateTime || t == messages.FieldDate:
		return a.moment.Compare(b.moment)
	}
	return strings.Compare(a.text, b.text)
}

func truth(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// cell reads a value that a test gives a row.
func (c *column) cell(value any) (cell, error) {
	if at, ok := value.(time.Time); ok {
		value = at.UTC().Format("2006-01-02T15:04:05Z") // as Dataverse has it
		if c.Type == messages.FieldDate {
			value = at.Format(time.DateOnly)
		}
	}
	if raw, ok := value.(jsontext.Value); ok {
		return c.read(raw)
	}
	raw, err := json.Marshal(value) // that package knows json.Number
	if err != nil {
		return cell{}, fmt.Errorf("a %T has no JSON form: %w", value, err)
	}
	return c.read(raw)
}

var errNoText = errors.New("must be a text")

// read reads a value as it is on the wire, or in a shorter form that only rows of tests have.
func (c *column) read(raw jsontext.Value) (cell, error) {
	if raw.Kind() == 'n' || string(raw) == `""` {
		return cell{}, nil
	}
	switch c.Type {
	case messages.FieldText, messages.FieldGUID, messages.FieldDateTime, messages.FieldDate:
		var text string
		if err := jsonv2.Unmarshal(raw, &text); err != nil {
			return cell{}, errNoText
		}
		return c.ofText(text)
	case messages.FieldWholeNumber, messages.FieldDecimal, messages.FieldMoney:
		number, ok := rational(string(raw))
		if raw.Kind() != '0' || !ok {
			return cell{}, errors.New("must be a number")
		}
		if c.Type == messages.FieldWholeNumber && !number.IsInt() {
			return cell{}, errors.New("must be a whole number")
		}
		return cell{wire: raw, number: number}, nil
	case messages.FieldYesNo:
		if kind := raw.Kind(); kind != 't' && kind != 'f' {
			return cell{}, errors.New("must be true or false")
		}
		return cell{wire: raw, number: new(big.Rat).SetInt64(truth(raw.Kind() == 't'))}, nil
	case messages.FieldChoice:
		choice, err := c.choice(raw)
		if err != nil {
			return cell{}, err
		}
		return cell{wire: wire(choice), number: new(big.Rat).SetInt64(choice.Value)}, nil
	case messages.FieldChoices:
		return c.choices(raw)
	}
	var lookup messages.Lookup
	if err := jsonv2.Unmarshal(raw, &lookup); err != nil || !isGUID(lookup.ID) {
		return cell{}, errors.New("must be a messages.Lookup with a GUID")
	}
	lookup.ID = strings.ToLower(lookup.ID)
	return cell{wire: wire(lookup), id: lookup.ID, text: fold(lookup.Name)}, nil
}

func (c *column) ofText(text string) (cell, error) {
	made := cell{wire: wire(text), text: fold(text)}
	var err error
	switch c.Type {
	case messages.FieldGUID:
		if !isGUID(text) {
			return cell{}, errors.New("must be a GUID")
		}
		made.wire, made.id = wire(made.text), made.text
	case messages.FieldDate:
		if made.moment, err = time.Parse(time.DateOnly, text); err != nil {
			return cell{}, errors.New("must be a date, 2024-01-31")
		}
	case messages.FieldDateTime:
		if made.moment, err = moment(text); err != nil {
			return cell{}, errors.New("must be a date and time, 2024-01-31T09:30:00Z")
		}
		made.wire = wire(made.moment.UTC().Format("2006-01-02T15:04:05.999999999Z"))
	}
	return made, nil
}

// moment reads a date and time, or a date as its midnight in UTC.
func moment(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	return time.Parse(time.RFC3339Nano, strings.ToUpper(text))
}

// choice finds what a choice column has for a label, an integer or both.
func (c *column) choice(raw jsontext.Value) (messages.Choice, error) {
	switch raw.Kind() {
	case '"':
		var label string
		if err := jsonv2.Unmarshal(raw, &label); err != nil {
			return messages.Choice{}, errNoText
		}
		found := c.labelled(label)
		if len(found) != 1 {
			return messages.Choice{}, fmt.Errorf("%d options have the label %q", len(found), label)
		}
		return found[0], nil
	case '0':
		var value int64
		if err := jsonv2.Unmarshal(raw, &value); err != nil {
			return messages.Choice{}, errors.New("must be a label or an integer")
		}
		at := slices.IndexFunc(c.Options, func(o messages.Choice) bool { return o.Value == value })
		if at < 0 {
			return messages.Choice{}, fmt.Errorf("there is no option %d", value)
		}
		return c.Options[at], nil
	}
	var choice messages.Choice
	if err := jsonv2.Unmarshal(raw, &choice); err != nil {
		return choice, errors.New("must be a label, an integer or a messages.Choice")
	}
	if slices.Contains(c.Options, choice) {
		return choice, nil
	}
	return choice, fmt.Errorf("there is no option %d with the label %q; see messagestest.Columns", choice.Value,
		choice.Label)
}

func (c *column) labelled(label string) (found []messages.Choice) {
	for _, option := range c.Options {
		if strings.EqualFold(option.Label, label) {
			found = append(found, option)
		}
	}
	return found
}

func (c *column) choices(raw jsontext.Value) (cell, error) {
	var items []jsontext.Value
	if err := jsonv2.Unmarshal(raw, &items); err != nil {
		return cell{}, errors.New("must be a list of choices")
	}
	var all []messages.Choice
	for _, item := range items {
		choice, err := c.choice(item)
		if err != nil {
			return cell{}, err
		}
		all = append(all, choice)
	}
	if len(all) == 0 {
		return cell{}, nil
	}
	slices.SortFunc(all, func(a, b messages.Choice) int { return cmp.Compare(a.Value, b.Value) })
	made := cell{wire: wire(slices.Compact(all))}
	for _, choice := range slices.Compact(all) {
		made.set = append(made.set, choice.Value)
	}
	return made, nil
}

// mostDigits is how many digits of a number count, before and behind the point together.
const mostDigits = 28

// rational reads a JSON number of at most mostDigits digits.
func rational(text string) (*big.Rat, bool) {
	const longest = 64
	if len(text) > longest {
		return nil, false
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(text, "-")), "e")
	if exponent != "" {
		if n, err := strconv.Atoi(exponent); err != nil || n < -mostDigits || n > mostDigits {
			return nil, false
		}
	}
	number, ok := new(big.Rat).SetString(text)
	if !ok || len(strings.Replace(mantissa, ".", "", 1)) > mostDigits {
		return nil, false
	}
	whole := new(big.Int).Quo(number.Num(), number.Denom())
	places, exact := number.FloatPrec()
	return number, exact && len(whole.Abs(whole).String())+places <= mostDigits
}

// wire is a value's JSON; those here have one.
func wire(value any) jsontext.Value {
	text, err := jsonv2.Marshal(value, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err)
	}
	return text
}
