package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// The streams of the durable lane.
const (
	// JobsStream keeps jobs until they have ended.
	JobsStream = "CRM_JOBS"
	// ResultsStream keeps the results of jobs, one subject a job.
	ResultsStream = "CRM_RESULTS"
	// StateStream keeps one JobRecord a job.
	StateStream = "CRM_STATE"
	// DeadStream keeps the requests of jobs that failed for good.
	DeadStream = "CRM_DEAD"
)

// Subjects of the streams; those of CRM_JOBS are [JobSubjects].
const (
	ResultSubjects = "crm.results.*.*"
	StateSubjects  = "crm.state.*.*"
	DeadSubjects   = "crm.dead.*.*"
)

// usersEntity has operations that may be jobs and belong to no table.
const usersEntity = "users"

// JobSubjects are what CRM_JOBS captures: the jobs of every entity that can have any,
// those of all Tables and of the tables given. They name entities, since crm.*.*.job.>
// would overlap with the subjects of the other streams.
func JobSubjects(tables []Table) []string {
	var subjects []string
	for _, table := range slices.Concat(Tables(), tables) {
		if subject := "crm." + table.Name + ".*.job.*.*"; !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	return append(subjects, "crm."+usersEntity+".*.job.*.*")
}

// MayBeJob reports whether the operation may be sent as a job.
func (op Operation) MayBeJob(tables []Table) bool {
	_, _, ofTable := op.Table(tables)
	return ofTable || op.Entity() == usersEntity
}

// JobSubject is where a job is published: crm.<entity>.<verb>.job.<connection>.<job id>.
func (op Operation) JobSubject(connection, id string) string {
	return "crm." + string(op) + ".job." + connection + "." + id
}

// ParseJobSubject takes a job's subject apart. Operation, connection and id are what the
// subject says; whether they exist is not looked at.
func ParseJobSubject(subject string) (op Operation, connection, id string, ok bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 6 || parts[0] != "crm" || parts[3] != "job" {
		return "", "", "", false
	}
	return Operation(parts[1] + "." + parts[2]), parts[4], parts[5], true
}

// ResultSubject is where a job's results are: crm.results.<connection>.<job id>.
func ResultSubject(connection, id string) string { return "crm.results." + connection + "." + id }

// StateSubject is where a job's record is: crm.state.<connection>.<job id>.
func StateSubject(connection, id string) string { return "crm.state." + connection + "." + id }

// DeadSubject is where a job's dead letter is: crm.dead.<connection>.<job id>.
func DeadSubject(connection, id string) string { return "crm.dead." + connection + "." + id }

// ValidJobID reports whether id can name a job: 1 to 64 letters, digits, underscores and
// hyphens, as for a connection.
func ValidJobID(id string) bool { return ValidConnection(id) }

// A JobState says how far a job has come.
type JobState string

// The states of a job.
const (
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// JobStates lists the states of a job.
func JobStates() []JobState {
	return []JobState{JobQueued, JobRunning, JobDone, JobFailed, JobCancelled}
}

// Ended reports whether nothing more happens to a job in this state.
func (s JobState) Ended() bool { return s == JobDone || s == JobFailed || s == JobCancelled }

// A Job is what is known of a job.
type Job struct {
	ID         string    `json:"id"`
	Operation  Operation `json:"operation"`
	Connection string    `json:"connection"`
	State      JobState  `json:"state" jsonschema:"queued, running, done, failed or cancelled"`
	// Pages and Rows are what is stored of the results.
	Pages int    `json:"pages"`
	Rows  int64  `json:"rows"`
	Total *int64 `json:"total,omitzero" jsonschema:"rows that the job will have, where that is known"`
	// Bytes is what the results take.
	Bytes int64 `json:"bytes"`
	// Attempts counts the executions that ended in an error that may pass, Takeovers the
	// claims of other processes, both since the last new page.
	Attempts  int `json:"attempts"`
	Takeovers int `json:"takeovers"`

	QueuedAt   time.Time  `json:"queued_at"`
	StartedAt  *time.Time `json:"started_at"`
	RetryAt    *time.Time `json:"retry_at,omitzero" jsonschema:"the job waits until then"`
	FinishedAt *time.Time `json:"finished_at"`
	// Error is why the job failed, or why it waits.
	Error   *Error `json:"error,omitzero"`
	RetryOf string `json:"retry_of,omitzero" jsonschema:"the job whose dead letter this one runs again"`
	// Incarnation is the connection's; results with another one belong to a connection of
	// the same id that is gone. It is missing until the job has begun.
	Incarnation string `json:"incarnation,omitzero" jsonschema:"the connection's incarnation, as in Crm-Incarnation of the results"`
	// Digest is JobDigest of the job. It is missing until the job has begun.
	Digest string `json:"digest,omitzero" jsonschema:"of the job's subject and body: another job under the same id has another"`
}

// JobDigest tells jobs of one id apart, by their subject and body: 128 bits of SHA-256 over both
// with a zero byte between, in hex.
func JobDigest(subject string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(subject))
	h.Write([]byte{0})
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// JobForm is the form of a [JobRecord] that this version writes. A newer one is left to
// newer processes.
const JobForm = 1

// MaxJobRecord bounds a job's record in bytes.
const MaxJobRecord = 4 << 10

// A JobRecord is the body of a message on crm.state.<connection>.<job id>: the job, and by
// whom it is run. A plain subscription to that subject shows the job's progress: a record
// comes when the job is claimed, every 5 s while it runs, and when it ends. It holds no
// value of a filter.
type JobRecord struct {
	Form int `json:"form"`
	Job
	// Owner is the process that runs the job, "" where none does.
	Owner string `json:"owner,omitzero"`
	// Beat counts the writes of the record, so that no two of them are equal.
	Beat      int64  `json:"beat"`
	RequestID string `json:"request_id"`
}
