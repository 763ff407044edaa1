package dynamics

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// compared are queries whose pages are compared: every type, moments, and changes.
func compared(t testing.TB) []*Prepared {
	t.Helper()
	c := &Client{}
	table := Table{Name: "accounts", Set: "accounts", Logical: "account", Key: "accountid"}
	column := func(name string, kind ColumnType) Column { return Column{Logical: name, Type: kind} }
	var outputs []Output
	for _, of := range []struct {
		name string
		kind ColumnType
	}{{"name", Text}, {"revenue", Money}, {"numberofemployees", Integer}, {"industrycode", Choice}, {"new_many", Choices},
		{"ownerid", Lookup}, {"createdon", DateTime}, {"donotemail", Boolean}, {"accountid", UniqueID}, {"new_other", UniqueID}} {
		outputs = append(outputs, Output{Column: column(of.name, of.kind), As: "the_" + of.name})
	}
	outputs = append(outputs, Output{Column: column("name", Text), As: "again"})
	for i := range outputs {
		if outputs[i].Type == Choice || outputs[i].Type == Choices {
			outputs[i].Labels = map[int]string{1: "One", 2: "Two; too", 3: "Drei \"3\" 🚀"}
		}
	}
	var all []*Prepared
	for _, q := range []Query{
		{Select: outputs, OrderBy: []Order{{Column: column("name", Text)}, {Column: column("ownerid", Lookup)}}},
		{Select: outputs[:4], OrderBy: []Order{{Column: column("createdon", DateTime)}}, Moments: true},
		{Select: outputs},
	} {
		q.PageSize = 10
		p, err := c.prepare(table, q, "accounts.page", len(all) == 2)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// pageSeeds are answers, of which some are faulty.
var pageSeeds = func() []string {
	const id = `"accountid":"78914942-34CB-ed11-b596-0022481d68cd"`
	const row = `{"@odata.etag":"W/\"81\"",` + id + `,"name":"Söhne \u0026 \"Co\" 🚀 und mehr als acht Bytes",` +
		`"revenue@OData.Community.Display.V1.FormattedValue":"$20,000.00","revenue":-20000.0100e+2,"numberofemployees":12,` +
		`"industrycode@OData.Community.Display.V1.FormattedValue":"Consulting","industrycode":1,` +
		`"new_many@OData.Community.Display.V1.FormattedValue":"One; Two","new_many":"1,2",` +
		`"_ownerid_value@OData.Community.Display.V1.FormattedValue":"Ada","_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"systemuser",` +
		`"_ownerid_value":"39E0DBE4-131b-e111-ba7e-78e7d1620f5e","createdon":"2023-04-07T21:59:01Z","donotemail":false,` +
		`"new_other":"39E0DBE4-131b-e111-ba7e-78e7d1620f5e","x":{"a":[1,{},[],{"b":null}],"c":true}}`
	const bare = `{` + id + `,"name":null,"industrycode":3,"createdon":"1969-12-31T23:59:59.5Z"}`
	const gone = `{"@odata.context":"x/$metadata#accounts/$deletedEntity","id":"78914942-34cb-ed11-b596-0022481d68cd","reason":"deleted"}`
	page := func(rows ...string) string {
		return `{"@odata.context":"x","@odata.count":3,"value":[` + strings.Join(rows, ",") +
			`],"@odata.nextLink":"https://x/?a=\u0026","@odata.deltaLink":"y"}`
	}
	return []string{page(row, row), page(bare, row, bare), page(gone, row, gone), page(), `{"value":[` + bare + `]}`,
		" {\n\"value\" :\t[ " + strings.ReplaceAll(row, ":", " : ") + " ,\r\n" + bare + " ] } ",
		page(`{`+id+`,"name":"cut \ud83d"}`, `{`+id+`,"name":"\ud83d\ude80 \\ud \/"}`, `{`+id+`,"n\u0061me":"x"}`),
		page(`{`+id+`,"new_many":" 2, 3"}`, `{`+id+`,"new_many":""}`, `{`+id+`,"new_many":"9,-1"}`),
		page(`{` + id + `,"name":"` + "\xff" + `"}`), page(`{` + id + `,"` + "\xff" + `":"` + "\xff" + `"}`), page(`{}`),
		page(`{` + id + `,"\ud800":1}`), `{"value":[],"error":{}}`, `{"v\u0061lue":[]}`, `{"value":[],"@odata.count":1.0}`,
		page(bare, bare[:len(bare)-1]+`,`+id+`}`)}
}()

// pieces are what answers are made of, and what they must not be.
var pieces = []string{`"`, `\`, `\u`, `\ud83d`, `\ude80`, `\n`, `\\ud`, `,`, `:`, `{`, `}`, `[`, `]`, `{}`, `[]`,
	`null`, `true`, `false`, `0`,
	`-`, `1.5`, `1e5`, `.`, `e`, "\x00", "\x1f", "\x7f", "\x80", "\xc3", "\xed\xa0\x80", "é", "🚀", " ", "\n", `"value":`, `"error":1,`,
	`"@odata.etag":"x",`, `"name":"x",`, `"id":"x",`, `"accountid":null,`, `"accountid":"78914942-34cb-ed11-b596-0022481d68cd",`,
	`"name@OData.Community.Display.V1.FormattedValue":"x",`, `"_ownerid_value@OData.Community.Display.V1.FormattedValue":null,`,
	`"x":[[[{"y":`, `]}`, `"a text that is longer than eight bytes"`, strings.Repeat(" ", 70), strings.Repeat("x", 70)}

// bend changes an answer in some places.
func bend(body string, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	for range r.IntN(4) {
		at := r.IntN(len(body) + 1)
		end := min(len(body), at+r.IntN(20)*r.IntN(2))
		switch r.IntN(4) {
		case 0:
			body = body[:at] + body[end:]
		case 1:
			body = body[:end] + body[at:]
		default:
			body = body[:at] + pieces[r.IntN(len(pieces))] + body[end:]
		}
	}
	return body
}

// compare reads an answer both ways. The scanner's window has room for size bytes.
func compare(t *testing.T, p *Prepared, text string, size int, cut bool) {
	t.Helper()
	var want *oraclePage
	wrong := newBody(text, false).consume(&request{read: func(b *body) (err error) {
		want, err = oracleOf(b, p)
		return err
	}})
	var got *Page
	err := newBody(text, cut).consume(&request{read: func(b *body) error {
		r := newRowReader(p, b, rowDepth)
		r.buf = make([]byte, size+scanPad)
		page := &Page{}
		err := r.page(page)
		r.buf = nil
		r.release()
		if err != nil {
			page.Release()
			return err
		}
		got = page
		return nil
	}})
	switch {
	case cut:
		if got != nil || KindOf(err) != Upstream {
			t.Fatalf("half an answer: %v, %q", err, text)
		}
		return
	case KindOf(err) != KindOf(wrong) || (err == nil) != (wrong == nil):
		t.Fatalf("%v, the oracle %v: %q", err, wrong, text)
	case err != nil:
		return
	}
	defer got.Release()
	if a, b := said(got), want.said(); a != b {
		t.Fatalf("%q\n got %s\nwant %s", text, a, b)
	}
}

func newBody(text string, cut bool) *body {
	var from io.Reader = strings.NewReader(text)
	if cut {
		from = io.MultiReader(from, iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	return &body{ctx: context.Background(), from: from, most: 1 << 30, left: 1 << 30}
}

// said is all that a page says.
func said(p *Page) string {
	var b strings.Builder
	fmt.Fprintln(&b, p.next, p.delta, p.count, p.counted)
	for i := range p.Len() {
		fmt.Fprintf(&b, "%s %s %q %x %d\n", p.Row(i), p.ID(i), p.ETag(i), p.Key(i), p.store.at(i).moment)
	}
	changes := ChangesPage{p}
	for i := range changes.Deleted() {
		fmt.Fprintln(&b, changes.DeletedID(i))
	}
	return b.String()
}

func (p *oraclePage) said() string {
	var b strings.Builder
	fmt.Fprintln(&b, p.next, p.delta, p.count, p.counted)
	for _, row := range p.rows {
		fmt.Fprintf(&b, "%s %s %q %x %d\n", row.text, row.id, row.tag, row.key, row.moment)
	}
	for _, id := range p.gone {
		fmt.Fprintln(&b, id)
	}
	return b.String()
}

// FuzzScan compares the scanner with jsontext: what is a page, what is in it, and whose
// fault it is where it is none.
func FuzzScan(f *testing.F) {
	for _, body := range pageSeeds {
		f.Add(body, uint64(1), uint16(32))
	}
	all := compared(f)
	f.Fuzz(func(t *testing.T, body string, seed uint64, size uint16) {
		body = bend(body, seed)
		for _, p := range all {
			compare(t, p, body, 16+int(size)%1000, false)
		}
		compare(t, all[0], body[:len(body)/2], 100, true)
	})
}

// TestScanAgainstJSONText is FuzzScan in short: some thousand answers that are bent in
// some places, through windows of all sizes.
func TestScanAgainstJSONText(t *testing.T) {
	all := compared(t)
	bends := Fewer(1500)
	if testing.Short() {
		bends = 100
	}
	valid := 0
	for i, seed := range pageSeeds {
		for k := range bends {
			body := bend(seed, uint64(k))
			compare(t, all[k%len(all)], body, 16+(i*bends+k)%500, false)
			if _, err := readPage(newBody(body, false), all[0]); err == nil {
				valid++
			}
		}
		compare(t, all[0], seed, 64, true)
	}
	if valid < bends {
		t.Errorf("only %d answers were pages: little was compared", valid)
	}
}

// TestScanBoundsAgainstJSONText: how deep values stand and how long they are is bounded as
// it was.
func TestScanBoundsAgainstJSONText(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it reads long answers")
	}
	const id = `{"accountid":"78914942-34cb-ed11-b596-0022481d68cd"`
	nested := func(depth int, open, end string) string {
		return strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth)
	}
	all := compared(t)
	for _, around := range []int{-2, -1, 0, 1} {
		for _, of := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			compare(t, all[0], `{"x":`+nested(maxNesting+around, of[0], of[1])+`,"value":[]}`, 1000, false)
			compare(t, all[0], `{"value":[`+id+`,"x":`+nested(maxNesting-2+around, of[0], of[1])+`}]}`, 1000, false)
			compare(t, all[0], `{"value":[`+id+`,"name":`+nested(maxNesting-2+around, of[0], of[1])+`}]}`, 1000, false)
		}
	}
	for _, n := range []int{maxValue - 100, maxValue + 100} {
		for _, value := range []string{`"` + strings.Repeat("x", n) + `"`, strings.Repeat("1", n), `["` + strings.Repeat("é", n/2) + `"]`} {
			compare(t, all[0], `{"x":`+value+`,"value":[]}`, windowSize, false)
			compare(t, all[0], `{"value":[`+id+`,"x":`+value+`}]}`, windowSize, false)
			compare(t, all[0], `{"value":[`+id+`,"name":`+value+`}]}`, windowSize, false)
		}
		compare(t, all[0], `{"value":[`+id+`,"`+strings.Repeat("x", n)+`":1}]}`, windowSize, false)
	}
	for _, rows := range []int{MaxPageSize, MaxPageSize + 1} {
		compare(t, all[0], `{"value":[`+strings.Repeat(id+"},", rows-1)+id+`}]}`, windowSize, false)
	}
}
