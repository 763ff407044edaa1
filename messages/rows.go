package messages

// Bounds of the operations of tables.
const (
	// MaxPageSize is Dataverse's own bound on rows per page.
	MaxPageSize = 5000
	// DefaultPageSize is the page size of a search in page mode. Stream mode has
	// MaxPageSize by default, since its reader wants everything.
	DefaultPageSize = 100
	// DefaultChangesPageSize is the page size of changes: the reader wants
	// everything, and a reply must fit one message.
	DefaultChangesPageSize = 1000
	// MaxStreamRows is where one stream-mode answer ends with a cursor.
	MaxStreamRows = 50_000
	// MaxFields bounds fields, MaxOrderBy order_by.
	MaxFields  = 100
	MaxOrderBy = 10
	// MaxCursor bounds a cursor in characters.
	MaxCursor = 256 << 10
)

// Modes of a search.
const (
	// ModePage answers with one reply and, where there is more, a cursor.
	ModePage = "page"
	// ModeStream answers with as many replies as it takes.
	ModeStream = "stream"
)

// The bodies below are those of every table. What differs between tables is
// written down beside a member: a "table" tag says that the table names the
// member ("rows": Table.Name, "row": Table.One, "id": Table.IDMember), and words
// in braces in a description are the table's (see describe). A [Codec] made by
// [CodecFor] reads and writes them for one table; encoding them without one gives
// the neutral names, which crmbridge never sends.

// SearchRequest asks for the rows that match a filter.
type SearchRequest struct {
	Target
	Where        *Where   `json:"where,omitzero"`
	Fields       []string `json:"fields,omitempty" jsonschema:"friendly or logical column names; default {defaults}; the friendly names are {fields}"`
	OrderBy      []string `json:"order_by,omitempty" jsonschema:"fields, a leading hyphen sorts in descending order; the id is added as the last key"`
	PageSize     Count    `json:"page_size,omitzero" jsonschema:"1 to 5000; default 100 in page mode, 5000 in stream mode"`
	Cursor       string   `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before; alone or with the identical query"`
	Limit        Count    `json:"limit,omitzero" jsonschema:"at most this many rows over all pages"`
	IncludeTotal bool     `json:"include_total,omitzero" jsonschema:"count the matching {rows} too"`
	Mode         string   `json:"mode,omitzero" jsonschema:"page (default) or stream"`
}

// Page is one reply of a search.
type Page struct {
	Head
	Rows       []Row  `json:"rows" table:"rows" jsonschema:"the requested fields of each {row}, under the names they were asked by"`
	Total      *int64 `json:"total,omitzero" jsonschema:"how many {rows} match in all, where include_total asked for it"`
	NextCursor string `json:"next_cursor,omitzero" jsonschema:"there are more; send it as cursor"`
}

// GetRequest asks for one row.
type GetRequest struct {
	Target
	ID     string   `json:"id" table:"id" jsonschema:"{key}"`
	Fields []string `json:"fields,omitempty" jsonschema:"as in {rows}.search; default {defaults}"`
}

// RowReply holds one row.
type RowReply struct {
	Head
	Row Row `json:"row" table:"row" jsonschema:"the requested fields under the names they were asked by"`
}

// CountRequest asks how many rows match a filter.
type CountRequest struct {
	Target
	Where *Where `json:"where,omitzero"`
}

// CountReply is the number of matching rows, exact for unchanging data however
// many there are.
type CountReply struct {
	Head
	Count int64 `json:"count"`
}

// ChangesRequest asks for what changed since Cursor was given out; without one it
// begins with every row.
type ChangesRequest struct {
	Target
	Fields   []string `json:"fields,omitempty" jsonschema:"as in {rows}.search; default {defaults}"`
	Cursor   string   `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before, or of the last time; alone or with the identical fields"`
	PageSize Count    `json:"page_size,omitzero" jsonschema:"1 to 5000; default 1000"`
}

// ChangesReply is one page of changes. The same row may come again in a later
// page when it changed meanwhile.
type ChangesReply struct {
	Head
	// Rows were made or changed; each is as it is now.
	Rows []Row `json:"rows" table:"rows" jsonschema:"each {row} that was made or changed, as it is now"`
	// Deleted are the ids of rows that are gone, none of which is among Rows; one
	// that was restored is there and no longer deleted. One that was made and deleted
	// since the last time may be among them.
	Deleted []string `json:"deleted" jsonschema:"ids of {rows} that are gone"`
	// NextCursor is always there: keep it and ask again, at once while HasMore is
	// true, later otherwise.
	NextCursor string `json:"next_cursor"`
	HasMore    bool   `json:"has_more"`
}

// FieldsRequest asks for the columns that the table has in an environment.
type FieldsRequest struct {
	Target
	CustomOnly bool   `json:"custom_only,omitzero" jsonschema:"only columns that the customer or an app added"`
	Cursor     string `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before"`
}

// FieldsReply is a page of fields in the order of their logical names; a
// NextCursor means that there are more.
type FieldsReply struct {
	Head
	Fields     []Field `json:"fields"`
	NextCursor string  `json:"next_cursor,omitzero"`
}
