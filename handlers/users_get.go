package handlers

import (
	"context"
	"strings"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// usersGet answers users.get: one user with the roles and their ways.
func (o *Operations) usersGet(ctx context.Context, c route.Call, in messages.UserGetRequest) (messages.UserReply,
	error) {
	if err := checkUserGet(in); err != nil {
		return messages.UserReply{}, err
	}
	session, err := o.open(ctx, c)
	if err != nil {
		return messages.UserReply{}, err
	}
	id := strings.ToLower(in.UserID)
	if in.Email != "" {
		if id, err = userByEmail(ctx, session, in.Email); err != nil {
			return messages.UserReply{}, err
		}
	}
	user, err := session.User(ctx, id)
	if err != nil {
		return messages.UserReply{}, err
	}
	return messages.UserReply{User: userOf(user)}, nil
}

func checkUserGet(in messages.UserGetRequest) error {
	switch {
	case in.UserID == "" && in.Email == "":
		return messages.Invalid("user_id", "is missing; give user_id or email")
	case in.UserID != "" && in.Email != "":
		return messages.Invalid("email", "comes with user_id; give one of them")
	case len(in.Email) > messages.MaxEmail:
		return messages.Invalid("email", "is longer than %d bytes", messages.MaxEmail)
	case in.UserID != "":
		return route.CheckGUID("user_id", in.UserID)
	}
	return nil
}

// userByEmail picks the one enabled user with the address.
func userByEmail(ctx context.Context, session *dynamics.Session, email string) (string, error) {
	users, err := session.UsersByEmail(ctx, email)
	if err != nil {
		return "", err
	}
	if len(users) == 0 {
		return "", messages.Errorf(messages.NotFound, "no user has this e-mail address or user name")
	}
	var enabled, all []string
	for _, user := range users {
		all = append(all, user.ID)
		if !user.Disabled {
			enabled = append(enabled, user.ID)
		}
	}
	if len(enabled) == 1 {
		return enabled[0], nil
	}
	if len(enabled) == 0 {
		return "", messages.Invalid("email", "no enabled user has it; for a disabled one ask by "+
			"user_id, one of %s", strings.Join(all, ", "))
	}
	return "", messages.Invalid("email", "%d enabled users have it; ask by "+
		"user_id, one of %s", len(enabled), strings.Join(all, ", "))
}

func userOf(user dynamics.User) messages.User {
	out := messages.User{ID: user.ID, Name: user.Name, Email: user.Email, Disabled: user.Disabled,
		Title: user.Title, BusinessUnitID: user.BusinessUnitID, Roles: make([]messages.Role, 0, len(user.Roles)),
		RolesTruncated: user.RolesCut}
	for _, role := range user.Roles {
		out.Roles = append(out.Roles, messages.Role{ID: role.ID, Name: role.Name, Via: role.Via})
	}
	return out
}
