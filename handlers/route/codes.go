package route

import (
	"slices"
	"strings"

	"github.com/crmbridge/crmbridge/messages"
)

// OK counts as the code of an answer without an error.
const OK = "ok"

// ofAll are the codes that any operation may end with.
var ofAll = []messages.Code{messages.InvalidRequest, messages.Internal, messages.Overloaded, messages.Unavailable,
	messages.DeadlineExceeded}

// ofUpstream are those of operations that ask Dataverse, or Entra, for a connection; ofJobs of
// those on one job.
var (
	ofUpstream = []messages.Code{messages.ReauthorizationRequired, messages.PermissionDenied, messages.ConsentRequired,
		messages.ConnectionNotFound, messages.TooLarge, messages.NotSupported, messages.Throttled,
		messages.ConfigurationError, messages.UpstreamError}
	ofJobs = []messages.Code{messages.ConnectionNotFound, messages.NotFound, messages.NotSupported}
)

// ofOperation are those of single operations, and of verbs.
var ofOperation = map[string][]messages.Code{
	string(messages.ConnectionsAuthorize): {messages.ConnectionExists, messages.ConsentRequired, messages.NotSupported,
		messages.Throttled, messages.ConfigurationError, messages.UpstreamError},
	string(messages.ConnectionsComplete): {messages.InvalidState, messages.ConnectionNotFound,
		messages.ConnectionExists, messages.IdentityMismatch, messages.ReauthorizationRequired, messages.PermissionDenied,
		messages.ConsentRequired, messages.NotSupported, messages.Throttled, messages.ConfigurationError,
		messages.UpstreamError},
	string(messages.ConnectionsGet):    {messages.ConnectionNotFound, messages.ConfigurationError},
	string(messages.ConnectionsDelete): {messages.ConnectionNotFound},
	string(messages.ConnectionsCheck):  {messages.ConnectionNotFound, messages.ConfigurationError},
	string(messages.ConnectionsLimits): {messages.ConnectionNotFound, messages.ConfigurationError},
	string(messages.UsersWhoAmI):       ofUpstream,
	string(messages.UsersGet):          with(ofUpstream, messages.NotFound),
	string(messages.JobsGet):           ofJobs,
	string(messages.JobsList):          {messages.ConnectionNotFound, messages.NotSupported},
	string(messages.JobsCancel):        ofJobs,
	string(messages.JobsRetry):         ofJobs,
	string(messages.JobsDelete):        ofJobs,
	// The end of a job is one of any code, and counts as the answer's.
	string(messages.JobsResults): with(ofUpstream, messages.NotFound, messages.Cancelled),

	string(messages.VerbSearch):  with(ofUpstream, messages.CursorExpired),
	string(messages.VerbChanges): with(ofUpstream, messages.CursorExpired),
	string(messages.VerbGet):     with(ofUpstream, messages.NotFound),
	string(messages.VerbCount):   ofUpstream,
	string(messages.VerbFields):  ofUpstream,
}

func with(codes []messages.Code, more ...messages.Code) []messages.Code {
	return slices.Concat(codes, more)
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
