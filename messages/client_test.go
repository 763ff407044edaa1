package messages_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

func codeOf(err error) messages.Code {
	var fault *messages.Error
	if errors.As(err, &fault) {
		return fault.Code
	}
	return ""
}

func TestClientWithoutAnAnswer(t *testing.T) {
	b := newBus(t)
	_, err := b.client.WhoAmI(t.Context(), "acme")
	if codeOf(err) != messages.Unavailable || !errors.Is(err, nats.ErrNoResponders) || !strings.Contains(err.Error(), "crm.users.whoami.request.acme") {
		t.Errorf("nobody there: %v", err)
	}
	received := make(chan struct{}, 4)
	b.answer("crm.users.whoami.request.*", func(*nats.Msg) { received <- struct{}{} })

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.client.WhoAmI(short, "acme"); codeOf(err) != messages.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer in time: %v", err)
	}
	<-received

	cancelled, cancel := context.WithCancel(t.Context())
	go func() { <-received; cancel() }()
	if _, err := b.client.WhoAmI(cancelled, "acme"); !errors.Is(err, context.Canceled) || codeOf(err) != "" {
		t.Errorf("cancelled: %v", err)
	}
	for _, id := range []string{"a.b", "*", ">", "a b", strings.Repeat("a", 65)} {
		if _, err := b.client.WhoAmI(t.Context(), id); codeOf(err) != messages.InvalidRequest {
			t.Errorf("%q: %v", id, err)
		}
	}
	large := messages.SearchRequest{Cursor: strings.Repeat("x", 70<<10)}
	if _, err := b.client.Accounts().Search(t.Context(), large); codeOf(err) != messages.TooLarge {
		t.Errorf("a request above max_payload: %v", err)
	}
	if _, err := b.client.Accounts().Search(t.Context(), messages.SearchRequest{Mode: messages.ModeStream}); codeOf(err) != messages.InvalidRequest {
		t.Errorf("Search in stream mode: %v", err)
	}
	b.requester.Close()
	if _, err := b.client.WhoAmI(t.Context(), "acme"); codeOf(err) != messages.Unavailable {
		t.Errorf("closed connection: %v", err)
	}
}

func TestClientErrorReplies(t *testing.T) {
	full := `{"request_id":"r","error":{"code":"throttled","message":"wait","retryable":true,"retry_after_ms":1500,"newer":1,` +
		`"dynamics":{"status":429,"code":"0x80072322","message":"slow","request_id":"d"}}}`
	for _, test := range []struct {
		name, body string
		headers    []string
		code       messages.Code
		message    string
	}{
		{"as crmbridge answers", full, []string{messages.HeaderErrorCode, "throttled", messages.HeaderServiceErrorCode, "429"}, messages.Throttled, "wait"},
		{"service header alone", full, []string{messages.HeaderServiceErrorCode, "429"}, messages.Throttled, "wait"},
		{"body lost", ``, []string{messages.HeaderErrorCode, "not_found", messages.HeaderServiceError, "no such account"}, messages.NotFound, "no such account"},
		{"body without an error", `{}`, []string{messages.HeaderErrorCode, "overloaded"}, messages.Overloaded, "says nothing"},
		{"nothing but a number", `no JSON`, []string{messages.HeaderServiceErrorCode, "500"}, messages.Internal, "says nothing"},
		{"not an answer", `{"user_id":"Zq7X","user_id":1}`, nil, "", "not what crmbridge sends"},
		{"wrong type", `{"user_id":["Zq7X"]}`, nil, "", "not what crmbridge sends"},
		{"empty", ``, nil, "", "not what crmbridge sends"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBus(t)
			b.answer("crm.users.whoami.request.acme", func(msg *nats.Msg) { b.reply(msg, test.body, test.headers...) })
			_, err := b.client.WhoAmI(t.Context(), "acme")
			if err == nil || codeOf(err) != test.code || !strings.Contains(err.Error(), test.message) || strings.Contains(err.Error(), "Zq7X") {
				t.Fatalf("%v, want %s %q", err, test.code, test.message)
			}
			var fault *messages.Error
			if errors.As(err, &fault) && fault.Dynamics != nil && (fault.RetryAfter() != 1500*time.Millisecond || fault.Dynamics.Status != 429) {
				t.Errorf("%+v", fault)
			}
		})
	}
}

// Each call: the subject and the body that go out, the answer that comes back.
func TestClientCalls(t *testing.T) {
	target := messages.Target{Connection: "acme"}
	tests := []struct {
		subject, body, reply, want string
		call                       func(context.Context, *messages.Client) (any, error)
	}{
		{"crm.connections.authorize.request.acme", `{"connection":"acme","environment_url":"https://contoso.crm4.dynamics.com"}`,
			`{"request_id":"r","connect_url":"https://crm.example/connect/t","expires_at":"2026-01-02T03:04:05Z"}`, "https://crm.example/connect/t 3:04AM",
			func(ctx context.Context, c *messages.Client) (any, error) {
				reply, err := c.Authorize(ctx, messages.AuthorizeRequest{Target: target, EnvironmentURL: "https://contoso.crm4.dynamics.com"})
				if err != nil {
					return nil, err
				}
				return reply.ConnectURL + " " + reply.ExpiresAt.Format(time.Kitchen), nil
			}},
		{"crm.connections.complete.request", `{"state":"s","code":"c"}`, `{"request_id":"r","connection":{"id":"acme","status":"active"}}`, "acme active",
			func(ctx context.Context, c *messages.Client) (any, error) {
				reply, err := c.Complete(ctx, messages.CompleteRequest{State: "s", Code: "c"})
				if err != nil {
					return nil, err
				}
				return reply.Connection.ID + " " + reply.Connection.Status, nil
			}},
		{"crm.connections.get.request.acme", `{"connection":"acme"}`, `{"connection":{"id":"acme","refreshed_at":null,"newer":[]}}`, "acme",
			func(ctx context.Context, c *messages.Client) (any, error) {
				connection, err := c.Connection(ctx, "acme")
				if err != nil {
					return nil, err
				}
				return connection.ID, nil
			}},
		{"crm.connections.list.request", `{"page_size":2}`, `{"connections":[{"id":"a"},{"id":"b"}],"next_cursor":"n"}`, "2 n",
			func(ctx context.Context, c *messages.Client) (any, error) {
				reply, err := c.Connections(ctx, messages.ConnectionsListRequest{PageSize: 2})
				if err != nil {
					return nil, err
				}
				return fmt.Sprint(len(reply.Connections), " ", reply.NextCursor), nil
			}},
		{"crm.connections.delete.request.acme", `{"connection":"acme"}`, `{"connection":"acme","deleted":true}`, "deleted",
			func(ctx context.Context, c *messages.Client) (any, error) { return "deleted", c.Delete(ctx, "acme") }},
		{"crm.users.whoami.request.acme", `{"connection":"acme"}`, `{"user_id":"u","business_unit_id":"b","organization_id":"o"}`, "u b o",
			func(ctx context.Context, c *messages.Client) (any, error) {
				me, err := c.WhoAmI(ctx, "acme")
				if err != nil {
					return nil, err
				}
				return me.UserID + " " + me.BusinessUnitID + " " + me.OrganizationID, nil
			}},
		{"crm.users.get.request.acme", `{"connection":"acme","email":"a@b"}`, `{"user":{"id":"u","roles":[{"name":"Sales","via":"direct"}]}}`, "u Sales direct",
			func(ctx context.Context, c *messages.Client) (any, error) {
				user, err := c.User(ctx, messages.UserGetRequest{Target: target, Email: "a@b"})
				if err != nil {
					return nil, err
				}
				return user.ID + " " + user.Roles[0].Name + " " + user.Roles[0].Via, nil
			}},
		{"crm.accounts.get.request.acme", `{"connection":"acme","account_id":"1","fields":["revenue"]}`, `{"account":{"revenue":90071992547409930.10}}`, "90071992547409930.10",
			func(ctx context.Context, c *messages.Client) (any, error) {
				account, err := c.Accounts().Get(ctx, messages.GetRequest{Target: target, ID: "1", Fields: []string{"revenue"}})
				return account.Text("revenue"), err
			}},
		{"crm.accounts.search.request.acme", `{"connection":"acme","where":{"field":"revenue","op":"gt","value":0.10},"limit":3}`, `{"accounts":[{"name":"A"}],"total":9}`, "A 9",
			func(ctx context.Context, c *messages.Client) (any, error) {
				where := messages.Leaf("revenue", messages.Gt, jsontext.Value("0.10"))
				page, err := c.Accounts().Search(ctx, messages.SearchRequest{Target: target, Where: &where, Limit: 3})
				if err != nil {
					return nil, err
				}
				return fmt.Sprint(page.Rows[0].Text("name"), " ", *page.Total), nil
			}},
	}
	for _, test := range tests {
		t.Run(test.subject, func(t *testing.T) {
			b := newBus(t)
			requests := make(chan *nats.Msg, 1)
			b.answer("crm.>", func(msg *nats.Msg) {
				requests <- msg
				b.reply(msg, test.reply)
			})
			got, err := test.call(t.Context(), b.client)
			if err != nil || got != test.want {
				t.Errorf("%v, %v; want %v", got, err, test.want)
			}
			if sent := <-requests; sent.Subject != test.subject || string(sent.Data) != test.body {
				t.Errorf("sent %s to %s, want %s", sent.Data, sent.Subject, test.body)
			}
		})
	}
}

func TestClientHeaders(t *testing.T) {
	b := newBus(t)
	requests := make(chan *nats.Msg, 1)
	b.answer("crm.>", func(msg *nats.Msg) { requests <- msg; b.reply(msg, `{}`) })
	deadlineOf := func(ctx context.Context) (time.Time, string) {
		if _, err := b.client.WhoAmI(ctx, "acme"); err != nil {
			t.Fatal(err)
		}
		header := (<-requests).Header
		deadline, err := time.Parse(time.RFC3339, header.Get(messages.HeaderDeadline))
		if err != nil {
			t.Fatal(err)
		}
		id := header.Get(messages.HeaderRequestID)
		if parsed, err := uuid.Parse(id); err != nil || parsed.Version() != 7 || !messages.ValidRequestID(id) {
			t.Errorf("request id %q: version %d, %v", id, parsed.Version(), err)
		}
		return deadline, id
	}
	want := time.Now().Add(time.Minute)
	ctx, cancel := context.WithDeadline(t.Context(), want)
	defer cancel()
	deadline, first := deadlineOf(ctx)
	if !deadline.Equal(want) {
		t.Errorf("deadline %s, want %s", deadline, want)
	}
	before := time.Now()
	deadline, second := deadlineOf(t.Context())
	if deadline.Before(before.Add(messages.DefaultDeadline)) || deadline.After(time.Now().Add(messages.DefaultDeadline)) {
		t.Errorf("without a deadline: %s after the call", deadline.Sub(before))
	}
	if first == second {
		t.Error("two requests have one id")
	}
}

func TestClientPages(t *testing.T) {
	b := newBus(t)
	var asked []string
	b.answer("crm.accounts.search.request.acme", func(msg *nats.Msg) {
		asked = append(asked, string(msg.Data))
		var in struct{ Cursor string }
		if err := json.Unmarshal(msg.Data, &in); err != nil {
			t.Error(err)
		}
		switch in.Cursor {
		case "":
			b.reply(msg, `{"accounts":[{"name":"A"},{"name":"B"}],"next_cursor":"c1"}`)
		case "c1":
			b.reply(msg, `{"accounts":[],"next_cursor":"c2"}`) // an empty page is not the end
		case "c2":
			b.reply(msg, `{"accounts":[{"name":"C"}]}`)
		default:
			b.reply(msg, `{"error":{"code":"invalid_request","message":"bad cursor"}}`, messages.HeaderErrorCode, "invalid_request")
		}
	})
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"name"}, PageSize: 2}
	var names []string
	for page, err := range b.client.Accounts().Pages(t.Context(), in) {
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range page.Rows {
			names = append(names, account.Text("name"))
		}
	}
	if diff := cmp.Diff([]string{"A", "B", "C"}, names); diff != "" {
		t.Error(diff)
	}
	want := []string{`{"connection":"acme","fields":["name"],"page_size":2}`, `{"connection":"acme","cursor":"c1"}`, `{"connection":"acme","cursor":"c2"}`}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
	asked = nil
	for range b.client.Accounts().Pages(t.Context(), in) {
		break
	}
	if len(asked) != 1 {
		t.Errorf("a caller that stops early asked %d times", len(asked))
	}
	in.Cursor = "forged"
	rounds := 0
	for page, err := range b.client.Accounts().Pages(t.Context(), in) {
		if rounds++; codeOf(err) != messages.InvalidRequest || page != nil {
			t.Errorf("bad cursor: %v, %v", page, err)
		}
	}
	if rounds != 1 {
		t.Errorf("%d rounds after an error", rounds)
	}
}
