package contract

import (
	"regexp"

	"github.com/crmbridge/crmbridge/messages"
)

// unsayable are the reasons for invalid_request that no schema can say, by the message of the error.
// There is no such table for the other direction: what the document calls invalid, crmbridge refuses.
var unsayable = []struct{ message, why string }{
	{`^(fields|order_by)\[\d+\]: `, "which columns the environment has, and what may be done with them"},
	{`^where\S*\.field: `, "which columns the environment has, and what may be done with them"},
	{`^where\S*\.(value|op)(\[\d+\])?: `, "which operators and values go with the type of the column"},
	{`^where\S*: the filter (is nested deeper|has more) than `, "the depth, the leaves and the values of the whole filter"},
	{`^cursor: `, "whether an opaque cursor is one, and of this query"},
	{`^environment_url: environment URL: `, "which hosts are allowed"},
	{`^tenant must be `, "the forms of directories' names"},
	{`^connect_url: `, "which links are known"},
	{`^connection: the body names another connection than the subject`, "what the subject says"},
	{`^the last part of the job's subject is not the id of a job`, "what the subject says"},
	{`^job_id: the job has not ended`, "what became of the job"},
	{`(^|: )Dataverse has no such column$|^Dataverse refused the query: `, "what Dataverse says to it"},
	{`^email: (\d+|no) enabled users? ha`, "which users there are"},
}

// Unsayable is why a request may be invalid though its schema calls it valid; "" where there is no
// such reason for this error.
func Unsayable(fault *messages.Error) string {
	for _, known := range unsayable {
		if regexp.MustCompile(known.message).MatchString(fault.Message) {
			return known.why
		}
	}
	return ""
}
