package check

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Ports are those that the process is told to listen on; Service, Ingress, network policy and
// pod monitor name ports that there are.
func TestPortsAreThere(t *testing.T) {
	for _, c := range clusters(t) {
		env, ports := c.environment(t), map[string]int32{}
		for _, port := range c.container(t).Ports {
			ports[port.Name] = port.ContainerPort
		}
		for name, variable := range map[string]string{"http": "HTTP_ADDR", "admin": "ADMIN_ADDR"} {
			host, port, err := net.SplitHostPort(env[variable])
			if err != nil || host != "" || intstr.Parse(port).IntVal != ports[name] {
				t.Errorf("%s: port %s is %d, %s is %s", c.name, name, ports[name], variable, env[variable])
			}
		}
		if len(c.service.Spec.Ports) != 1 || c.service.Spec.Ports[0].TargetPort.StrVal != "http" {
			t.Errorf("%s: the Service leads to %v, and should to the pages alone", c.name, c.service.Spec.Ports)
		}
		for _, rule := range c.network.Spec.Ingress {
			for _, port := range rule.Ports {
				if ports[port.Port.StrVal] == 0 {
					t.Errorf("%s: the network policy lets in at %s", c.name, port.Port)
				}
			}
		}
		if c.podMonitor != nil && (len(c.podMonitor.Spec.PodMetricsEndpoints) != 1 ||
			*c.podMonitor.Spec.PodMetricsEndpoints[0].Port != "admin") {
			t.Errorf("%s: the pod monitor reads %v", c.name, c.podMonitor.Spec.PodMetricsEndpoints)
		}
		release := strings.Fields(output(t, crmbridge(t), "version"))
		if _, tag, _ := strings.Cut(c.container(t).Image, ":"); !strings.HasPrefix(release[len(release)-1], tag+"+") {
			t.Errorf("%s: the image is %s, the program %v", c.name, c.container(t).Image, release)
		}
		if name := c.podTemplate.ServiceAccountName; name != c.account.Name {
			t.Errorf("%s: there is no service account %s", c.name, name)
		}
	}
}

// In come the pages and monitoring; out go DNS, NATS, Redis, https and OTLP, and nothing else.
func TestTheNetworkPolicyIsNarrow(t *testing.T) {
	c := build(t, "base")
	types := c.network.Spec.PolicyTypes
	if !slices.Contains(types, networking.PolicyTypeIngress) || !slices.Contains(types, networking.PolicyTypeEgress) {
		t.Errorf("the policy is for %v", types)
	}
	var out []int32
	for _, rule := range c.network.Spec.Egress {
		for _, port := range rule.Ports {
			out = append(out, port.Port.IntVal)
			if port.Port.IntVal == 443 {
				notInside(t, rule.To)
			} else if port.Port.IntVal != 53 && len(rule.To) == 0 {
				t.Errorf("port %s is open to everywhere", port.Port)
			}
			if port.Protocol != nil && *port.Protocol != core.ProtocolTCP && port.Port.IntVal != 53 {
				t.Errorf("port %s is open to %s", port.Port, *port.Protocol)
			}
		}
		if len(rule.Ports) == 0 {
			t.Error("a rule opens every port")
		}
	}
	if want := []int32{53, 53, 4222, 6379, 443, 4317, 4318}; !slices.Equal(out, want) {
		t.Errorf("out go %v, not %v", out, want)
	}
	var in []string
	for _, rule := range c.network.Spec.Ingress {
		for _, port := range rule.Ports {
			in = append(in, port.Port.StrVal)
		}
		if len(rule.From) != 1 || rule.From[0].NamespaceSelector == nil {
			t.Errorf("in comes %v", rule.From)
		}
	}
	if want := []string{"http", "admin"}; !slices.Equal(in, want) {
		t.Errorf("in come %v", in)
	}
	if monitoring := c.network.Spec.Ingress[1].From[0].NamespaceSelector; len(monitoring.MatchLabels) == 0 {
		t.Error("every namespace may read health and metrics")
	}
}

// notInside makes sure that https leads to no address of the cluster or of the cloud.
func notInside(t *testing.T, to []networking.NetworkPolicyPeer) {
	t.Helper()
	for _, inside := range []string{"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "fd00::1", "fe80::1"} {
		for _, peer := range to {
			if peer.IPBlock == nil {
				t.Fatal("https leads to something else than addresses")
			}
			if contains(t, peer.IPBlock.CIDR, inside) &&
				!slices.ContainsFunc(peer.IPBlock.Except, func(except string) bool { return contains(t, except, inside) }) {
				t.Errorf("https leads to %s", inside)
			}
		}
	}
}

func contains(t *testing.T, cidr, address string) bool {
	t.Helper()
	_, block, err := net.ParseCIDR(cidr)
	if err != nil {
		t.Fatal(err)
	}
	return block.Contains(net.ParseIP(address))
}

// People come in at the host that PUBLIC_URL names, over TLS, and reach the pages alone.
func TestTheIngressLeadsToThePages(t *testing.T) {
	for _, c := range clusters(t) {
		if c.ingress == nil {
			continue
		}
		public, err := url.Parse(c.environment(t)["PUBLIC_URL"])
		if err != nil || public.Scheme != "https" {
			t.Fatalf("PUBLIC_URL is %v, %v", public, err)
		}
		rule := c.ingress.Spec.Rules[0]
		if len(c.ingress.Spec.Rules) != 1 || rule.Host != public.Host ||
			!slices.Equal(c.ingress.Spec.TLS[0].Hosts, []string{public.Host}) {
			t.Errorf("%s: the hosts of the ingress are not that of %s", c.name, public)
		}
		for _, path := range rule.HTTP.Paths {
			to := path.Backend.Service
			if to.Name != c.service.Name || to.Port.Name != c.service.Spec.Ports[0].Name {
				t.Errorf("%s: %s leads to %v", c.name, path.Path, to)
			}
		}
	}
}
