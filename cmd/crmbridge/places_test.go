package main

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/world"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A place that Dataverse no longer takes is expired where a requester brought it,
// and a fault of Dataverse's where it had just given it out.
func TestAPlaceThatDataverseNoLongerTakes(t *testing.T) {
	w := world.New(t, emulator.Options{Accounts: 30})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.AccountsSearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 10}
	page, err := client.Search(t.Context(), in)
	if err != nil || page.NextCursor == "" {
		t.Fatal(err)
	}
	control := w.Emulator.Control()
	bad := emulator.Fault{Kind: emulator.KindBadCookie}
	code := func(err error) (messages.Code, bool) {
		fault, ok := errors.AsType[*messages.Error](err)
		if !ok {
			t.Fatalf("%v", err)
		}
		return fault.Code, fault.Retryable
	}
	control.Fail(bad)
	_, err = client.Search(t.Context(), messages.AccountsSearchRequest{Target: in.Target, Cursor: page.NextCursor})
	if code, again := code(err); code != messages.CursorExpired || again {
		t.Errorf("the cursor: %v", err)
	}
	control.Fail(bad)
	rows := 0
	for part, fault := range client.Stream(t.Context(), in) {
		if err = fault; err == nil {
			rows += len(part.Accounts)
		}
	}
	if code, again := code(err); code != messages.UpstreamError || !again || rows != 10 {
		t.Errorf("after %d rows: %v", rows, err)
	}
	if page, err := client.Search(t.Context(), messages.AccountsSearchRequest{Target: in.Target, Cursor: page.NextCursor}); err != nil || len(page.Accounts) != 10 {
		t.Errorf("the cursor, when Dataverse takes it again: %v", err)
	}
}

// The answer to a body that cannot be decoded names the connection that it is about.
func TestErrorsNameTheConnection(t *testing.T) {
	w := world.New(t, emulator.Options{Accounts: 10})
	w.Bridge(w.Settings(true), nil)
	_, nc := w.Client()
	for _, body := range []string{`{"connection":"acme","page_size":0}`, `{"connection":"acme","nosuch":1}`, `{"page_size":"x","connection":"acme"}`} {
		reply, err := nc.Request(messages.AccountsSearch.Subject(), []byte(body), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Connection string }
		if err := json.Unmarshal(reply.Data, &got); err != nil || got.Connection != "acme" {
			t.Errorf("%s: %s", body, reply.Data)
		}
	}
}
