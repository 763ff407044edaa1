package handlers

import (
	"slices"

	"github.com/crmbridge/crmbridge/messages"
)

// reads is what a person lets be read by each operation, in the words of the connect
// page; "" where it is nothing of the environment's, or said by another.
func reads() map[messages.Operation]string {
	return map[messages.Operation]string{
		messages.ConnectionsAuthorize: "", messages.ConnectionsComplete: "", messages.ConnectionsGet: "your name, user name and the organization's name",
		messages.ConnectionsList: "", messages.ConnectionsDelete: "", messages.ConnectionsCheck: "",
		messages.UsersWhoAmI: "", messages.UsersGet: "users with their e-mail addresses, roles and teams",
		messages.Accounts.Operation(messages.VerbSearch):  messages.Accounts.Consent,
		messages.Accounts.Operation(messages.VerbGet):     messages.Accounts.Consent,
		messages.Accounts.Operation(messages.VerbCount):   messages.Accounts.Consent,
		messages.Accounts.Operation(messages.VerbChanges): messages.Accounts.Consent,
		messages.Accounts.Operation(messages.VerbFields):  "descriptions of columns and their options",
	}
}

// Reads is what the operations may read, each thing once, what matters most first.
func Reads(operations []messages.Operation) []string {
	var out []string
	words := reads()
	for _, op := range slices.Backward(operations) {
		if text := words[op]; text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
