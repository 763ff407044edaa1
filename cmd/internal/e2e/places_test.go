package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A place that Dataverse no longer takes is expired where a requester brought it,
// and a fault of Dataverse's where it had just given it out.
func TestAPlaceThatDataverseNoLongerTakes(t *testing.T) {
	forTables(t, testAPlaceThatDataverseNoLongerTakes)
}

func testAPlaceThatDataverseNoLongerTakes(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(30))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 10}
	page, err := table.of(client).Search(t.Context(), in)
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
	_, err = table.of(client).Search(t.Context(), messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor})
	if code, again := code(err); code != messages.CursorExpired || again {
		t.Errorf("the cursor: %v", err)
	}
	control.Fail(bad)
	rows := 0
	for part, fault := range table.of(client).Stream(t.Context(), in) {
		if err = fault; err == nil {
			rows += len(part.Rows)
		}
	}
	if code, again := code(err); code != messages.UpstreamError || !again || rows != 10 {
		t.Errorf("after %d rows: %v", rows, err)
	}
	if page, err := table.of(client).Search(t.Context(), messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor}); err != nil || len(page.Rows) != 10 {
		t.Errorf("the cursor, when Dataverse takes it again: %v", err)
	}
}

// An order by a lookup ends where Dataverse ends it: with the reason and not with
// advice to begin again.
func TestPagesInTheOrderOfALookupEnd(t *testing.T) { forTables(t, testPagesInTheOrderOfALookupEnd) }

func testPagesInTheOrderOfALookupEnd(t *testing.T, table *testedTable) {
	options := table.options(100)
	options.SimplePagingRows = 60
	w := table.world(t, options)
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, OrderBy: []string{"-name", "owner"}, PageSize: 20}
	var err error
	rows := 0
	for {
		var page *messages.Page
		if page, err = table.of(client).Search(t.Context(), in); err != nil {
			break
		}
		rows += len(page.Rows)
		in = messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor}
	}
	fault, ok := errors.AsType[*messages.Error](err)
	if !ok || rows != 60 || fault.Code != messages.NotSupported || fault.Retryable || !strings.Contains(fault.Message, "by the lookup owner") ||
		!strings.Contains(fault.Message, "50,000") || len(fault.Details) != 1 || fault.Details[0].Path != "order_by[1]" || fault.Dynamics == nil {
		t.Errorf("after %d rows: %+v", rows, err)
	}
}

// What could not be read to its end is refused with the first page, where a bound of
// the requester's does not end it before.
func TestMoreRowsThanTheOrderOfALookupHas(t *testing.T) {
	bridgetest.Long(t, "it pages through tens of thousands of rows")
	forLargeTables(t, testMoreRowsThanTheOrderOfALookupHas)
}

func testMoreRowsThanTheOrderOfALookupHas(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(50_001))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	active := messages.Leaf("status", messages.Eq, 0)
	ctx, cancel := context.WithTimeout(t.Context(), messages.MaxDeadline) // a busy machine takes long for as many rows
	defer cancel()
	for name, c := range map[string]struct {
		in      messages.SearchRequest
		refused bool
	}{
		"all":        {messages.SearchRequest{}, true},
		"counted":    {messages.SearchRequest{IncludeTotal: true}, true},
		"limit":      {messages.SearchRequest{Limit: 50_000}, false},
		"high limit": {messages.SearchRequest{Limit: 50_001}, true},
		"fewer":      {messages.SearchRequest{Where: &active}, false},
	} {
		c.in.Target, c.in.OrderBy = messages.Target{Connection: "acme"}, []string{"owner"}
		page, err := table.of(client).Search(ctx, c.in)
		fault, ok := errors.AsType[*messages.Error](err)
		switch {
		case !c.refused && (err != nil || len(page.Rows) != 100):
			t.Errorf("%s: %v", name, err)
		case c.refused && (!ok || fault.Code != messages.NotSupported || !strings.Contains(fault.Message, "by the lookup owner") || fault.Details[0].Path != "order_by[0]"):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The answer to a body that cannot be decoded names the connection that it is about.
func TestErrorsNameTheConnection(t *testing.T) { forTables(t, testErrorsNameTheConnection) }

func testErrorsNameTheConnection(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(10))
	w.Bridge(w.Settings(true), nil)
	_, nc := w.Client()
	for _, body := range []string{`{"connection":"acme","page_size":0}`, `{"connection":"acme","nosuch":1}`, `{"page_size":"x","connection":"acme"}`} {
		reply, err := nc.Request(table.Operation(messages.VerbSearch).Subject(), []byte(body), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Connection string }
		if err := json.Unmarshal(reply.Data, &got); err != nil || got.Connection != "acme" {
			t.Errorf("%s: %s", body, reply.Data)
		}
	}
}
