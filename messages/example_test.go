package messages_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/messages"
)

var acme = messages.Target{Connection: "acme"}

// One page of accounts, and what a field's value looks like.
func ExampleTableClient_Search() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.search.request.acme": {"": {
		`{"accounts":[{"name":"A. Datum","industry":{"value":7,"label":"Consulting"},"revenue":12500000.50}],"total":31,"next_cursor":"…"}`}}})
	defer stop()
	client := messages.NewClient(nc)

	where := messages.All(
		messages.Leaf("industry", messages.In, []string{"Consulting", "Financial"}),
		messages.Leaf("revenue", messages.Ge, 1_000_000),
	)
	page, err := client.Accounts().Search(context.Background(), messages.SearchRequest{
		Target: acme, Where: &where, Fields: []string{"name", "industry", "revenue"}, OrderBy: []string{"-revenue"},
		PageSize: 1, IncludeTotal: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, account := range page.Rows {
		fmt.Printf("%s, %s: %s\n", account.Text("name"), account.Text("industry"), account.Text("revenue"))
	}
	fmt.Println(len(page.Rows), "of", *page.Total)
	// Output:
	// A. Datum, Consulting: 12500000.50
	// 1 of 31
}

// All contacts with an e-mail address who may be written to, one request a page.
func ExampleTableClient_Pages() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.contacts.search.request.acme": {
		"":              {`{"contacts":[{"name":"Ann","email":"ann@adatum.example"},{"name":"Bo","email":"bo@adatum.example"}],"next_cursor":"c1"}`},
		`"cursor":"c1"`: {`{"contacts":[{"name":"Cleo","email":"cleo@contoso.example"}]}`},
	}})
	defer stop()
	client := messages.NewClient(nc)

	where, err := messages.ParseWhere("email is not null and do_not_email = no")
	if err != nil {
		log.Fatal(err)
	}
	query := messages.SearchRequest{Target: acme, Where: where, Fields: []string{"name", "email"}, PageSize: 2}
	for page, err := range client.Contacts().Pages(context.Background(), query) {
		if err != nil {
			log.Fatal(err)
		}
		for _, contact := range page.Rows {
			fmt.Println(contact.Text("name"), contact.Text("email"))
		}
	}
	// Output:
	// Ann ann@adatum.example
	// Bo bo@adatum.example
	// Cleo cleo@contoso.example
}

// Many rows in one answer of several messages. A stream ends after MaxStreamRows
// with a cursor to go on from.
func ExampleTableClient_Stream() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.search.request.acme": {
		"":              {`{"accounts":[{"id":"1"},{"id":"2"}]}`, `{"accounts":[{"id":"3"}],"next_cursor":"c1"}`},
		`"cursor":"c1"`: {`{"accounts":[{"id":"4"}]}`},
	}})
	defer stop()
	client := messages.NewClient(nc)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	rows := 0
	query := messages.SearchRequest{Target: acme, Fields: []string{"id"}}
	for more := true; more; {
		more = false
		for page, err := range client.Accounts().Stream(ctx, query) {
			if err != nil {
				log.Fatal(err)
			}
			rows += len(page.Rows)
			if page.NextCursor != "" {
				query, more = messages.SearchRequest{Target: acme, Cursor: page.NextCursor}, true
			}
		}
	}
	fmt.Println(rows, "accounts")
	// Output:
	// 4 accounts
}

// A copy of the accounts, kept up to date: the cursor is stored after each page that
// has been worked off, and the next run goes on from there.
func ExampleTableClient_Changes() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.changes.request.acme": {
		"":              {`{"accounts":[{"id":"1","name":"A. Datum"},{"id":"2","name":"Contoso"}],"deleted":[],"next_cursor":"c1","has_more":true}`},
		`"cursor":"c1"`: {`{"accounts":[{"id":"3","name":"Fabrikam"}],"deleted":[],"next_cursor":"c2","has_more":false}`},
		`"cursor":"c2"`: {`{"accounts":[{"id":"1","name":"A. Datum Ltd"}],"deleted":["2"],"next_cursor":"c3","has_more":false}`},
	}})
	defer stop()
	client := messages.NewClient(nc)
	directory, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(directory)
	kept := filepath.Join(directory, "cursor")

	names := map[string]string{} // the copy, by id
	update := func() {
		cursor, _ := os.ReadFile(kept) // none on the first run: all accounts then
		for more := true; more; {
			reply, err := client.Accounts().Changes(context.Background(), messages.ChangesRequest{
				Target: acme, Fields: []string{"id", "name"}, Cursor: string(cursor)})
			if fault, ok := errors.AsType[*messages.Error](err); ok && fault.Code == messages.CursorExpired {
				cursor = nil // not asked for too long: begin again
				clear(names)
				continue
			}
			if err != nil {
				log.Fatal(err)
			}
			for _, account := range reply.Rows {
				names[account.Text("id")] = account.Text("name")
			}
			for _, id := range reply.Deleted {
				delete(names, id)
			}
			cursor, more = []byte(reply.NextCursor), reply.HasMore
			if err := os.WriteFile(kept, cursor, 0o600); err != nil {
				log.Fatal(err)
			}
		}
	}
	update()
	fmt.Println(names)
	update()
	fmt.Println(names)
	// Output:
	// map[1:A. Datum 2:Contoso 3:Fabrikam]
	// map[1:A. Datum Ltd 3:Fabrikam]
}

// One contact; a lookup and a date are read into Go values.
func ExampleTableClient_Get() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.contacts.get.request.acme": {"": {
		`{"contact":{"name":"Ann","account":{"id":"9","name":"A. Datum","entity":"account"},"modified_at":"2026-03-04T05:06:07Z","mobile":null}}`}}})
	defer stop()
	client := messages.NewClient(nc)

	contact, err := client.Contacts().Get(context.Background(), messages.GetRequest{
		Target: acme, ID: "5c7d2f1e-0000-4000-8000-000000000001", Fields: []string{"name", "account", "modified_at", "mobile"}})
	if err != nil {
		log.Fatal(err)
	}
	var account messages.Lookup
	var modified time.Time
	if err := errors.Join(contact.Decode("account", &account), contact.Decode("modified_at", &modified)); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s works for the %s %s\n", contact.Text("name"), account.Entity, account.Name)
	fmt.Printf("changed on %s, mobile %q\n", modified.Format(time.DateOnly), contact.Text("mobile"))
	// Output:
	// Ann works for the account A. Datum
	// changed on 2026-03-04, mobile ""
}

// A filter made of nodes, as it is sent.
func ExampleAll() {
	where := messages.All(
		messages.Leaf("status", messages.Eq, "Active"),
		messages.Any(
			messages.Leaf("city", messages.StartsWith, "New"),
			messages.Leaf("employees", messages.Between, []int{50, 250}),
		),
		messages.Not(messages.Leaf("do_not_email", messages.Eq, true)),
		messages.HasValue("website"),
	)
	text, err := json.Marshal(where)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output:
	// {"and":[{"field":"status","op":"eq","value":"Active"},{"or":[{"field":"city","op":"starts_with","value":"New"},{"field":"employees","op":"between","value":[50,250]}]},{"not":{"field":"do_not_email","op":"eq","value":true}},{"field":"website","op":"not_null"}]}
}

// A filter that a person wrote, and what is said about a wrong one.
func ExampleParseWhere() {
	where, err := messages.ParseWhere("industry in (Consulting, Financial) and not city starts with New")
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(where)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))

	_, err = messages.ParseWhere("name like Contoso")
	fmt.Println(err)
	// Output:
	// {"and":[{"field":"industry","op":"in","value":["Consulting","Financial"]},{"not":{"field":"city","op":"starts_with","value":"New"}}]}
	// there is no such operator; write contains, starts with or ends with (at byte 5 of the expression)
}

// What crmbridge answers with instead of a result: a code to branch on, a message
// for people, and the place in the request.
func ExampleError() {
	nc, stop := connectedTo(map[string]map[string][]string{"crm.accounts.count.request.acme": {"": {
		`{"error":{"code":"invalid_request","message":"where.field: there is no column \"industri\"; did you mean industry?",
			"retryable":false,"details":[{"path":"where.field","message":"there is no column \"industri\"; did you mean industry?"}]}}`}}})
	defer stop()
	client := messages.NewClient(nc)

	where := messages.Leaf("industri", messages.Eq, "Consulting")
	_, err := client.Accounts().Count(context.Background(), messages.CountRequest{Target: acme, Where: &where})
	if fault, ok := errors.AsType[*messages.Error](err); ok {
		fmt.Println(fault.Code, fault.Retryable, fault.Details[0].Path)
		fmt.Println(fault.Details[0].Message)
	}
	// Output:
	// invalid_request false where.field
	// there is no column "industri"; did you mean industry?
}

// What happens to a connection, as it happens.
func ExampleClient_WatchConnection() {
	nc, stop := connectedTo(nil)
	defer stop()
	client := messages.NewClient(nc)

	watch, err := client.WatchConnection("acme")
	if err != nil {
		log.Fatal(err)
	}
	defer watch.Close()
	check(nc.Publish(messages.EventSubject(messages.EventReauthorizationRequired, "acme"), // as crmbridge does
		[]byte(`{"event_id":"1","kind":"reauthorization_required","connection":"acme","last_error":"the password was changed"}`)))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	event, err := watch.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if event.Kind == messages.EventReauthorizationRequired {
		fmt.Printf("%s: a person must connect again: %s\n", event.Connection, event.LastError)
	}
	// Output:
	// acme: a person must connect again: the password was changed
}

// The same question of each table.
func ExampleClient_Table() {
	nc, stop := connectedTo(map[string]map[string][]string{
		"crm.accounts.count.request.acme": {"": {`{"count":31}`}},
		"crm.contacts.count.request.acme": {"": {`{"count":240}`}},
	})
	defer stop()
	client := messages.NewClient(nc)

	for _, table := range []messages.Table{messages.Accounts, messages.Contacts} {
		count, err := client.Table(table).Count(context.Background(), messages.CountRequest{Target: acme})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(count, table.Name)
	}
	// Output:
	// 31 accounts
	// 240 contacts
}
