package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// parse reads a YAML file of the repository, in whatever shape it has.
func parse(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(file(t, name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Prometheus finds the crmbridges of the compose file, and the file with its rules.
func TestPrometheusFindsCrmbridge(t *testing.T) {
	var config struct {
		RuleFiles     []string `json:"rule_files"`
		ScrapeConfigs []struct {
			DNS []struct {
				Names []string
				Type  string
				Port  int
			} `json:"dns_sd_configs"`
		} `json:"scrape_configs"`
	}
	parse(t, "deploy/observe/prometheus.yml", &config)
	services := compose(t, "", []string{"production", "demo", "observe"}).Services
	var reached []string
	for _, scrape := range config.ScrapeConfigs {
		for _, by := range scrape.DNS {
			reached = append(reached, by.Names...)
			for _, name := range by.Names {
				opened := slices.ContainsFunc(services[name].Ports, func(p portConfig) bool { return int(p.Target) == by.Port })
				if by.Type != "A" || !opened {
					t.Errorf("%s does not serve metrics at port %d", name, by.Port)
				}
			}
		}
	}
	for name, service := range services {
		if service.Build != nil && !slices.Contains(reached, name) {
			t.Errorf("Prometheus does not read %s", name)
		}
	}
	for _, rules := range config.RuleFiles {
		if !mounted(services["prometheus"], rules, rulesFile) {
			t.Errorf("%s is not %s in Prometheus's container", rules, rulesFile)
		}
	}
}

// Grafana finds Prometheus and Jaeger, and shows the dashboards of their folder.
func TestGrafanaFindsWhatItShows(t *testing.T) {
	services := compose(t, "", []string{"observe"}).Services
	const provisioning = "deploy/observe/grafana/provisioning"
	var sources struct {
		Datasources []struct{ Name, Type, UID, URL string }
	}
	parse(t, provisioning+"/datasources/datasources.yaml", &sources)
	for _, source := range sources.Datasources {
		host, port, _ := strings.Cut(strings.TrimPrefix(source.URL, "http://"), ":")
		service, there := services[host]
		if _, err := strconv.Atoi(port); err != nil || !there ||
			!slices.ContainsFunc(service.Ports, func(p portConfig) bool { return strconv.Itoa(int(p.Target)) == port }) {
			t.Errorf("there is no %s at %s", source.Name, source.URL)
		}
	}
	if len(sources.Datasources) != 2 {
		t.Errorf("%d data sources", len(sources.Datasources))
	}
	var dashboards struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	parse(t, provisioning+"/dashboards/dashboards.yaml", &dashboards)
	if len(dashboards.Providers) != 1 || !mounted(services["grafana"], dashboards.Providers[0].Options.Path, "deploy/observe/grafana/dashboards") ||
		!mounted(services["grafana"], "/etc/grafana/provisioning", provisioning) {
		t.Error("the folder of dashboards is not where Grafana looks for it")
	}
}

// mounted reports whether a path in a service's container is a file or folder of the repository.
func mounted(service serviceConfig, at, source string) bool {
	want, _ := filepath.Abs(filepath.Join(root, source))
	return slices.ContainsFunc(service.Volumes, func(v volumeConfig) bool {
		have, _ := filepath.Abs(v.Source)
		return v.Target == at && have == want && v.ReadOnly
	})
}

// Prometheus's own tool takes the settings and the rules.
func TestPromtoolTakesTheRules(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		skip(t, "promtool check config and rules: Debian's prometheus is not installed")
	}
	rules := filepath.Join(root, rulesFile)
	if out, err := exec.Command("promtool", "check", "rules", rules).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	absolute, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	text := strings.ReplaceAll(file(t, "deploy/observe/prometheus.yml"), "/etc/prometheus/alerts.yaml", absolute)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "config", config).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
