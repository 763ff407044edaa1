package messagestest

import (
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A link is a connect_url and how far its sign-in is.
type link struct {
	url     string
	expires time.Time
	is      messages.SignIn
}

// mostLinks is how many links of a connection are remembered.
const mostLinks = 100

// begin remembers a link; the bridge is locked.
func (c *Connection) begin(url string, expires time.Time) {
	if len(c.links) == mostLinks {
		c.links = c.links[1:]
	}
	c.links = append(c.links, link{url, expires, messages.SignIn{Phase: messages.SignInWaiting}})
}

// end ends the sign-in of the last link; the bridge is locked.
func (c *Connection) end(is messages.SignIn) {
	if n := len(c.links); n > 0 {
		c.links[n-1].is = is
	}
}

// Decline is [Bridge.Approve] of a person who does not consent: connections.get says so of the last
// connect_url, and the connection stays as it is.
func (b *Bridge) Decline(id string) {
	b.t.Helper()
	c, err := b.connection(id)
	if err != nil {
		b.t.Fatalf("messagestest: decline: %v", err)
	}
	fault := messages.Errorf(messages.ConsentRequired,
		"consent was not given: the person declined to consent (AADSTS65004)")
	fault.AdminConsentURL = "https://login.microsoftonline.com/organizations/v2.0/adminconsent"
	b.mu.Lock()
	defer b.mu.Unlock()
	c.end(messages.SignIn{Phase: messages.SignInFailed, Error: fault})
}

// show answers connections.get.
func (c *call) show(in messages.ConnectionGetRequest) (out messages.ConnectionGetReply, fault *messages.Error) {
	if fault = c.try(); fault != nil {
		return out, fault
	}
	if in.ConnectURL != "" {
		if out.SignIn = c.signIn(in.ConnectURL); out.SignIn == nil {
			const text = "this is no connect_url of the connection, or one from long ago"
			return out, &messages.Error{Code: messages.InvalidRequest, Message: text,
				Details: []messages.Detail{{Path: "connect_url", Message: text}}}
		}
	}
	conn, err := c.b.connection(c.connection)
	if err != nil {
		return out, noConnection(c.connection)
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	out.Connection = conn.state
	return out, nil
}

// signIn is how far the sign-in of a link is, nil for one that is not known.
func (c *call) signIn(url string) *messages.SignIn {
	conn, err := c.b.connection(c.connection)
	if err != nil {
		return nil
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	for _, l := range conn.links {
		if l.url != url {
			continue
		}
		if l.is.Phase == messages.SignInWaiting && now().After(l.expires) {
			return &messages.SignIn{Phase: messages.SignInExpired}
		}
		return &l.is
	}
	return nil
}
