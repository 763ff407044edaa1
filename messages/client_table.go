package messages

import (
	"context"
	"iter"
)

// A TableClient asks for the rows of one table.
type TableClient struct {
	client *Client
	table  Table
}

// Table asks for the rows of a table.
func (c *Client) Table(table Table) *TableClient { return &TableClient{client: c, table: table} }

// Accounts asks for accounts.
func (c *Client) Accounts() *TableClient { return c.Table(Accounts) }

// Contacts asks for contacts.
func (c *Client) Contacts() *TableClient { return c.Table(Contacts) }

// Search returns one page of rows; in.Mode must not be ModeStream.
func (t *TableClient) Search(ctx context.Context, in SearchRequest) (*Page, error) {
	if in.Mode == ModeStream {
		return nil, Invalid("mode", "Search reads one reply; use Stream")
	}
	return callAs(ctx, t.client, t.table.Operation(VerbSearch), NewCodec[SearchRequest](), &in, CodecFor[Page](t.table))
}

// Pages follows the cursors of a search until there are no more, one request a
// page. It ends after the first error.
func (t *TableClient) Pages(ctx context.Context, in SearchRequest) iter.Seq2[*Page, error] {
	return func(yield func(*Page, error) bool) {
		for {
			page, err := t.Search(ctx, in)
			if !yield(page, err) || err != nil || page.NextCursor == "" {
				return
			}
			in = SearchRequest{Target: in.Target, Cursor: page.NextCursor}
		}
	}
}

// Stream asks for a search in stream mode and yields the replies as they come.
// The last one carries a NextCursor where there are more than MaxStreamRows. It
// ends after the first error; a gap in the numbering is one.
//
// crmbridge sends a stream as fast as Dataverse gives it, and what the loop's body has
// not taken yet waits in this process: no more than DefaultStreamBuffer bytes, or the
// bound of WithStreamBuffer. A reader who falls behind further gets an error of code
// unavailable that wraps nats.ErrSlowConsumer. One with little memory uses Pages, where
// each page is asked for when the one before has been read. What has arrived is given
// out also when DefaultDeadline is over; a context's own deadline ends the stream.
func (t *TableClient) Stream(ctx context.Context, in SearchRequest) iter.Seq2[*Page, error] {
	in.Mode = ModeStream
	codec := CodecFor[Page](t.table)
	return func(yield func(*Page, error) bool) {
		for reply, err := range replies(ctx, t.client, t.table.Operation(VerbSearch), NewCodec[SearchRequest](), &in) {
			var page *Page
			if err == nil {
				page, err = readReply(reply, codec)
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}

// Get returns one row.
func (t *TableClient) Get(ctx context.Context, in GetRequest) (Row, error) {
	reply, err := t.GetReply(ctx, in)
	if err != nil {
		return nil, err
	}
	return reply.Row, nil
}

// GetReply is [TableClient.Get] with the reply as a whole.
func (t *TableClient) GetReply(ctx context.Context, in GetRequest) (*RowReply, error) {
	return callAs(ctx, t.client, t.table.Operation(VerbGet), CodecFor[GetRequest](t.table), &in,
		CodecFor[RowReply](t.table))
}

// Count returns how many rows match, however many.
func (t *TableClient) Count(ctx context.Context, in CountRequest) (int64, error) {
	reply, err := t.CountReply(ctx, in)
	if err != nil {
		return 0, err
	}
	return reply.Count, nil
}

// CountReply is [TableClient.Count] with the reply as a whole.
func (t *TableClient) CountReply(ctx context.Context, in CountRequest) (*CountReply, error) {
	return call[CountReply](ctx, t.client, t.table.Operation(VerbCount), &in)
}

// Fields returns one page of the columns that the table has.
func (t *TableClient) Fields(ctx context.Context, in FieldsRequest) (*FieldsReply, error) {
	return call[FieldsReply](ctx, t.client, t.table.Operation(VerbFields), &in)
}

// Changes returns one page of what changed since in.Cursor was given out.
func (t *TableClient) Changes(ctx context.Context, in ChangesRequest) (*ChangesReply, error) {
	return callAs(ctx, t.client, t.table.Operation(VerbChanges), NewCodec[ChangesRequest](), &in,
		CodecFor[ChangesReply](t.table))
}
