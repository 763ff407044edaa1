package messages_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// Every table is asked on its own subjects and under its own names, one that
// crmbridge does not know too.
func TestClientOfATable(t *testing.T) {
	target := messages.Target{Connection: "acme"}
	b := newBus(t)
	requests := make(chan *nats.Msg, 1)
	replies := map[string]string{}
	b.answer("crm.>", func(msg *nats.Msg) {
		requests <- msg
		b.reply(msg, replies[msg.Subject], messages.HeaderPage, "1", messages.HeaderLast, "true")
	})
	for name, ask := range map[string]*messages.TableClient{
		"account": b.client.Accounts(), "contact": b.client.Contacts(), "widget": b.client.Table(widgets),
	} {
		row := `{"name":"A"}`
		reply := func(verb messages.Verb, body string) {
			replies["crm."+name+"s."+string(verb)+".request.acme"] = `{"request_id":"r","connection":"acme",` + body + `}`
		}
		reply(messages.VerbSearch, `"`+name+`s":[`+row+`],"total":9`)
		reply(messages.VerbGet, `"`+name+`":`+row)
		reply(messages.VerbCount, `"count":7`)
		reply(messages.VerbFields, `"fields":[{"name":"id"}]`)
		reply(messages.VerbChanges, `"`+name+`s":[`+row+`],"deleted":["2"],"next_cursor":"c","has_more":true`)
		for _, test := range []struct {
			verb       messages.Verb
			body, want string
			ask        func() (string, error)
		}{
			{messages.VerbSearch, `{"connection":"acme","limit":1}`, "A 9", func() (string, error) {
				page, err := ask.Search(t.Context(), messages.SearchRequest{Target: target, Limit: 1})
				if err != nil {
					return "", err
				}
				return fmt.Sprint(page.Rows[0].Text("name"), " ", *page.Total), nil
			}},
			{messages.VerbSearch, `{"connection":"acme","mode":"stream"}`, "A", func() (text string, err error) {
				for page, err := range ask.Stream(t.Context(), messages.SearchRequest{Target: target}) {
					if err != nil {
						return "", err
					}
					text += page.Rows[0].Text("name")
				}
				return text, nil
			}},
			{messages.VerbGet, `{"connection":"acme","` + name + `_id":"1"}`, "A", func() (string, error) {
				row, err := ask.Get(t.Context(), messages.GetRequest{Target: target, ID: "1"})
				return row.Text("name"), err
			}},
			{messages.VerbCount, `{"connection":"acme"}`, "7", func() (string, error) {
				count, err := ask.Count(t.Context(), messages.CountRequest{Target: target})
				return fmt.Sprint(count), err
			}},
			{messages.VerbFields, `{"connection":"acme","custom_only":true}`, "id", func() (string, error) {
				reply, err := ask.Fields(t.Context(), messages.FieldsRequest{Target: target, CustomOnly: true})
				if err != nil {
					return "", err
				}
				return reply.Fields[0].Name, nil
			}},
			{messages.VerbChanges, `{"connection":"acme","page_size":5}`, "A [2] c true", func() (string, error) {
				reply, err := ask.Changes(t.Context(), messages.ChangesRequest{Target: target, PageSize: 5})
				if err != nil {
					return "", err
				}
				return fmt.Sprint(reply.Rows[0].Text("name"), " ", reply.Deleted, " ", reply.NextCursor, " ", reply.HasMore), nil
			}},
		} {
			got, err := test.ask()
			if err != nil || got != test.want {
				t.Errorf("%ss.%s: %q, %v; want %q", name, test.verb, got, err, test.want)
			}
			if sent := <-requests; string(sent.Data) != test.body || sent.Subject != "crm."+name+"s."+string(test.verb)+".request.acme" {
				t.Errorf("sent %s to %s, want %s", sent.Data, sent.Subject, test.body)
			}
		}
	}
}
