package route

import (
	"strings"

	"github.com/crmbridge/crmbridge/messages"
)

// OK counts as the code of an answer without an error.
const OK = "ok"

// ofAll are the codes that any operation may end with.
var ofAll = []messages.Code{messages.InvalidRequest, messages.TooLarge, messages.ConfigurationError, messages.Internal,
	messages.Overloaded, messages.Unavailable, messages.DeadlineExceeded}

// ofUpstream are those of operations that ask Dataverse, or Entra, for a connection.
var ofUpstream = []messages.Code{messages.ReauthorizationRequired, messages.PermissionDenied, messages.ConsentRequired,
	messages.ConnectionNotFound, messages.NotSupported, messages.Throttled, messages.UpstreamError}

// ofOperation are those of single operations, and of verbs.
var ofOperation = map[string][]messages.Code{
	string(messages.ConnectionsAuthorize): {messages.ConnectionExists, messages.ReauthorizationRequired,
		messages.PermissionDenied, messages.ConsentRequired, messages.NotSupported, messages.Throttled,
		messages.UpstreamError, messages.IdentityMismatch},
	string(messages.ConnectionsComplete): append([]messages.Code{messages.InvalidState, messages.ConnectionExists,
		messages.IdentityMismatch}, ofUpstream...),
	string(messages.ConnectionsGet):    {messages.ConnectionNotFound},
	string(messages.ConnectionsDelete): {messages.ConnectionNotFound},
	string(messages.ConnectionsCheck):  ofUpstream,
	string(messages.UsersWhoAmI):       ofUpstream,
	string(messages.UsersGet):          append([]messages.Code{messages.NotFound}, ofUpstream...),
	string(messages.JobsGet):           {messages.ConnectionNotFound, messages.NotFound, messages.NotSupported},
	string(messages.JobsList):          {messages.ConnectionNotFound, messages.NotSupported},
	string(messages.JobsCancel):        {messages.ConnectionNotFound, messages.NotFound, messages.NotSupported},
	string(messages.JobsRetry):         {messages.ConnectionNotFound, messages.NotFound, messages.NotSupported},
	string(messages.JobsDelete):        {messages.ConnectionNotFound, messages.NotFound, messages.NotSupported},
	// The end of a job is one of any code, and counts as the answer's.
	string(messages.JobsResults): append([]messages.Code{messages.NotFound, messages.Cancelled}, ofUpstream...),

	string(messages.VerbSearch):  append([]messages.Code{messages.CursorExpired}, ofUpstream...),
	string(messages.VerbChanges): append([]messages.Code{messages.CursorExpired}, ofUpstream...),
	string(messages.VerbGet):     append([]messages.Code{messages.NotFound}, ofUpstream...),
	string(messages.VerbCount):   ofUpstream,
	string(messages.VerbFields):  ofUpstream,
}

// Codes lists [OK] and the codes that answers of an operation are known to have, for what
// counts them to be there before the first.
func Codes(op messages.Operation) []string {
	own, known := ofOperation[string(op)]
	if _, verb, _ := strings.Cut(string(op), "."); !known {
		own = ofOperation[verb]
	}
	codes := []string{OK}
	for _, list := range [][]messages.Code{ofAll, own} {
		for _, code := range list {
			codes = append(codes, string(code))
		}
	}
	return codes
}
