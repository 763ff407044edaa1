package emulator

import (
	"net/http"
	"slices"
)

// Withhold takes a privilege from a user, whatever his roles say, as from the next request. It
// returns false for an unknown user or privilege; so do the others here.
func (c Control) Withhold(userName, privilege string) bool {
	return c.Limit(userName, privilege, DepthNone)
}

// Restore gives back what Withhold or Limit took; what the user's roles do not give he does not get.
func (c Control) Restore(userName, privilege string) bool {
	return c.Limit(userName, privilege, DepthGlobal)
}

// Limit cuts a privilege to a depth: with DepthLocal on prvReadAccount the user sees the accounts
// of his business unit only.
func (c Control) Limit(userName, privilege string, most Depth) bool {
	u := c.s.dir.byUserName(userName)
	if u == nil || !slices.Contains(c.s.dir.privileges(), privilege) || most < DepthNone || most > DepthGlobal {
		return false
	}
	u.limits.set(privilege, most)
	return true
}

// SetLanguage changes the language of a user's labels and formats, as the user's personal options
// do; it returns false for an unknown user and for a language that is not in [Languages].
func (c Control) SetLanguage(userName string, lcid int) bool {
	u := c.s.dir.byUserName(userName)
	if u == nil || !slices.Contains(Languages(), lcid) {
		return false
	}
	u.language.Store(int32(lcid))
	return true
}

// BlockApplication makes Dataverse refuse every token of the registered application (0x80095ffc), or take them again.
func (c Control) BlockApplication(blocked bool) {
	c.s.rules.with(func(x *rules) { x.appBlocked = blocked })
}

// appBlocked is the refusal of an application that an administrator does not let in.
func (s *Server) appBlocked() *fault {
	blocked := false
	s.rules.with(func(x *rules) { blocked = x.appBlocked })
	if !blocked {
		return nil
	}
	return &fault{status: http.StatusForbidden, code: "0x80095ffc",
		message: "Access to Dataverse API is restricted for this application Id : '" +
			s.opts.ClientID + "'. Please contact your administrator for more information."}
}
