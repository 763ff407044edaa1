package dynamics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

const whoAmI = `{"@odata.context":"x","BusinessUnitId":"DED5A64F-f06d-e511-80d0-00155db07cb1","UserId":"78914942-34cb-ed11-b596-0022481d68cd","OrganizationId":"4faf1f34-f06d-e511-80d0-00155db07cb1"}`

func TestWhoAmI(t *testing.T) {
	r := newRig(t, answer(200, whoAmI))
	want := dynamics.Identity{UserID: someID, BusinessUnitID: "ded5a64f-f06d-e511-80d0-00155db07cb1",
		OrganizationID: "4faf1f34-f06d-e511-80d0-00155db07cb1"}
	s := r.open(t)
	if got, err := s.WhoAmI(t.Context()); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	got, err := r.client.Identify(t.Context(), r.URL+"/", "other-token")
	if err != nil || got != want || r.seen[1].Header.Get("Authorization") != "Bearer other-token" ||
		r.uris()[1] != "/api/data/v9.2/WhoAmI" {
		t.Errorf("%+v, %v", got, err)
	}
	if s.Connection() != "acme" || s.Environment() != r.URL || s.Incarnation() != "1" {
		t.Error("session")
	}
	for _, token := range []string{"", "a b", "a\r\nX: y"} {
		_, err = r.client.Identify(t.Context(), r.URL, token)
		kind(t, err, dynamics.Invalid)
	}
	_, err = r.client.Identify(t.Context(), "https://evil.example", canaryToken)
	kind(t, err, dynamics.Invalid)
	for _, body := range []string{`{}`, `[]`, ``, `{"UserId":"x"}`, strings.Replace(whoAmI, "4faf1f34", "4faf1f3z", 1), whoAmI + "x"} {
		_, err := newRig(t, answer(200, body)).open(t).WhoAmI(t.Context())
		kind(t, err, dynamics.Upstream)
	}
}

func TestA401CostsOneRenewal(t *testing.T) {
	fresh := func(token string) func(dynamics.Access) (dynamics.Access, error) {
		return func(a dynamics.Access) (dynamics.Access, error) {
			a.Token = dynamics.NewSecret(token)
			return a, nil
		}
	}
	revoked := errors.New("the grant is gone")
	for _, c := range []struct {
		name    string
		renewed func(dynamics.Access) (dynamics.Access, error)
		calls   int
		told    int // refusals that the source hears of
		check   func(error) bool
	}{
		{"a new token", fresh("good"), 2, 1, func(err error) bool { return err == nil }},
		{"another bad token", fresh("bad"), 2, 2, func(err error) bool { return dynamics.KindOf(err) == dynamics.Unauthorized }},
		{"a verdict on the second", func() func(dynamics.Access) (dynamics.Access, error) {
			asked := 0
			return func(a dynamics.Access) (dynamics.Access, error) {
				if asked++; asked == 2 {
					return dynamics.Access{}, revoked
				}
				return fresh("bad")(a)
			}
		}(), 2, 2, func(err error) bool { return err == revoked }},
		{"an old token, then a new one", func(a dynamics.Access) (dynamics.Access, error) {
			if a.Token.Reveal() == "old" {
				return fresh("good")(a)
			}
			return fresh("old")(a)
		}, 3, 2, func(err error) bool { return err == nil }},
		{"the same token", fresh(canaryToken), 1, 1, func(err error) bool { return dynamics.KindOf(err) == dynamics.Unauthorized }},
		{"no token", func(dynamics.Access) (dynamics.Access, error) { return dynamics.Access{}, revoked }, 1, 1, func(err error) bool { return err == revoked }},
		{"another user", func(a dynamics.Access) (dynamics.Access, error) { a.Principal.User = "another"; return a, nil }, 1, 1, func(err error) bool { return errors.Is(err, dynamics.ErrConnectionChanged) }},
		{"another incarnation", func(a dynamics.Access) (dynamics.Access, error) { a.Incarnation = "2"; return a, nil }, 1, 1, func(err error) bool { return errors.Is(err, dynamics.ErrConnectionChanged) }},
	} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") != "Bearer good" {
				w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="eyJjbGFpbSI"`)
				w.WriteHeader(401)
				return
			}
			_, _ = io.WriteString(w, whoAmI)
		})
		r.tokens.renewed = c.renewed
		_, err := r.open(t).WhoAmI(t.Context())
		if !c.check(err) || len(r.uris()) != c.calls || r.tokens.refused != c.told || r.tokens.claims != "eyJjbGFpbSI" {
			t.Errorf("%s: %v after %d calls and %d renewals", c.name, err, len(r.uris()), r.tokens.refused)
		}
		if e, ok := errors.AsType[*dynamics.Error](err); ok && e.Kind == dynamics.Unauthorized &&
			(e.Claims != "eyJjbGFpbSI" || strings.Contains(err.Error(), e.Claims)) {
			t.Errorf("%s: claims %q in %v", c.name, e.Claims, err)
		}
	}
}

func TestASessionIsBoundToItsGrant(t *testing.T) {
	for _, change := range []func(*dynamics.Access){
		func(a *dynamics.Access) { a.Incarnation = "2" },
		func(a *dynamics.Access) { a.Environment = "https://other.crm.dynamics.com" },
		func(a *dynamics.Access) { a.Environment = "" },
		func(a *dynamics.Access) { a.Principal.User = "another" },
	} {
		r := newRig(t, answer(200, whoAmI))
		s := r.open(t)
		r.tokens.set(change)
		_, _ = s.WhoAmI(t.Context()) // within a tenth of a second it uses the access of Open
		_, err := s.WhoAmI(t.Context())
		if kind(t, err, dynamics.Invalid); !errors.Is(err, dynamics.ErrConnectionChanged) || len(r.uris()) > 1 {
			t.Errorf("%v after %d calls", err, len(r.uris()))
		}
	}
	r := newRig(t, answer(200, whoAmI))
	r.tokens.set(func(a *dynamics.Access) { a.Environment = "https://evil.example" })
	_, err := r.client.Open(t.Context(), "acme")
	kind(t, err, dynamics.Invalid)
}

func TestChallenge(t *testing.T) {
	const tenant = "6babcaad-604b-40ac-a9d7-9fd97c0b779f"
	for _, c := range []struct {
		name   string
		status int
		header []string
		want   dynamics.Challenge
		kind   dynamics.Kind
	}{
		{"unquoted", 401, []string{"Bearer authorization_uri=https://login.microsoftonline.com/" + tenant + "/oauth2/authorize, resource_id=https://o.crm11.dynamics.com/"},
			dynamics.Challenge{Tenant: tenant, AuthorizationURI: "https://login.microsoftonline.com/" + tenant +
				"/oauth2/authorize", ResourceID: "https://o.crm11.dynamics.com/"}, 0},
		{"quoted", 401, []string{`bearer resource_id="https://o/", authorization_uri="https://login.windows.net/COMMON/oauth2/authorize"`},
			dynamics.Challenge{Tenant: "organizations", AuthorizationURI: "https://login.windows.net/COMMON/oauth2/authorize",
				ResourceID: "https://o/"}, 0},
		{"second line, other name", 401, []string{"Negotiate", `Bearer realm="a, b=c \"d\"" , authorization = https://login.example/contoso.onmicrosoft.com`},
			dynamics.Challenge{Tenant: "contoso.onmicrosoft.com",
				AuthorizationURI: "https://login.example/contoso.onmicrosoft.com"}, 0},
		{"no header", 401, nil, dynamics.Challenge{}, dynamics.Upstream},
		{"no tenant", 401, []string{"Bearer authorization_uri=https://login.microsoftonline.com/"}, dynamics.Challenge{}, dynamics.Upstream},
		{"odd tenant", 401, []string{"Bearer authorization_uri=https://login.microsoftonline.com/%2e%2e/x"}, dynamics.Challenge{}, dynamics.Upstream},
		{"user info", 401, []string{"Bearer authorization_uri=https://a@login.microsoftonline.com/" + tenant}, dynamics.Challenge{}, dynamics.Upstream},
		{"no environment", 404, nil, dynamics.Challenge{}, dynamics.NotFound}, {"bad host", 400, nil, dynamics.Challenge{}, dynamics.NotFound},
		{"open door", 200, nil, dynamics.Challenge{}, dynamics.Upstream}, {"down", 503, nil, dynamics.Challenge{}, dynamics.Unavailable},
	} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			for _, h := range c.header {
				w.Header().Add("WWW-Authenticate", h)
			}
			w.WriteHeader(c.status)
		})
		got, err := r.client.Challenge(t.Context(), r.URL)
		if got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
		if c.kind != 0 {
			kind(t, err, c.kind)
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if req := r.seen[0]; req.RequestURI != "/api/data/v9.2/" || req.Header.Get("Authorization") != "" {
			t.Errorf("%s: %s", c.name, req.RequestURI)
		}
	}
	_, err := newRig(t, answer(401, "")).client.Challenge(t.Context(), "https://evil.example")
	kind(t, err, dynamics.Invalid)
}

func FuzzChallenge(f *testing.F) {
	for _, s := range []string{`Bearer authorization_uri=https://l/t/oauth2`, `Bearer a="b\"", authorization_uri="https://l/t"`, `Bearer =,=,`, `bearer  ,`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Www-Authenticate"] = []string{header}
			w.WriteHeader(401)
		})
		got, err := r.client.Challenge(t.Context(), r.URL)
		if err != nil {
			if dynamics.KindOf(err) == 0 {
				t.Fatal(err)
			}
			return
		}
		if got.Tenant == "" || strings.ContainsAny(got.Tenant, "/?#%:@\\ \r\n") {
			t.Fatalf("%q gave tenant %q", header, got.Tenant)
		}
	})
}

func TestConfigurationIsChecked(t *testing.T) {
	p := policy(t, publicCloud, false)
	for _, c := range []dynamics.Config{{}, {Hosts: p, APIVersion: "9.2"}, {Hosts: p, APIVersion: "v9.2/../x"}, {Hosts: p, MaxBody: -1}} {
		if _, err := dynamics.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	c, err := dynamics.New(dynamics.Config{Hosts: p})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Open(context.Background(), "acme"); err == nil {
		t.Error("a session without a token source")
	}
}
