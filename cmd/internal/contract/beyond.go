package contract

import (
	"errors"
	"regexp"
	"strings"

	"github.com/crmbridge/crmbridge/messages"
)

// unsayable are the reasons for invalid_request that no schema can say, by the message of the
// error.
var unsayable = []struct{ message, why string }{}

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

// lenient are the faults by a schema with which crmbridge answers a request all the same, by the
// places that the schema names.
var lenient = []struct{ places, why string }{}

// Lenient is why a request may be answered though its schema calls it invalid; "" where it may not.
func Lenient(fault error) string {
	invalid, ok := errors.AsType[*Invalid](fault)
	if !ok {
		return ""
	}
	why := ""
	for place := range strings.SplitSeq(invalid.Places, "; ") {
		why = ""
		for _, known := range lenient {
			if regexp.MustCompile(known.places).MatchString(place) {
				why = known.why
			}
		}
		if why == "" {
			return ""
		}
	}
	return why
}
