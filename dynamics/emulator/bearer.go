package emulator

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// bearer finds who is calling, and the claims parameter that the token was asked with. The user is
// nil for somebody whom the directory knows and Dataverse does not.
func (s *Server) bearer(r *http.Request) (user *systemUser, asked string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, "", false
	}
	c, err := s.verified.of(s.signer, strings.TrimSpace(token))
	if err != nil {
		return nil, "", false
	}
	now := s.opts.Now().Unix()
	switch {
	case now >= c.Exp, now < c.Nbf, c.Serial <= s.expired.Load():
		return nil, "", false
	case !strings.EqualFold(c.TID, s.opts.TenantID), !sameEnvironment(c.Aud, origin(r)):
		return nil, "", false
	case c.IDTyp == "user" && c.Scp != "user_impersonation": // an id token must not pass
		return nil, "", false
	}
	oid, isGUID := parseGUID(c.OID)
	if !isGUID {
		return nil, "", false
	}
	return s.dir.byObject(oid), c.Asked, true
}

// mostVerified bounds the tokens whose claims are kept, at some 500 B each.
const mostVerified = 10_000

// verified keeps the claims of tokens whose signature is good: to check it again with every
// request takes as long as the rest of a small one.
type verified struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]claims
}

func (v *verified) of(signer *signer, token string) (claims, error) {
	key := sha256.Sum256([]byte(token))
	v.mu.Lock()
	c, ok := v.known[key]
	v.mu.Unlock()
	if ok {
		return c, nil
	}
	if err := signer.verify(token, &c); err != nil {
		return c, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil || len(v.known) >= mostVerified {
		v.known = map[[sha256.Size]byte]claims{}
	}
	v.known[key] = c
	return c, nil
}

// challenge is the 401 of section 9.3: values unquoted, the version 1 path, no JSON.
func (s *Server) challenge(w http.ResponseWriter, r *http.Request) {
	s.tally.add(func(c *Counts) { c.Unauthorized++ })
	h := w.Header()
	h.Set("WWW-Authenticate", fmt.Sprintf("Bearer authorization_uri=%s/%s/oauth2/authorize, resource_id=%s/",
		s.authority(r), strings.ToLower(s.opts.TenantID), origin(r)))
	h.Set("Content-Type", "text/html")
	h.Del("OData-Version")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte("HTTP Error 401 - Unauthorized: Access is denied")) // the client may be gone
}

// member refuses an application that is blocked, and callers who are nobody in the organization,
// disabled, or without any role.
func (c *call) member() *fault {
	if fail := c.s.appBlocked(); fail != nil {
		return fail
	}
	switch {
	case c.user == nil || c.user.NotMember:
		return &fault{status: http.StatusForbidden, code: "0x80072560",
			message: "The user is not a member of the organization."}
	case c.user.Disabled: // the real text has its placeholders unfilled
		return &fault{status: http.StatusForbidden, code: "0x80040225",
			message: "The specified user(Id = {0}) is disabled. Consider enabling this user. Additional Details: {1}"}
	case len(c.user.allRoles()) == 0:
		return &fault{status: http.StatusForbidden, code: "0x80042f09",
			message: fmt.Sprintf("The user (Id = %s) has not been assigned any roles. They need at least one role before they can access the data.", c.user.id)}
	}
	return nil
}
