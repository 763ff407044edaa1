package handlers

import (
	"slices"

	"github.com/crmbridge/crmbridge/messages"
)

// readsColumns is what the operations of every table read besides its rows.
const readsColumns = "descriptions of columns and their options"

// reads is what a person lets be read by each operation that is of no table, in the
// words of the connect page; "" where it is nothing of the environment's, or said by
// another.
func reads() map[messages.Operation]string {
	return map[messages.Operation]string{
		messages.ConnectionsAuthorize: "", messages.ConnectionsComplete: "",
		messages.ConnectionsGet:  "your name, user name and the organization's name",
		messages.ConnectionsList: "", messages.ConnectionsDelete: "", messages.ConnectionsCheck: "",
		messages.ConnectionsLimits: "",
		messages.UsersWhoAmI:       "", messages.UsersGet: "users with their e-mail addresses, roles and teams",
		// A job reads what its operation does.
		messages.JobsGet: "", messages.JobsList: "", messages.JobsResults: "", messages.JobsCancel: "",
		messages.JobsRetry: "", messages.JobsDelete: "",
	}
}

// Reads is what the operations may read besides the rows of tables, for which each
// table has a text of its own: each thing once, what matters most first.
func Reads(operations []messages.Operation) []string {
	out := []string{readsColumns}
	words := reads()
	for _, op := range slices.Backward(operations) {
		if text := words[op]; text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
