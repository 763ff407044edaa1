package dynamics_test

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Each cloud: its authorities, an environment in each of its domains.
var clouds = []struct {
	authorities, environments []string
}{
	{[]string{"https://login.microsoftonline.com", "https://login.windows.net", "https://LOGIN.microsoft.com/"},
		[]string{"https://o.crm.dynamics.com", "https://o.crm4.dynamics.com", "https://gcc.crm9.dynamics.com"}},
	{[]string{"https://login.microsoftonline.us"},
		[]string{"https://high.crm.microsoftdynamics.us", "https://dod.crm.appsplatform.us"}},
	{[]string{"https://login.partner.microsoftonline.cn", "https://login.chinacloudapi.cn"},
		[]string{"https://o.crm.dynamics.cn"}},
}

// An environment goes to the authority of its cloud and to no other one, listed
// or not, and the refusal says which authority it needs.
func TestAnEnvironmentIsNeverSentToAnotherCloud(t *testing.T) {
	for i, at := range clouds {
		for _, authority := range at.authorities {
			own := policy(t, authority, false)
			broad := policy(t, authority, false, "gateway.example", "*.example.org")
			for j, from := range clouds {
				for _, environment := range from.environments {
					host := strings.TrimPrefix(environment, "https://")
					_, domain, _ := strings.Cut(host, ".")
					got, err := own.Environment(environment)
					if i == j {
						if err != nil || got != environment {
							t.Errorf("%s at %s: %q, %v", environment, authority, got, err)
						}
						if _, err := dynamics.NewHostPolicy(authority, []string{host, "*." + domain}, false); err != nil {
							t.Errorf("%s listed at %s: %v", host, authority, err)
						}
						continue
					}
					needs := from.authorities[0]
					if err == nil || !strings.Contains(err.Error(), needs) {
						t.Errorf("%s at %s: %q, %v; want a refusal that names %s", environment, authority, got, err, needs)
					}
					if _, err := broad.Environment(environment); err == nil || !strings.Contains(err.Error(), needs) {
						t.Errorf("%s at %s with a list: %v", environment, authority, err)
					}
					for _, entry := range []string{host, host + ":443", "*." + domain, strings.ToUpper(host), strings.Replace(host, ".crm", ".api.crm", 1)} {
						if _, err := dynamics.NewHostPolicy(authority, []string{"gateway.example", entry}, false); err == nil ||
							!strings.Contains(err.Error(), needs) || !strings.Contains(err.Error(), entry) {
							t.Errorf("entry %s at %s: %v", entry, authority, err)
						}
					}
				}
			}
		}
	}
}

// An authority that is not Microsoft's is the operator's own business.
func TestAnotherAuthorityNeedsAList(t *testing.T) {
	p := policy(t, "https://login.example", false, "o.crm.dynamics.cn", "o.crm4.dynamics.com")
	for _, environment := range []string{"https://o.crm.dynamics.cn", "https://o.crm4.dynamics.com"} {
		if _, err := p.Environment(environment); err != nil {
			t.Error(err)
		}
	}
	if _, err := dynamics.NewHostPolicy("%", []string{"a.example"}, false); err == nil {
		t.Error("an authority that cannot be read is taken")
	}
}
