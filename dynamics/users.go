package dynamics

import (
	"context"
	"strings"
)

// User is one user of the environment.
type User struct {
	ID             string
	Name           string
	Email          string // internalemailaddress
	Disabled       bool
	Title          string // title, or jobtitle where that is empty
	BusinessUnitID string
	Roles          []Role // nil where the call does not read them
	// RolesCut says that the user is in more teams than are read: see [MaxTeams].
	RolesCut bool
}

// Role is a security role and the way by which a user has it.
type Role struct {
	ID   string
	Name string
	Via  string // "direct", or the name of the team that grants it
}

const (
	usersByEmail = 50     // matches that are read, enabled ones first
	maxRelated   = 10_000 // rows of one relation that are looked at
	userColumns  = "systemuserid,fullname,internalemailaddress,domainname,isdisabled,title,jobtitle,_businessunitid_value"
)

type userRow struct {
	ID           string  `json:"systemuserid"`
	Name         *string `json:"fullname"`
	Email        *string `json:"internalemailaddress"`
	UserName     *string `json:"domainname"` // "" or absent for some application users
	Disabled     bool    `json:"isdisabled"`
	Title        *string `json:"title"`
	JobTitle     *string `json:"jobtitle"`
	BusinessUnit *string `json:"_businessunitid_value"`
}

func (u userRow) user() (User, error) {
	id, ok := canonicalGUID(u.ID)
	if !ok {
		return User{}, pageFault("a user has no id")
	}
	title := orEmpty(u.Title)
	if title == "" {
		title = orEmpty(u.JobTitle)
	}
	return User{ID: id, Name: orEmpty(u.Name), Email: orEmpty(u.Email), Disabled: u.Disabled, Title: title,
		BusinessUnitID: strings.ToLower(orEmpty(u.BusinessUnit))}, nil
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// named reports whether name is the user's e-mail address or user name. Dataverse
// compares by the environment's collation, which may take é for e: that finds
// another person.
func (u userRow) named(name string) bool {
	same := func(s *string) bool {
		return strings.EqualFold(strings.TrimRight(orEmpty(s), " "), strings.TrimRight(name, " "))
	}
	return same(u.Email) || same(u.UserName)
}

// User returns one user with all roles. An unknown id is NotFound.
func (s *Session) User(ctx context.Context, id string) (User, error) {
	key, ok := canonicalGUID(id)
	if !ok {
		return User{}, refuse("users.get", "", "the user id is not a GUID")
	}
	var user User
	r := request{op: "users.get", most: maxSmallBody, read: func(b *body) error {
		var row userRow
		err := into(&row)(b)
		if err == nil {
			user, err = row.user()
		}
		if err == nil && user.ID != key {
			return pageFault("another user than the one that was asked for")
		}
		return err
	}}
	if err := s.get(ctx, r, "systemusers("+key+")", "$select="+userColumns); err != nil {
		return User{}, err
	}
	var err error
	if user.Roles, user.RolesCut, err = s.Roles(ctx, key); err != nil {
		return User{}, err
	}
	return user, nil
}

// UsersByEmail returns the users whose e-mail address or user name is email,
// compared without case, the enabled ones first, then by id, without roles. It
// returns 50 at most.
func (s *Session) UsersByEmail(ctx context.Context, email string) ([]User, error) {
	literal, err := literal(Text, Eq, email)
	if err != nil {
		return nil, refuse("users.find", "", "the e-mail address is not %s", err)
	}
	var users []User
	r := request{op: "users.find", prefer: "odata.maxpagesize=50", most: maxRelatedBody,
		redact: redaction{values: []string{email}}, read: func(b *body) error {
			var page relatedPage[userRow]
			if err := page.read(b); err != nil {
				return err
			}
			users = make([]User, 0, len(page.Value))
			for _, row := range page.Value[:min(len(page.Value), usersByEmail)] {
				if !row.named(email) {
					continue
				}
				u, err := row.user()
				if err != nil {
					return err
				}
				users = append(users, u)
			}
			return nil
		}}
	filter := "(internalemailaddress eq " + literal + " or domainname eq " + literal + ")"
	if err := s.get(ctx, r, "systemusers", "$select="+userColumns+"&$filter="+encode(filter)+
		"&$orderby=isdisabled%20asc,systemuserid%20asc"); err != nil {
		return nil, err
	}
	return users, nil
}
