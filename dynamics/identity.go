package dynamics

import "context"

// Identity is who the token acts as. All three are lower-case GUIDs.
type Identity struct {
	UserID         string
	BusinessUnitID string
	OrganizationID string
}

// WhoAmI asks who the connection's token acts as. It needs no table privilege,
// but an enabled user of the environment.
func (s *Session) WhoAmI(ctx context.Context) (Identity, error) {
	var id Identity
	if err := s.get(ctx, whoAmI(&id), "WhoAmI", ""); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// Identify asks who accessToken acts as in an environment, before there is a
// connection. The environment must be allowed. It passes no gate. Where the gate
// keeps that user out, the user's next call is let through to see whether it is still
// right (see [Prober]).
func (c *Client) Identify(ctx context.Context, environment, accessToken string) (Identity, error) {
	origin, err := c.config.Hosts.Environment(environment)
	if err != nil {
		return Identity{}, err
	}
	if accessToken == "" {
		return Identity{}, refuse("whoami", "", "the access token is missing")
	}
	var id Identity
	r := whoAmI(&id)
	r.origin, r.path = origin, c.root()+"WhoAmI"
	if err := c.send(ctx, &r, accessToken); err != nil {
		return Identity{}, err
	}
	if prober, ok := c.config.Gate.(Prober); ok {
		prober.ProbeSoon(ctx, Principal{Environment: origin, Organization: id.OrganizationID, User: id.UserID})
	}
	return id, nil
}

// Names are what an environment calls a user and itself; "" is not known.
type Names struct{ User, UserFull, Organization string }

// Names asks what the user and the organization of accessToken are called. It
// returns what it finds out: a user may lack the privileges to read either
// (prvReadUser, prvReadOrganization), or the environment may be away.
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/organization
func (c *Client) Names(ctx context.Context, environment, accessToken string, who Identity) Names {
	var names Names
	origin, err := c.config.Hosts.Environment(environment)
	user, isUser := canonicalGUID(who.UserID)
	organization, isOrganization := canonicalGUID(who.OrganizationID)
	if err != nil || accessToken == "" || !isUser || !isOrganization {
		return names
	}
	var row struct {
		Full *string `json:"fullname"`
		User *string `json:"domainname"`
		Name *string `json:"name"`
	}
	for _, ask := range []struct{ op, path, query string }{
		{"names.user", "systemusers(" + user + ")", "$select=fullname,domainname"},
		{"names.organization", "organizations(" + organization + ")", "$select=name"},
	} {
		r := request{op: ask.op, origin: origin, path: c.root() + ask.path, query: ask.query, strict: true,
			most: maxSmallBody, read: into(&row)}
		_ = c.send(ctx, &r, accessToken) // what is not there is not known
	}
	names.User, names.UserFull, names.Organization = orEmpty(row.User), orEmpty(row.Full), orEmpty(row.Name)
	return names
}

func whoAmI(id *Identity) request {
	return request{op: "whoami", strict: true, most: maxSmallBody, read: func(b *body) error {
		var answer struct{ UserId, BusinessUnitId, OrganizationId string }
		if err := into(&answer)(b); err != nil {
			return err
		}
		var whole [3]bool
		var read Identity
		read.UserID, whole[0] = canonicalGUID(answer.UserId)
		read.BusinessUnitID, whole[1] = canonicalGUID(answer.BusinessUnitId)
		read.OrganizationID, whole[2] = canonicalGUID(answer.OrganizationId)
		if whole != [3]bool{true, true, true} {
			return pageFault("an id in the answer is missing or not a GUID")
		}
		*id = read
		return nil
	}}
}
