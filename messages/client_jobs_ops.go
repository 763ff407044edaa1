package messages

import "context"

// What can be asked for at once can be asked for as a job. Each method publishes one and
// returns as soon as CRM_JOBS has stored it; errors are those of publishJob.

// SearchJob publishes a search as a job, which reads every row that matches. in.Cursor must
// be empty. Its results are read by [TableClient.JobPages].
func (t *TableClient) SearchJob(ctx context.Context, in SearchRequest, how JobPublication) (*PublishedJob, error) {
	return publishJob(ctx, t.client, t.table.Operation(VerbSearch), NewCodec[SearchRequest](), &in, how)
}

// ChangesJob publishes changes as a job, which follows them to their end. Its results are read
// by [TableClient.JobChanges].
func (t *TableClient) ChangesJob(ctx context.Context, in ChangesRequest, how JobPublication) (*PublishedJob, error) {
	return publishJob(ctx, t.client, t.table.Operation(VerbChanges), NewCodec[ChangesRequest](), &in, how)
}

// GetJob publishes a get as a job. Its one result is a [RowReply].
func (t *TableClient) GetJob(ctx context.Context, in GetRequest, how JobPublication) (*PublishedJob, error) {
	return publishJob(ctx, t.client, t.table.Operation(VerbGet), CodecFor[GetRequest](t.table), &in, how)
}

// CountJob publishes a count as a job. Its one result is a [CountReply].
func (t *TableClient) CountJob(ctx context.Context, in CountRequest, how JobPublication) (*PublishedJob, error) {
	return publishJob(ctx, t.client, t.table.Operation(VerbCount), NewCodec[CountRequest](), &in, how)
}

// FieldsJob publishes fields as a job. Its one result is a [FieldsReply].
func (t *TableClient) FieldsJob(ctx context.Context, in FieldsRequest, how JobPublication) (*PublishedJob, error) {
	return publishJob(ctx, t.client, t.table.Operation(VerbFields), NewCodec[FieldsRequest](), &in, how)
}

// WhoAmIJob publishes users.whoami as a job. Its one result is a [WhoAmIReply].
func (c *Client) WhoAmIJob(ctx context.Context, connection string, how JobPublication) (*PublishedJob, error) {
	return publishJob(ctx, c, UsersWhoAmI, NewCodec[ConnectionRequest](), &ConnectionRequest{Target{connection}}, how)
}

// UserJob publishes users.get as a job. Its one result is a [UserReply].
func (c *Client) UserJob(ctx context.Context, in UserGetRequest, how JobPublication) (*PublishedJob, error) {
	return publishJob(ctx, c, UsersGet, NewCodec[UserGetRequest](), &in, how)
}
