package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// commands are the paths of the control endpoint. The list in doc.go is the same; a test compares them.
var commands = []command{
	{http.MethodGet, "counts", "", "what was asked so far (Counts)",
		func(r controlRequest) (any, error) { return r.c.Counts(), nil }},
	{http.MethodGet, "users", "", "who may sign in", func(r controlRequest) (any, error) { return r.c.Users(), nil }},
	{http.MethodGet, "grants", "", "the sign-ins that left a refresh token (Grant)",
		func(r controlRequest) (any, error) { return r.c.Grants(), nil }},
	{http.MethodPost, "reset", "", "count from zero", always(Control.ResetCounts)},
	{http.MethodPost, "expire", "", "every access token so far: 401", always(Control.ExpireAccessTokens)},
	{http.MethodPost, "lifetime", "?seconds=", "of the access tokens to come; 0 is the normal one", lifetime},
	{http.MethodPost, "revoke", "?user=|grant=", "refresh tokens of a user, of one sign-in, or all: AADSTS50173", revoke},
	{http.MethodPost, "expire-refresh", "?user=", "refresh tokens of a user, or all: AADSTS700082",
		func(r controlRequest) (any, error) {
			return done("expired", r.c.ExpireRefreshTokens(r.get("user"))), nil
		}},
	{http.MethodPost, "password", "?user=", "an administrator's reset: AADSTS50173", func(r controlRequest) (any, error) {
		n, ok := r.c.ChangePassword(r.get("user"))
		return done("revoked", n), unless(ok, errUser)
	}},
	{http.MethodPost, "block", "?user=", "the account is disabled at Entra: AADSTS50057",
		func(r controlRequest) (any, error) {
			return nil, unless(r.c.BlockSignIn(r.get("user"), r.on), errUser)
		}},
	{http.MethodPost, "mfa", "?user=", "a second factor is required: AADSTS50076 until the next sign-in",
		func(r controlRequest) (any, error) {
			return nil, unless(r.c.RequireMFA(r.get("user"), r.on), errUser)
		}},
	{http.MethodPost, "withdraw", "?user=", "consent is taken back: AADSTS65001 until it is given again",
		func(r controlRequest) (any, error) {
			return nil, unless(r.c.WithdrawConsent(r.get("user")), errUser)
		}},
	{http.MethodPost, "secret-expired", "", "the client secret: AADSTS7000222", switched(Control.ExpireClientSecret)},
	{http.MethodPost, "admin-consent", "", "users may not consent: AADSTS90094 until an administrator has",
		switched(Control.RequireAdminConsent)},
	{http.MethodPost, "claims", "", "with a JSON object: Dataverse's claims challenge; with nothing: none", setClaims},
	{http.MethodPost, "tracking", "[?table=]", "change tracking of a table, or of all, is on; off=1 switches it off",
		tracking},
	{http.MethodPost, "expire-changes", "", "every delta token so far: 0x80044352", always(Control.ExpireChangeTokens)},
	{http.MethodPost, "withhold", "?user=&privilege=[&depth=]",
		"takes a privilege of Dataverse's, or cuts it to Basic, Local or Deep", withhold},
	{http.MethodPost, "language", "?user=&lcid=",
		"the user's labels and formats: 1033 English, 1031 German, 1036 French", setLanguage},
	{http.MethodPost, "app-blocked", "", "Dataverse refuses the application: 0x80095ffc",
		switched(Control.BlockApplication)},
	{http.MethodPost, "option", "?column=&value=&label=[&lcid=][&table=]",
		"adds an option to a choice, or gives it another label; off=1 removes it", setOption},
	{http.MethodPost, "column", "?column=&label=[&lcid=][&type=][&table=]",
		"adds a custom column, or gives one another name; off=1 removes it", setColumn},
	{http.MethodPost, "secure", "?column=[&table=]", "secures a column; off=1 takes that back",
		func(r controlRequest) (any, error) {
			return nil, unless(r.table().Secure(r.get("column"), r.on),
				errors.New("column must be one that can be secured, and table its entity set"))
		}},
	{http.MethodPost, "profile", "[?name=]",
		"with a FieldSecurityProfile as JSON: puts it; off=1 deletes the one called name", setProfile},
	{http.MethodPost, "table", "[?name=]", "with a Table as JSON: adds it; off=1 removes the added one whose set is name", setTable},
	{http.MethodPost, "created", "[?id=&at=][&table=]",
		"with a list of Created as JSON: when all rows were created; with id= and at= when one was, off=1 for never",
		setCreated},
	{http.MethodPost, "record-count", "?count=[&table=]",
		"what RetrieveTotalRecordCount tells; off=1: what was counted", recordCount},
	{http.MethodPost, "dop-hint", "?value=", "what x-ms-dop-hint recommends; off=1: it is not sent", parallelHint},
	{http.MethodPost, "sales", "", "the environment has Dynamics 365 Sales; off=1: it has not",
		switched(Control.SetSales)},
	{http.MethodPost, "row", "[?table=]", "with a row as JSON: puts it; with off=1 and id= deletes one", setRow},
	{http.MethodPost, "fail", "", "with a Fault as JSON: throttle, delay, break or refuse requests to come", fail},
	{http.MethodPost, "clear", "", "drop the faults that have not struck", always(Control.Clear)},
}

func always(f func(Control)) func(controlRequest) (any, error) {
	return func(r controlRequest) (any, error) { f(r.c); return nil, nil }
}

func switched(f func(Control, bool)) func(controlRequest) (any, error) {
	return func(r controlRequest) (any, error) { f(r.c, r.on); return nil, nil }
}

func done(member string, n int) map[string]any { return map[string]any{"ok": true, member: n} }

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

func lifetime(r controlRequest) (any, error) {
	n, err := strconv.Atoi(r.get("seconds"))
	if err != nil || n < 0 || n > 86400 {
		return nil, errors.New("seconds must be a number from 0 to 86400")
	}
	r.c.SetAccessTokenLifetime(time.Duration(n) * time.Second)
	return nil, nil
}

func revoke(r controlRequest) (any, error) {
	if id := r.get("grant"); id != "" {
		return map[string]any{"ok": true, "revoked": r.c.RevokeGrant(id)}, nil
	}
	return map[string]any{"ok": true, "revoked": r.c.RevokeRefreshTokens(r.get("user"))}, nil
}

func setClaims(r controlRequest) (any, error) {
	b, err := r.body(maxClaims + 1)
	if err != nil || !r.c.ChallengeClaims(string(bytes.TrimSpace(b))) {
		return nil, errors.New("claims must be a JSON object of at most 4096 bytes, or nothing")
	}
	return nil, nil
}

func tracking(r controlRequest) (any, error) {
	var named []string
	if set := r.get("table"); set != "" {
		named = []string{set}
	}
	return nil, unless(r.c.SetChangeTracking(r.on, named...), errors.New("table must be an entity set"))
}

func withhold(r controlRequest) (any, error) {
	user, dir := r.get("user"), r.c.s.dir
	if dir.byUserName(user) == nil {
		return nil, errUser
	}
	depth := DepthNone
	if name := r.get("depth"); name != "" {
		var ok bool
		if depth, ok = ParseDepth(name); !ok {
			return nil, errors.New("depth must be None, Basic, Local, Deep or Global")
		}
	}
	if !r.on {
		depth = DepthGlobal
	}
	return nil, unless(r.c.Limit(user, r.get("privilege"), depth),
		errors.New("privilege must be one of "+strings.Join(dir.privileges(), ", ")))
}

func setLanguage(r controlRequest) (any, error) {
	if r.c.s.dir.byUserName(r.get("user")) == nil {
		return nil, errUser
	}
	lcid, _ := strconv.Atoi(r.get("lcid"))
	return nil, unless(r.c.SetLanguage(r.get("user"), lcid),
		errors.New("lcid must be one of "+strings.Join(languageNames(), ", ")))
}

// labels are what option and column set.
func (r controlRequest) labels() map[int]string {
	lcid := baseLanguage
	if v := r.get("lcid"); v != "" {
		lcid, _ = strconv.Atoi(v)
	}
	return map[int]string{lcid: r.get("label")}
}

func setOption(r controlRequest) (any, error) {
	t, name := r.table(), r.get("column")
	value, err := strconv.Atoi(r.get("value"))
	switch {
	case err != nil || value < -1<<31 || value > 1<<31-1:
		return nil, errors.New("value must be the integer of an option")
	case !r.on:
		return nil, unless(t.RemoveOption(name, value), errors.New("column and value must be those of an option of a choice"))
	}
	return nil, unless(t.RelabelOption(name, value, r.labels()) || t.AddOption(name, value, r.labels()),
		errors.New("column must be a choice, label not empty and lcid one of "+strings.Join(languageNames(), ", ")))
}

func setColumn(r controlRequest) (any, error) {
	t, name := r.table(), r.get("column")
	if !r.on {
		return nil, unless(t.RemoveColumn(name), errors.New("column must be the logical name of a custom column"))
	}
	if t.RelabelColumn(name, r.labels()) {
		return nil, nil
	}
	return nil, t.AddColumn(Column{Name: name, Label: r.get("label"), Type: r.get("type")})
}

// maxRowBody bounds a row, and the description of a table with its rows.
const maxRowBody = 8 << 20

func setRow(r controlRequest) (any, error) {
	if !r.on {
		return nil, unless(r.table().Delete(r.get("id")), errors.New("id must be that of a row, and table its entity set"))
	}
	var row Row
	if err := r.decode(&row); err != nil {
		return nil, err
	}
	id, err := r.table().Put(row)
	return map[string]any{"ok": true, "id": id}, err
}

func setCreated(r controlRequest) (any, error) {
	id, at := r.get("id"), time.Time{}
	if id == "" {
		var list []Created
		b, err := r.body(maxRowBody)
		if err == nil {
			err = json.Unmarshal(b, &list)
		}
		if err != nil {
			return nil, fmt.Errorf("the body must be a list such as [{\"percent\":70,\"from\":\"2024-01-01T08:00:00Z\",\"span\":\"1h\"}]: %w", err)
		}
		return nil, r.table().SpreadCreated(list)
	}
	if r.on {
		var err error
		if at, err = time.Parse(time.RFC3339, r.get("at")); err != nil {
			return nil, errors.New("at must be a time such as 2024-02-29T08:00:00Z")
		}
	}
	return nil, unless(r.table().SetCreated(id, at), errors.New("id must be that of a row, and table its entity set"))
}

func recordCount(r controlRequest) (any, error) {
	n := int64(-1)
	if r.on {
		var err error
		if n, err = strconv.ParseInt(r.get("count"), 10, 64); err != nil || n < 0 {
			return nil, errors.New("count must be a number of rows")
		}
	}
	return nil, unless(r.table().SetRecordCount(n), errors.New("table must be an entity set"))
}

func parallelHint(r controlRequest) (any, error) {
	n := 0
	if r.on {
		var err error
		if n, err = strconv.Atoi(r.get("value")); err != nil || n < 1 || n > 1000 {
			return nil, errors.New("value must be a number from 1 to 1000")
		}
	}
	r.c.SetParallelHint(n)
	return nil, nil
}

func setProfile(r controlRequest) (any, error) {
	if !r.on {
		return nil, unless(r.c.DeleteProfile(r.get("name")), errors.New("name must be that of a field security profile"))
	}
	var p FieldSecurityProfile
	if err := r.decode(&p); err != nil {
		return nil, err
	}
	return nil, r.c.PutProfile(p)
}

func setTable(r controlRequest) (any, error) {
	if !r.on {
		return nil, unless(r.c.RemoveTable(r.get("name")), errors.New("name must be the entity set of an added table"))
	}
	var t Table
	if err := r.decode(&t); err != nil {
		return nil, err
	}
	return nil, r.c.AddTable(t)
}

// decode reads the body, which is one JSON object without members that are not known.
func (r controlRequest) decode(into any) error {
	b, err := r.body(maxRowBody)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body must be a JSON object: %w", err)
	}
	return nil
}

func fail(r controlRequest) (any, error) {
	b, err := r.body(1 << 20)
	if err != nil {
		return nil, err
	}
	f, err := ParseFault(b)
	if err != nil {
		return nil, err
	}
	r.c.Fail(f)
	return nil, nil
}
