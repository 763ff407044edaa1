package messages

// DefaultChangesPageSize is the page size of accounts.changes: its reader wants
// everything, and a reply must fit one message.
const DefaultChangesPageSize = 1000

// AccountsChangesRequest asks for what changed since Cursor was given out; without
// one it begins with every account.
type AccountsChangesRequest struct {
	Target
	Fields   []string `json:"fields,omitempty" jsonschema:"as in accounts.search"`
	Cursor   string   `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before, or of the last time; alone or with the identical fields"`
	PageSize Count    `json:"page_size,omitzero" jsonschema:"1 to 5000; default 1000"`
}

// AccountsChangesReply is one page of changes. The same account may come again in
// a later page when it changed meanwhile.
type AccountsChangesReply struct {
	Head
	// Accounts were made or changed; each is as it is now.
	Accounts []Account `json:"accounts"`
	// Deleted are the ids of accounts that are gone, none of which is among Accounts;
	// one that was restored is there and no more deleted. One that was made and deleted
	// since the last time may be among them.
	Deleted []string `json:"deleted"`
	// NextCursor is always there: keep it and ask again, at once while HasMore says
	// so, later otherwise.
	NextCursor string `json:"next_cursor"`
	HasMore    bool   `json:"has_more"`
}
