package tokens

import "errors"

// failurePage is the title and the advice of one failure, for the person who meets it.
// What happened is the error's own message.
type failurePage struct {
	title  string
	advice []string
	again  bool // loading the same page again may help
}

// errOtherBrowser says that a sign-in was begun in another browser.
var errOtherBrowser = errors.New("another browser")

const (
	nothingHappened = "Nothing was connected by this visit."
	waitAMinute     = "Wait a minute, then try again; you need not sign in a second time."
)

// administratorOnly are the AADSTS numbers that say that only an administrator can
// consent, or that one has been asked.
var administratorOnly = map[int]bool{90094: true, 90095: true, 90093: true, 65001: true}

func failurePageOf(f *Error) failurePage {
	switch {
	case errors.Is(f, errOtherBrowser):
		return failurePage{"This is another browser", []string{nothingHappened,
			"Open the connect link again in this browser and go through to the end here. Private windows " +
				"and apps count as " +
				"browsers of their own."}, false}
	case f.Code == CodeConsentRequired && administratorOnly[f.AADSTS]:
		return failurePage{"An administrator must approve this", []string{nothingHappened,
			"Your organization does not let people approve applications themselves. Send the link below to " +
				"an administrator; " +
				"after the approval, open the connect link again."}, false}
	case f.Code == CodeConfigurationError && f.Actor == ActorAdministrator:
		return failurePage{"Your organization’s directory does not let this work", []string{nothingHappened,
			"Send what this page says to an administrator of your organization’s Microsoft directory. " +
				"Open the connect link " +
				"again once this is solved."}, false}
	}
	if t, ok := failurePages[f.Code]; ok {
		return t
	}
	return failurePages[CodeInternal]
}

// failurePages are the failures that their code tells apart.
var failurePages = map[string]failurePage{
	CodeInvalidRequest: {"This page was opened in an unexpected way", []string{nothingHappened,
		"Open the connect link again and follow it to the end."}, false},
	CodeInvalidState: {"This link does not work any more", []string{nothingHappened,
		"A link works once and for ten minutes. If you have just connected, you are done; otherwise " +
			"ask for a new link."},
		false},
	CodeReauthorizationRequired: {"Microsoft did not let you in", []string{nothingHappened,
		"Your administrator can help with your account. Open the connect link again once this is solved."}, false},
	CodePermissionDenied: {"The environment did not let you in", []string{nothingHappened,
		"An administrator of the environment must add you as a user and give you a security role. " +
			"Then open the connect " +
			"link again."}, false},
	CodeConsentRequired: {"You did not give consent", []string{nothingHappened,
		"If that was not what you wanted, open the connect link again and accept. If Microsoft asks for " +
			"an administrator’s approval, send the link below to one."}, false},
	CodeConnectionNotFound: {"This connection is gone", []string{nothingHappened,
		"Ask the people who sent you the link for a new one."}, false},
	CodeConnectionExists: {"This connection belongs to another environment", []string{nothingHappened,
		"Ask the people who sent you the link to choose another name for the connection."}, false},
	CodeIdentityMismatch: {"This is another account", []string{"The connection is as it was before.",
		"Sign out at Microsoft, open the connect link again, and sign in with the right account."}, false},
	CodeThrottled:        {"Too many requests at the moment", []string{waitAMinute}, true},
	CodeUnavailable:      {"This does not work at the moment", []string{waitAMinute}, true},
	CodeDeadlineExceeded: {"This took too long", []string{"Try again; you need not sign in a second time."}, true},
	CodeConfigurationError: {"crmbridge is not set up correctly", []string{nothingHappened,
		"You cannot solve this yourself. Tell the people who sent you the link, with what this page says."}, false},
	CodeInternal: {"Something went wrong", []string{nothingHappened,
		"Tell the people who sent you the link; the operators of crmbridge find the details in their log."}, false},
	CodeUpstreamError: {"Microsoft gave an unusable answer", []string{nothingHappened,
		"Open the connect link again. If it stays like this, tell the people who sent you the link."}, false},
}

// directoryShown is a tenant as a person knows it: a directory, and not the names that
// mean any directory.
func directoryShown(tenant string) string {
	if tenant == "common" || tenant == "organizations" {
		return ""
	}
	return tenant
}
