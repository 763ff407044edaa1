package tokens

// class is what an answer of Entra means for the grant.
type class int

const (
	classUnknown       class = iota
	classPerson              // a person must sign in again
	classConsent             // a person or an administrator must consent
	classCode                // the authorization code or its PKCE verifier is no good; start again
	classConfiguration       // this installation or the app registration is wrong
	classClock               // the client assertion's time is wrong: a clock, or a token that is not renewed
	classLater               // Entra is not able to answer now
	classLoop                // Entra saw the same request too often
	classDirectory           // the customer's directory is set up so that it cannot work
)

// An Actor is who must act so that what failed works.
type Actor string

// The actors.
const (
	ActorPerson        Actor = "the person who connects"
	ActorAdministrator Actor = "an administrator of the customer's directory"
	ActorConsent       Actor = "the person, or an administrator of the customer's directory"
	ActorOperator      Actor = "crmbridge's operator"
	ActorRequester     Actor = "whoever asked for the connection"
	ActorEither        Actor = "crmbridge's operator, or an administrator of the customer's directory"
	ActorNobody        Actor = "nobody: it passes"
)

// actor is who must act where the table of verdicts names nobody else.
func (c class) actor() Actor {
	switch c {
	case classPerson, classCode:
		return ActorPerson
	case classConsent:
		return ActorConsent
	case classDirectory:
		return ActorAdministrator
	case classLater, classLoop:
		return ActorNobody
	}
	return ActorOperator
}

// meaning is one line of the table of verdicts.
type meaning struct {
	class class
	hint  string // what it is and what to do about it
	app   class  // the class for client_credentials, where it is another one
	who   Actor  // who must act, where it is not the class's
}

// actor is who must act.
func (m meaning) actor() Actor {
	if m.who != "" {
		return m.who
	}
	return m.class.actor()
}
