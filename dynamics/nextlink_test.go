package dynamics_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// cookie is in the form of Dataverse's own links: two depths of encoding, hex in
// two cases, bare quotes and dollars.
const cookie = `$select=name&$filter=contains(name,'%25S%C3%B6+x')&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%22%20istracking=%22False%22%20/%3E`

func TestLinksAreFollowedByteForByte(t *testing.T) {
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.RequestURI, "skiptoken") {
			_, _ = io.WriteString(w, emptyPage)
			return
		}
		_, _ = fmt.Fprintf(w, `{"@odata.nextLink":"%s/api/data/v9.2/accounts?%s","value":[]}`, r.URL, cookie)
	})
	s := r.open(t)
	p, err := firstPage(t.Context(), s, nameOnly)
	if err != nil {
		t.Fatal(err)
	}
	if p.NextLink() != r.URL+"/api/data/v9.2/accounts?"+cookie {
		t.Fatal(p.NextLink())
	}
	if _, err := nextPage(t.Context(), s, nameOnly, p.NextLink()); err != nil {
		t.Fatal(err)
	}
	if got := r.uris()[1]; got != "/api/data/v9.2/accounts?"+cookie {
		t.Errorf("on the wire: %s", got)
	}
	if a, b := r.seen[0].Header.Get("Prefer"), r.seen[1].Header.Get("Prefer"); a != "odata.maxpagesize=2" || a != b {
		t.Errorf("Prefer %q, then %q", a, b)
	}
	if r.tokens.asked != 2 {
		t.Errorf("the token source was asked %d times for two requests", r.tokens.asked)
	}
	_, err = nextPage(t.Context(), s, nameOnly, p.NextLink())
	kind(t, err, dynamics.Upstream)
	if len(r.uris()) != 2 {
		t.Error("a link was followed in a circle")
	}
}

func TestHostileLinksAreNotFollowed(t *testing.T) {
	spy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("the other host was asked: %v", req.Header)
	}))
	defer spy.Close()
	r := newRig(t, answer(200, emptyPage))
	s := r.open(t)
	_, port, _ := net.SplitHostPort(r.host())
	for _, link := range []string{
		"x", "/api/data/v9.2/accounts?x", "//" + r.host() + "/api/data/v9.2/accounts?x",
		spy.URL + "/api/data/v9.2/accounts?x", "https://" + r.host() + "/api/data/v9.2/accounts?x", "http://localhost:" +
			port + "/api/data/v9.2/accounts?x",
		"http://127.0.0.1/api/data/v9.2/accounts?x", "http://user@" + r.host() + "/api/data/v9.2/accounts?x", r.URL + "@" + strings.TrimPrefix(spy.URL, "http://") + "/api/data/v9.2/accounts?x",
		r.URL + ".evil.com/api/data/v9.2/accounts?x", r.URL + "\\.evil.com/api/data/v9.2/accounts?x", r.URL +
			"/api/data/v9.2/accounts", r.URL + "/api/data/v9.2/accounts?",
		r.URL + "/api/data/v9.1/accounts?x", r.URL + "/api/data/v9.2/contacts?x", r.URL + "/api/data/v9.2/accounts/?x",
		r.URL + "/api/data/v9.2/accounts(1)?x", r.URL + "/api/data/v9.2/Accounts?x",
		r.URL + "/api/data/v9.2/../v9.2/accounts?x", r.URL + "/api/data/v9.2/%61ccounts?x", r.URL +
			"//api/data/v9.2/accounts?x", r.URL + "/api/data/v9.2/accounts?x#y",
		r.URL + "/api/data/v9.2/accounts?x y", r.URL + "/api/data/v9.2/accounts?x HTTP/1.1\r\nX-Evil: 1\r\n", r.URL +
			"/api/data/v9.2/accounts?x\x00", r.URL + "/api/data/v9.2/accounts?" + strings.Repeat("x", 1<<17),
	} {
		_, err := nextPage(t.Context(), s, nameOnly, link)
		kind(t, err, dynamics.Upstream)
		if link != "x" && strings.Contains(err.Error(), link) {
			t.Errorf("the link is in %v", err)
		}
	}
	if len(r.uris()) != 0 {
		t.Errorf("asked: %v", r.uris())
	}
}

// A link that is longer than Dataverse takes is not sent, and says so.
func TestALinkThatIsTooLongToFollow(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { answerAny(w, req, emptyPage) })
	s := r.open(t)
	base := r.URL + "/api/data/v9.2/accounts?"
	fits := base + strings.Repeat("x", dynamics.MaxBatchURL-len(base))
	if _, err := nextPage(t.Context(), s, nameOnly, fits); err != nil {
		t.Errorf("as long as it may be: %v", err)
	}
	_, err := nextPage(t.Context(), s, nameOnly, fits+"x")
	if kind(t, err, dynamics.TooLarge); !errors.Is(err, dynamics.ErrURLTooLong) || len(r.uris()) != 1 {
		t.Errorf("%v after %d calls", err, len(r.uris()))
	}
	var giver *rig
	giver = newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"value":[],"@odata.nextLink":"`+giver.URL+"/api/data/v9.2/accounts?"+
			strings.Repeat("x", dynamics.MaxBatchURL)+`"}`)
	})
	p, err := firstPage(t.Context(), giver.open(t), nameOnly)
	if kind(t, err, dynamics.TooLarge); p != nil {
		t.Error("a page that cannot be gone on from was delivered")
	}
}

// A query that begins again may follow the links that it followed before.
func TestRestartForgetsTheLinks(t *testing.T) {
	r := newRig(t, answer(200, emptyPage))
	s := r.open(t)
	for range 2 {
		if _, err := nextPage(t.Context(), s, nameOnly, r.URL+"/api/data/v9.2/accounts?"+cookie); err != nil {
			t.Error(err)
		}
		s.Restart()
	}
}

func TestAPageWithAHostileLinkIsNoPage(t *testing.T) {
	p, err := readOne(t, nameOnly, `{"value":[],"@odata.nextLink":"https://evil.example/api/data/v9.2/accounts?x"}`)
	kind(t, err, dynamics.Upstream)
	if p != nil {
		t.Error("it was delivered")
	}
}

func TestARedirectGetsNoToken(t *testing.T) {
	spy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("the redirect was followed: %v", req.Header)
	}))
	defer spy.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, spy.URL+"/?t="+canaryToken, status)
		})
		s := r.open(t)
		_, err := firstPage(t.Context(), s, nameOnly)
		kind(t, err, dynamics.Upstream)
		_, err = s.WhoAmI(t.Context())
		kind(t, err, dynamics.Upstream)
		_, err = r.client.Challenge(t.Context(), r.URL)
		kind(t, err, dynamics.Upstream)
		if n := len(r.uris()); n != 3 {
			t.Errorf("%d requests", n)
		}
	}
}

func FuzzNextLink(f *testing.F) {
	const base = "ORG/api/data/v9.2/accounts?"
	for _, s := range []string{base + cookie, base + "x#y", "http://evil/api/data/v9.2/accounts?x", "ORG@evil/api/data/v9.2/accounts?x", "ORG/../x?y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, link string) {
		r := newRig(t, answer(200, emptyPage))
		link = strings.ReplaceAll(link, "ORG", r.URL)
		_, err := nextPage(t.Context(), r.open(t), nameOnly, link)
		if err != nil {
			if len(r.uris()) > 0 && dynamics.KindOf(err) != dynamics.Upstream && dynamics.KindOf(err) != dynamics.Invalid {
				t.Fatalf("%q: %v", link, err)
			}
			return
		}
		if _, uri, _ := strings.Cut(strings.TrimPrefix(link[strings.Index(link, "://")+3:], ""), "/"); r.uris()[0] != "/"+uri {
			t.Fatalf("%q was sent as %q", link, r.uris()[0])
		}
	})
}

// switching answers the first page with a link under the environment's other name.
type switching struct{ asked []string }

func (s *switching) RoundTrip(req *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, req.URL.Host+" "+req.Host+" "+req.URL.RequestURI())
	body := emptyPage
	if len(s.asked) == 1 {
		body = `{"value":[],"@odata.nextLink":"https://O.api.crm4.dynamics.com:443/api/data/v9.2/accounts?` + cookie + `"}`
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		Request: req}, nil
}

func TestBothNamesOfAnEnvironmentAreOne(t *testing.T) {
	transport := &switching{}
	source := &tokens{access: dynamics.Access{Tables: told, Environment: "https://o.crm4.dynamics.com/",
		Token: dynamics.NewSecret(canaryToken)}}
	client, err := dynamics.New(dynamics.Config{Tokens: source, Hosts: policy(t, publicCloud, false),
		Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s, err := client.Open(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	page, err := firstPage(t.Context(), s, nameOnly)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nextPage(t.Context(), s, nameOnly, page.NextLink()); err != nil {
		t.Fatal(err)
	}
	if want := "o.api.crm4.dynamics.com:443 o.api.crm4.dynamics.com:443 /api/data/v9.2/accounts?" +
		cookie; transport.asked[1] != want {
		t.Errorf("got %s", transport.asked[1])
	}
}
