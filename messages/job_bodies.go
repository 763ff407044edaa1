package messages

// Operations on jobs. They are answered on the interactive lane.
const (
	JobsGet     Operation = "jobs.get"
	JobsList    Operation = "jobs.list"
	JobsResults Operation = "jobs.results"
	JobsCancel  Operation = "jobs.cancel"
	JobsRetry   Operation = "jobs.retry"
	JobsDelete  Operation = "jobs.delete"
)

// Bounds of jobs.list.
const (
	DefaultJobsPageSize = 100
	MaxJobsPageSize     = 1000
)

// JobRequest names a job.
type JobRequest struct {
	Target
	JobID string `json:"job_id" jsonschema:"id of the job"`
}

// JobReply describes a job.
type JobReply struct {
	RequestHead
	Job Job `json:"job"`
}

// JobsListRequest asks for the jobs of a connection of the last 7 days; without a
// connection, on the plain subject, for those that wait and run as far as the answering
// process knows.
type JobsListRequest struct {
	Target
	PageSize Count  `json:"page_size,omitzero" jsonschema:"1 to 1000; default 100"`
	Cursor   string `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before"`
}

// JobsListReply is one page of jobs, in the order of their ids.
type JobsListReply struct {
	Head
	Jobs       []Job  `json:"jobs"`
	NextCursor string `json:"next_cursor,omitzero" jsonschema:"there are more; send it as cursor"`
}

// JobResultsRequest asks for one message of a job's results. The reply is that message as
// it is stored: its body, and its headers but for Crm-Checkpoint, which it has not, and
// Crm-Request-Id, which is the asker's as on every reply.
type JobResultsRequest struct {
	Target
	JobID string `json:"job_id" jsonschema:"id of the job"`
	Page  Count  `json:"page" jsonschema:"number of the message, Crm-Page; the first is 1"`
}

// JobResultsReply is what the bodies of results have in common. Beside it stand the members
// of the reply of the job's operation, or an error, as in an [ErrorReply]. The body is as it is
// stored: RequestID is that of the request that made the job, and the asker's is in the header.
type JobResultsReply struct{ Head }

// JobRetryRequest asks to run a job that failed again.
type JobRetryRequest struct {
	Target
	JobID    string `json:"job_id" jsonschema:"id of the job that failed"`
	NewJobID string `json:"new_job_id,omitzero" jsonschema:"id of the job that runs it again; default a new one"`
}
