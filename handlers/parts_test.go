package handlers

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// asked runs an operation as a lane does.
func asked(t *testing.T, d *dataverse, op messages.Operation, budget int, in any) route.Answer {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return routesOf(t, d.operations)[op].Serve(t.Context(), route.Call{Operation: op, RequestID: "x", Scope: "acme",
		Connection: "acme",
		Deadline:   time.Now().Add(time.Minute), Budget: budget}, body)
}

// Whichever part of a stream was the last that arrived, its cursor leads to the rows after
// it, and no others; the last part has none where nothing follows.
func TestEveryPartOfAStreamCanBeGoneOnFrom(t *testing.T) {
	type page struct {
		Accounts []messages.Row `json:"accounts"`
	}
	all := rows(0, 120, 0)
	d, _, _ := operated(t, all)
	for range 20 {
		size, limit := messages.Count(1+rand.IntN(40)), messages.Count(rand.IntN(150))
		budget := 1000 + rand.IntN(5000)
		in := messages.SearchRequest{Fields: []string{"id", "name"}, OrderBy: []string{"name"}, PageSize: size,
			Limit: limit, Mode: messages.ModeStream}
		want := idsOfRows(all)
		if limit > 0 {
			want = want[:min(int(limit), len(want))]
		}
		answer := asked(t, d, "accounts.search", budget, in)
		if !answer.Numbered || answer.Call.Connection != "acme" {
			t.Fatalf("%+v", answer)
		}
		var delivered []string
		ended := false
		for part, err := range answer.Parts {
			if err != nil {
				t.Fatal(err)
			}
			var reply page
			if err := json.Unmarshal(part.Body, &reply); err != nil || len(reply.Accounts) != part.Rows {
				t.Fatalf("%v: %d rows, counted %d", err, len(reply.Accounts), part.Rows)
			}
			delivered = append(delivered, idsOf(t, reply.Accounts)...)
			cursor, err := part.After.Cursor()
			if err != nil || (cursor == "") != (len(delivered) == len(want)) {
				t.Fatalf("page_size %d, limit %d: after %d of %d rows the cursor has %d bytes, %v", size, limit, len(delivered),
					len(want), len(cursor), err)
			}
			got := slices.Clone(delivered)
			if cursor != "" {
				for more, err := range asked(t, d, "accounts.search", 1<<20, messages.SearchRequest{Cursor: cursor, Mode: messages.ModeStream}).Parts {
					if err != nil {
						t.Fatal(err)
					}
					var rest page
					if err := json.Unmarshal(more.Body, &rest); err != nil {
						t.Fatal(err)
					}
					got = append(got, idsOf(t, rest.Accounts)...)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("page_size %d, limit %d: %d rows with the cursor after %d, want %d", size, limit, len(got),
					len(delivered), len(want))
			}
			ended = part.Last
		}
		if !ended || len(delivered) != len(want) {
			t.Fatalf("%d rows of %d, ended %v", len(delivered), len(want), ended)
		}
	}
}

// The cursor of a part is the one in its reply, where that has one.
func TestThePartsCursorIsTheReplys(t *testing.T) {
	all := rows(0, 10, 0)
	d, _, _ := operated(t, all)
	d.change(func() { d.changed = changedRows(all) })
	for op, in := range map[messages.Operation]any{
		"accounts.search":  messages.SearchRequest{PageSize: 4, Fields: []string{"id"}},
		"accounts.changes": messages.ChangesRequest{PageSize: 4, Fields: []string{"id"}},
	} {
		answer := asked(t, d, op, 1<<20, in)
		if answer.Numbered {
			t.Errorf("%s: the parts are numbered", op)
		}
		parts := 0
		for part, err := range answer.Parts {
			if err != nil {
				t.Fatal(err)
			}
			var reply struct {
				NextCursor string `json:"next_cursor"`
			}
			if err := json.Unmarshal(part.Body, &reply); err != nil {
				t.Fatal(err)
			}
			if cursor, err := part.After.Cursor(); err != nil || cursor == "" || cursor != reply.NextCursor {
				t.Errorf("%s: %v", op, err)
			}
			parts++
		}
		if parts != 1 {
			t.Errorf("%s: %d parts", op, parts)
		}
	}
}

// A refused body keeps the connection that it names, and the numbers that it may ask for.
func TestAnswersToWhatCannotBeRead(t *testing.T) {
	d, _, _ := operated(t, nil)
	for op, numbered := range map[messages.Operation]bool{"accounts.search": true, "accounts.changes": false, "users.get": false} {
		answer := routesOf(t, d.operations)[op].Serve(t.Context(),
			route.Call{Operation: op, RequestID: "x", Budget: 1 << 20}, []byte(`{"connection":"acme","wrong":1}`))
		if answer.Call.Connection != "acme" || answer.Numbered != numbered {
			t.Errorf("%s: %+v", op, answer)
		}
		for _, err := range answer.Parts {
			as(t, err, messages.InvalidRequest)
		}
	}
}
