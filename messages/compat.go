package messages

// Temporary: names of the time when accounts were the only table, until all of
// handlers and cmd use the new ones.

import (
	"context"
	"iter"
	"reflect"
	"slices"
	"strings"
)

type (
	Account                = Row
	AccountsSearchRequest  = SearchRequest
	AccountsCountRequest   = CountRequest
	AccountsCountReply     = CountReply
	AccountsFieldsRequest  = FieldsRequest
	AccountsFieldsReply    = FieldsReply
	AccountsChangesRequest = ChangesRequest
)

type AccountsPage struct {
	Head
	Accounts   []Account `json:"accounts"`
	Total      *int64    `json:"total,omitzero"`
	NextCursor string    `json:"next_cursor,omitzero"`
}

type AccountGetRequest struct {
	Target
	AccountID string   `json:"account_id" jsonschema:"accountid"`
	Fields    []string `json:"fields,omitempty" jsonschema:"as in accounts.search"`
}

type AccountReply struct {
	Head
	Account Account `json:"account"`
}

type AccountsChangesReply struct {
	Head
	Accounts   []Account `json:"accounts"`
	Deleted    []string  `json:"deleted"`
	NextCursor string    `json:"next_cursor"`
	HasMore    bool      `json:"has_more"`
}

const (
	AccountsSearch  Operation = "accounts.search"
	AccountsGet     Operation = "accounts.get"
	AccountsCount   Operation = "accounts.count"
	AccountsFields  Operation = "accounts.fields"
	AccountsChanges Operation = "accounts.changes"

	CheckAccountsRead    = "accounts.read"
	CheckAccountsChanges = "accounts.changes"
)

func DefaultFields() []string { return slices.Clone(Accounts.DefaultFields) }

func Schema(body reflect.Type) (string, error) {
	if ofTable(body) || strings.HasPrefix(body.Name(), "Account") {
		return schemaOf(body, &Accounts, nil)
	}
	return schemaOf(body, nil, nil)
}

// tablesOr makes a list that may be left out: accounts then, as before.
func tablesOr(tables [][]Table) []Table {
	if len(tables) == 0 {
		return []Table{Accounts}
	}
	return tables[0]
}

func (c *Client) Account(ctx context.Context, in AccountGetRequest) (Account, error) {
	return c.Accounts().Get(ctx, GetRequest{Target: in.Target, ID: in.AccountID, Fields: in.Fields})
}

func (c *Client) Check(ctx context.Context, connection string) ([]PermissionCheck, error) {
	return c.CheckTables(ctx, CheckRequest{Target: Target{connection}})
}

func (c *Client) Count(ctx context.Context, in CountRequest) (int64, error) {
	return c.Accounts().Count(ctx, in)
}

func (c *Client) Fields(ctx context.Context, in FieldsRequest) (*FieldsReply, error) {
	return c.Accounts().Fields(ctx, in)
}

func (c *Client) Changes(ctx context.Context, in ChangesRequest) (*AccountsChangesReply, error) {
	r, err := c.Accounts().Changes(ctx, in)
	if err != nil {
		return nil, err
	}
	return &AccountsChangesReply{r.Head, r.Rows, r.Deleted, r.NextCursor, r.HasMore}, nil
}

func (c *Client) Search(ctx context.Context, in SearchRequest) (*AccountsPage, error) {
	page, err := c.Accounts().Search(ctx, in)
	return oldPage(page), err
}

func oldPage(page *Page) *AccountsPage {
	if page == nil {
		return nil
	}
	return &AccountsPage{page.Head, page.Rows, page.Total, page.NextCursor}
}

func oldPages(pages iter.Seq2[*Page, error]) iter.Seq2[*AccountsPage, error] {
	return func(yield func(*AccountsPage, error) bool) {
		for page, err := range pages {
			if !yield(oldPage(page), err) {
				return
			}
		}
	}
}

func (c *Client) Pages(ctx context.Context, in SearchRequest) iter.Seq2[*AccountsPage, error] {
	return oldPages(c.Accounts().Pages(ctx, in))
}

func (c *Client) Stream(ctx context.Context, in SearchRequest) iter.Seq2[*AccountsPage, error] {
	return oldPages(c.Accounts().Stream(ctx, in))
}
