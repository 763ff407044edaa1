package dynamics

import (
	"context"
	"testing"
)

// Whatever makes two pages differ, in whose they are, in what is asked, or in the form
// of their rows, makes two calls of them.
func TestWhatAFlightIsOf(t *testing.T) {
	type asked struct {
		session Session
		r       request
		outputs []Output
		order   []Order
		table   Table
		tracked bool
		ctx     context.Context
	}
	client := &Client{}
	industry := Output{Column: Column{Logical: "industrycode", Type: Choice}, As: "industry",
		Labels: map[int]string{1: "a", 2: "b"}}
	key := func(change func(*asked)) flightKey {
		a := asked{ctx: t.Context(), session: Session{connection: "acme", incarnation: "1",
			principal: Principal{User: "ada"}},
			r:       request{op: "op", origin: "https://o.crm.dynamics.com", path: "/x", query: "y", prefer: "p"},
			outputs: []Output{industry, {Column: Column{Logical: "name", Type: Text}, As: "name"}},
			order:   []Order{{Column: Column{Logical: "name", Type: Text}}},
			table:   Table{Name: "accounts", Set: "accounts", Logical: "account", Key: "accountid"}}
		change(&a)
		p, err := client.prepare(a.table, Query{Select: a.outputs, OrderBy: a.order}, "op", a.tracked)
		if err != nil {
			t.Fatal(err)
		}
		return a.session.flightKey(a.ctx, &a.r, p)
	}
	seen := map[flightKey]string{}
	for name, change := range map[string]func(*asked){
		"nothing":             func(*asked) {},
		"a job's":             func(a *asked) { a.ctx = WithBackground(a.ctx) },
		"connection":          func(a *asked) { a.session.connection = "acm" },
		"incarnation":         func(a *asked) { a.session.incarnation = "2" },
		"connection's end":    func(a *asked) { a.session.connection, a.session.incarnation = "acm", "e1" },
		"user":                func(a *asked) { a.session.principal.User = "grace" },
		"operation":           func(a *asked) { a.r.op = "other" },
		"address":             func(a *asked) { a.r.query = "z" },
		"link":                func(a *asked) { a.r.link = "https://o.crm.dynamics.com/x?Y" },
		"preferences":         func(a *asked) { a.r.prefer = "q" },
		"name of a member":    func(a *asked) { a.outputs[1].As = "title" },
		"column of a member":  func(a *asked) { a.outputs[1].Logical = "telephone1" },
		"order of members":    func(a *asked) { a.outputs[0], a.outputs[1] = a.outputs[1], a.outputs[0] },
		"one member less":     func(a *asked) { a.outputs = a.outputs[:1] },
		"a label":             func(a *asked) { a.outputs[0].Labels = map[int]string{1: "a", 2: "c"} },
		"the value of labels": func(a *asked) { a.outputs[0].Labels = map[int]string{1: "a", 3: "b"} },
		"no labels":           func(a *asked) { a.outputs[0].Labels = nil },
		"direction of rows":   func(a *asked) { a.order[0].Desc = true },
		"deleted rows":        func(a *asked) { a.tracked = true },
		"name of the table":   func(a *asked) { a.table.Name = "customers" },
		"set of the table":    func(a *asked) { a.table.Set = "contacts" },
		"key of the table":    func(a *asked) { a.table.Key = "contactid" },
		"order of rows":       func(a *asked) { a.order[0].Column.Logical = "telephone1" },
		"no order of rows":    func(a *asked) { a.order = nil },
	} {
		k := key(change)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q are the same", name, other)
		}
		if seen[k] = name; key(change) != k {
			t.Errorf("%q differs from itself", name)
		}
	}
}
