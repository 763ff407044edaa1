package dynamics_test

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

func policy(t testing.TB, authority string, allowHTTP bool, allowed ...string) *dynamics.HostPolicy {
	t.Helper()
	p, err := dynamics.NewHostPolicy(authority, allowed, allowHTTP)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const publicCloud = "https://login.microsoftonline.com"

func TestHostileEnvironmentsAreRefused(t *testing.T) {
	p := policy(t, publicCloud, true)
	for _, raw := range []string{
		"", " ", "https://", "https:///", "org.crm.dynamics.com", "//org.crm.dynamics.com", "https:org.crm.dynamics.com",
		"ftp://org.crm.dynamics.com", "javascript://org.crm.dynamics.com", "http://org.crm.dynamics.com",
		"https://user@org.crm.dynamics.com", "https://user:geheim@org.crm.dynamics.com", "https://org.crm.dynamics.com@evil.com",
		"https://evil.com\\@org.crm.dynamics.com", "https://evil.com\\.crm.dynamics.com", "https://evil.com#.crm.dynamics.com", "https://evil.com?.crm.dynamics.com",
		"https://evil.com/.crm.dynamics.com", "https://org.crm.dynamics.com/api", "https://org.crm.dynamics.com//", "https://org.crm.dynamics.com?x",
		"https://org.crm.dynamics.com#x", "https://org.crm.dynamics.com:8443", "https://org.crm.dynamics.com:", "https://org.crm.dynamics.com:0443",
		"https://org.crm.dynamics.com:99999", "https://org.crm.dynamics.com.", "https://org.crm.dynamics.com.evil.com", "https://evilcrm.dynamics.com",
		"https://crm.dynamics.com", "https://.crm.dynamics.com", "https://api.crm.dynamics.com.evil.com", "https://a.b.crm.dynamics.com",
		"https://org.api.api.crm.dynamics.com", "https://org.crmx.dynamics.com", "https://org.crm.dynamics.co", "https://org.crm-dynamics.com", "https://org.dynamics.com",
		"https://org%2ecrm.dynamics.com", "https://org.crm.dynamics.com%00", "https://org.crm.dynamics.com%2f.evil.com", "https://org.crm.dynamics.com\r\nHost: evil",
		"https://org.crm.dynamics.com\t", "https:// org.crm.dynamics.com", "https://org\x00.crm.dynamics.com", "https://örg.crm.dynamics.com",
		"https://org.crm.dуnamics.com", "https://xn--rg-eka.crm.dynamics.com", "https://org。crm.dynamics.com", "https://-org.crm.dynamics.com", "https://org_1.crm.dynamics.com",
		"https://127.0.0.1", "https://[::1]", "https://2130706433", "https://0x7f000001", "https://127.1", "http://localhost:8080", "http://127.0.0.1:8080",
		"https://" + strings.Repeat("a", 64) + ".crm.dynamics.com", "https://" + strings.Repeat("a.", 130) + "crm.dynamics.com",
		"https://org.crm.microsoftdynamics.us", "https://org.crm.dynamics.cn",
	} {
		got, err := p.Environment(raw)
		if err == nil {
			t.Errorf("Environment(%q) = %q, want an error", raw, got)
			continue
		}
		if e := err.(*dynamics.Error); e.Kind != dynamics.Invalid || strings.Contains(err.Error(), "geheim") ||
			!strings.Contains(err.Error(), "environment URL: ") {
			t.Errorf("Environment(%q): %v", raw, err)
		}
	}
}

func TestEnvironmentsAreCanonical(t *testing.T) {
	for _, c := range []struct {
		authority string
		http      bool
		allowed   []string
		raw, want string
	}{
		{publicCloud, false, nil, "https://Contoso.CRM4.dynamics.com", "https://contoso.crm4.dynamics.com"},
		{publicCloud, false, nil, "HTTPS://contoso.api.crm4.dynamics.com/", "https://contoso.crm4.dynamics.com"},
		{publicCloud, false, nil, "https://contoso.crm.dynamics.com:443/", "https://contoso.crm.dynamics.com"},
		{publicCloud, false, nil, "https://contoso.crm99.dynamics.com", "https://contoso.crm99.dynamics.com"},
		{"https://login.microsoftonline.us/", false, nil, "https://a.api.crm.microsoftdynamics.us", "https://a.crm.microsoftdynamics.us"},
		{"https://login.microsoftonline.us", false, nil, "https://a.crm.appsplatform.us", "https://a.crm.appsplatform.us"},
		{"https://login.partner.microsoftonline.cn", false, nil, "https://a.crm.dynamics.cn", "https://a.crm.dynamics.cn"},
		{"http://127.0.0.1:9", true, []string{"127.0.0.1:9"}, "http://127.0.0.1:9/", "http://127.0.0.1:9"},
		{"http://127.0.0.1:9", true, []string{"[::1]:9"}, "http://[::1]:9", "http://[::1]:9"},
		{"http://127.0.0.1:9", true, []string{"localhost:9"}, "http://LOCALHOST:9", "http://localhost:9"},
		{publicCloud, false, []string{"*.crm4.dynamics.com"}, "https://a.api.crm4.dynamics.com", "https://a.crm4.dynamics.com"},
		{publicCloud, false, []string{"a.api.crm4.dynamics.com"}, "https://a.crm4.dynamics.com", "https://a.crm4.dynamics.com"},
		{publicCloud, false, []string{"gateway.example:8443"}, "https://gateway.example:8443", "https://gateway.example:8443"},
		{publicCloud, false, []string{"gateway.example:443"}, "https://gateway.example", "https://gateway.example"},
		{publicCloud, false, []string{"gateway.example"}, "https://gateway.example:443", "https://gateway.example"},
	} {
		got, err := policy(t, c.authority, c.http, c.allowed...).Environment(c.raw)
		if err != nil || got != c.want {
			t.Errorf("%q with %v: %q, %v; want %q", c.raw, c.allowed, got, err, c.want)
		}
	}
}

func TestAllowedHostsAreALimit(t *testing.T) {
	for _, c := range []struct {
		http    bool
		allowed string
		raw     string
	}{
		{false, "a.crm4.dynamics.com", "https://b.crm4.dynamics.com"},
		{false, "*.crm4.dynamics.com", "https://crm4.dynamics.com"},
		{false, "*.crm4.dynamics.com", "https://evilcrm4.dynamics.com"},
		{false, "*.crm4.dynamics.com", "https://a.crm4.dynamics.com:8443"},
		{false, "127.0.0.1:9", "http://127.0.0.1:9"},
		{true, "127.0.0.1:9", "http://127.0.0.1:10"},
		{true, "127.0.0.1:9", "http://localhost:9"},
		{true, "gateway.example:80", "http://gateway.example"},
		{true, "10.0.0.1:80", "http://10.0.0.1"},
	} {
		if got, err := policy(t, publicCloud, c.http, c.allowed).Environment(c.raw); err == nil {
			t.Errorf("%q with %q: %q, want an error", c.raw, c.allowed, got)
		}
	}
}

// Regions have numbers in the public cloud only.
func TestOtherCloudsHaveNoRegions(t *testing.T) {
	p := policy(t, "https://login.microsoftonline.us", false)
	if got, err := p.Environment("https://a.crm4.microsoftdynamics.us"); err == nil {
		t.Errorf("%q is taken", got)
	}
}

func TestBadHostEntriesAreAllNamed(t *testing.T) {
	bad := []string{"https://a.example", "a.example:0", "*.com", "*.a.example:443", "a b", "*", "a.example/x",
		"u@a.example", "a.example.", "ä.example", "*.10.0.0.1", "[::1"}
	_, err := dynamics.NewHostPolicy(publicCloud, bad, false)
	if err == nil {
		t.Fatal("no error")
	}
	for _, entry := range bad {
		if !strings.Contains(err.Error(), `"`+entry+`"`) {
			t.Errorf("%q is not named in %v", entry, err)
		}
	}
	for _, authority := range []string{"", "https://login.example", "http://127.0.0.1:8080"} {
		if _, err := dynamics.NewHostPolicy(authority, nil, false); err == nil {
			t.Errorf("authority %q without a list of hosts is taken", authority)
		}
	}
}

func TestSameEnvironment(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://o.crm.dynamics.com", "https://O.api.crm.dynamics.com:443/", true},
		{"https://o.crm.dynamics.com", "https://o.crm4.dynamics.com", false},
		{"https://o.crm.dynamics.com", "http://o.crm.dynamics.com", false},
		{"https://o.crm.dynamics.com", "https://o.crm.dynamics.com:444", false},
		{"https://o.crm.dynamics.com", "https://api.crm.dynamics.com", false},
		{"x", "x", false},
		{"", "", false},
	} {
		if got := dynamics.SameEnvironment(c.a, c.b); got != c.want {
			t.Errorf("SameEnvironment(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	for _, s := range []string{"https://o.api.crm4.dynamics.com/", "https://a@b.crm.dynamics.com", "https://[::1]:8/", "http://127.0.0.1:9"} {
		f.Add(s)
	}
	p := policy(f, publicCloud, false)
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := p.Environment(raw)
		if err != nil {
			return
		}
		if !strings.HasPrefix(got, "https://") || !strings.HasSuffix(got, ".dynamics.com") ||
			strings.ContainsAny(got[8:], "/@:?#\\% ") {
			t.Fatalf("%q became %q", raw, got)
		}
		again, err := p.Environment(got)
		if err != nil || again != got || !dynamics.SameEnvironment(raw, got) {
			t.Fatalf("%q → %q → %q, %v", raw, got, again, err)
		}
	})
}

// A refusal says what would be right: the host itself where that is allowed, never another customer's
// environment nor what may be a secret.
func TestRefusedEnvironmentsSayWhatWouldBeRight(t *testing.T) {
	const form = "right would be https://ORG.crm.dynamics.com"
	local := []string{"127.0.0.1:8090"}
	for _, c := range []struct {
		allowed   []string
		http      bool
		raw, want string
	}{
		{nil, false, "contoso.crm4.dynamics.com", "right would be https://contoso.crm4.dynamics.com"},
		{nil, false, "Contoso.crm4.dynamics.com/", "right would be https://contoso.crm4.dynamics.com"},
		{nil, false, "https://contoso.crm4.dynamics.com/main.aspx?appid=1&secret=2#3", "right would be https://contoso.crm4.dynamics.com"},
		{nil, false, "https://contoso.api.crm4.dynamics.com/api/data/v9.2", "right would be https://contoso.crm4.dynamics.com"},
		{nil, false, "http://contoso.crm4.dynamics.com/x", "right would be https://contoso.crm4.dynamics.com"},
		{nil, false, "https://user:pass@contoso.crm4.dynamics.com", form},
		{nil, false, "https://evil.example", form},
		{nil, false, "hunter2", form},
		{[]string{"*.crm4.dynamics.com"}, false, "https://evil.example", "right would be https://ORG.crm4.dynamics.com"},
		{[]string{"fabrikam.crm4.dynamics.com"}, false, "https://contoso.crm4.dynamics.com", "its operator has listed those hosts"},
		{local, true, "https://contoso.crm4.dynamics.com", "right would be http://127.0.0.1:8090"},
		{local, true, "127.0.0.1:8090", "right would be http://127.0.0.1:8090"},
		{local, false, "https://contoso.crm4.dynamics.com", "its operator has listed those hosts"},
	} {
		p, err := dynamics.NewHostPolicy(publicCloud, c.allowed, c.http)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Environment(c.raw)
		if err == nil || !strings.HasSuffix(err.Error(), c.want) || strings.Contains(err.Error(), "pass") ||
			strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "fabrikam") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v %s: %v, want %s", c.allowed, c.raw, err, c.want)
		}
	}
}
