package dynamics

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// cloud is one of Microsoft's clouds: who issues its tokens, and where its
// environments are. Nothing of one cloud may reach another: a refresh token sent
// to the wrong authority would leave the cloud that its law keeps it in.
type cloud struct {
	name        string
	authorities []string // hosts; the first is the one to configure, the others are its aliases
	domains     []string // of Dataverse: ORG.crm[N].domain
}

// clouds are those that Microsoft runs with Dataverse in them ("Datacenter
// regions"; "Microsoft Entra authentication and national clouds"). GCC is part of
// the global one, as crm9.dynamics.com; GCC High and DoD share an authority.
var clouds = []cloud{
	{"the global cloud", []string{"login.microsoftonline.com", "login.microsoft.com", "login.windows.net",
		"sts.windows.net"}, []string{"dynamics.com"}},
	{"the cloud of the US Government (GCC High, DoD)", []string{"login.microsoftonline.us", "login.usgovcloudapi.net"},
		[]string{"microsoftdynamics.us", "appsplatform.us"}},
	{"the cloud in China (21Vianet)", []string{"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"},
		[]string{"dynamics.cn"}},
}

// cloudOf finds the cloud whose tokens an authority issues; the zero cloud for an
// authority that is not Microsoft's, such as an emulator.
func cloudOf(authorityURL string) (cloud, error) {
	u, err := url.Parse(authorityURL)
	if err != nil || u.Hostname() == "" {
		return cloud{}, errors.New("dynamics: the authority URL is not a URL; right would be " +
			"https://login.microsoftonline.com")
	}
	for _, c := range clouds {
		if slices.Contains(c.authorities, strings.ToLower(u.Hostname())) {
			return c, nil
		}
	}
	return cloud{}, nil
}

// foreign finds the other cloud that a Dataverse host, or a suffix of such hosts,
// belongs to. An authority that is not Microsoft's has no others.
func (p *HostPolicy) foreign(host string) (cloud, bool) {
	if p.cloud.name == "" {
		return cloud{}, false
	}
	for _, c := range clouds {
		if c.name == p.cloud.name {
			continue
		}
		for _, domain := range c.domains {
			if host == domain || strings.HasSuffix(host, "."+domain) {
				return c, true
			}
		}
	}
	return cloud{}, false
}

// elsewhere says which authority the environments of another cloud need.
func (p *HostPolicy) elsewhere(c cloud) error {
	return fmt.Errorf("the host is in %s, whose authority is https://%s, but this installation's authority "+
		"(ENTRA_AUTHORITY_URL) serves %s; run another deployment for that cloud",
		c.name, c.authorities[0], p.cloud.name)
}
