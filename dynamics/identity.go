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
	if err := c.send(ctx, r, accessToken); err != nil {
		return Identity{}, err
	}
	if prober, ok := c.config.Gate.(Prober); ok {
		prober.ProbeSoon(ctx, Principal{Environment: origin, Organization: id.OrganizationID, User: id.UserID})
	}
	return id, nil
}

func whoAmI(id *Identity) request {
	return request{op: "whoami", most: maxSmallBody, read: func(b *body) error {
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
