package messages

import "strings"

// summaries say in a sentence what an operation does.
var summaries = map[Operation]string{
	ConnectionsAuthorize: "Begin the connection of an environment: the reply has the page where a person signs in.",
	ConnectionsComplete:  "Complete a sign-in whose redirect the application received itself (BUS_COMPLETION).",
	ConnectionsGet:       "Show one connection.",
	ConnectionsList:      "List connections.",
	ConnectionsDelete:    "Delete a connection and everything stored for it.",
	ConnectionsCheck:     "Try each permission that crmbridge needs in the environment.",
	ConnectionsLimits:    "Show how much of Dataverse's limits the connection's user uses.",
	UsersWhoAmI:          "Show who the connection acts as.",
	UsersGet:             "Show one user with the roles, by id, e-mail address or user name.",
	JobsGet:              "Show where a job stands.",
	JobsList:             "List the jobs of a connection of the last 7 days, or those that wait and run.",
	JobsResults:          "Read one stored message of a job's results: its body and its headers.",
	JobsCancel:           "End a job.",
	JobsRetry:            "Run a job that failed again, under a new id.",
	JobsDelete:           "Remove the results, the record and the dead letter of a job that has ended.",
}

// verbSummaries are those of a table's operations.
var verbSummaries = map[Verb]string{
	VerbSearch:  "Find {rows} by a filter, a page at a time or as a stream.",
	VerbGet:     "Show one {row}.",
	VerbCount:   "Count the {rows} that match a filter.",
	VerbFields:  "List the columns that {rows} have in the environment.",
	VerbChanges: "List the {rows} that changed or were deleted since last time.",
}

// Summary says in a sentence what the operation does, "" for one that there is not.
func (op Operation) Summary(tables []Table) string {
	if text, fixed := summaries[op]; fixed {
		return text
	}
	table, verb, _ := op.Table(tables)
	return strings.NewReplacer("{rows}", table.Name, "{row}", table.One).Replace(verbSummaries[verb])
}
