package check

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// These are parts of a compose file, as compose-go has them.
type (
	serviceConfig = types.ServiceConfig
	portConfig    = types.ServicePortConfig
	volumeConfig  = types.ServiceVolumeConfig
)

// profiles are those that people are told to use, each with what it starts.
var profiles = []struct {
	env      string // of .env; none for no file
	names    []string
	services []string
}{
	{"", []string{"demo"}, []string{"demo"}},
	{"", []string{"demo", "observe"}, []string{"demo", "grafana", "jaeger", "prometheus"}},
	{"", []string{"observe"}, []string{"grafana", "jaeger", "prometheus"}},
	{".env.example", nil, []string{"crmbridge", "nats", "redis"}},
	{".env.example", []string{"production"}, []string{"crmbridge", "nats", "redis"}},
	{".env.example", []string{"production", "observe"},
		[]string{"crmbridge", "grafana", "jaeger", "nats", "prometheus", "redis"}},
}

// compose loads docker-compose.yml as Docker does, with more variables beside those of env.
func compose(t *testing.T, env string, profiles []string, more ...string) *types.Project {
	t.Helper()
	with := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(root), cli.WithName("crmbridge")}
	if env != "" {
		with = append(with, cli.WithEnvFiles(filepath.Join(root, env)), cli.WithDotEnv)
	}
	with = append(with, cli.WithEnv(more), cli.WithDefaultProfiles(profiles...))
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, with...)
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatalf("profiles %v with %q: %v", profiles, env, err)
	}
	return project
}

// Every profile loads, the demo without any settings, and starts what it should.
func TestComposeLoadsEveryProfile(t *testing.T) {
	for _, c := range profiles {
		project := compose(t, c.env, c.names)
		names := project.ServiceNames()
		slices.Sort(names)
		if !slices.Equal(names, c.services) {
			t.Errorf("profiles %v with %q start %v, not %v", c.names, c.env, names, c.services)
		}
		for name, service := range project.Services {
			checkService(t, name, service, project)
		}
	}
}

func checkService(t *testing.T, name string, service serviceConfig, project *types.Project) {
	t.Helper()
	if !service.ReadOnly || !slices.Contains(service.CapDrop, "ALL") || service.MemLimit == 0 ||
		!slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("%s may write, or has rights or memory without a limit", name)
	}
	for _, port := range service.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("%s is open to others than this machine at port %s", name, port.Published)
		}
	}
	for _, volume := range service.Volumes {
		if volume.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(volume.Source); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for on, how := range service.DependsOn {
		if how.Condition != types.ServiceConditionHealthy {
			t.Errorf("%s begins when %s is %s", name, on, how.Condition)
		}
		if project.Services[on].HealthCheck == nil {
			t.Errorf("%s waits for %s, which has no health check", name, on)
		}
	}
	if service.Build == nil {
		return
	}
	d := readDockerfile(t)
	if service.Build.Target != "" && d.stage(service.Build.Target) == nil {
		t.Errorf("%s is built as %s, which is no stage of the Dockerfile", name, service.Build.Target)
	}
	if service.HealthCheck == nil {
		t.Fatalf("%s has no health check", name)
	}
	checkHealthcheck(t, service.HealthCheck.Test)
	known := variables(t)
	for variable := range service.Environment {
		if !known[variable] {
			t.Errorf("%s is given %s, which crmbridge serve does not know", name, variable)
		}
	}
	if least := shutdownGrace(t, "") + stopWait; service.StopGracePeriod == nil ||
		time.Duration(*service.StopGracePeriod) <= least {
		t.Errorf("%s is killed after %s, and may take %s", name, service.StopGracePeriod, least)
	}
}

// With the profile "observe" the demo has traces, and production with a line of .env.example; it
// makes none by itself. Jaeger listens for them at its usual port.
func TestComposeSendsTracesToJaeger(t *testing.T) {
	const variable, jaeger = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://jaeger:4318"
	endpoint := func(env, service, profile string, more ...string) string {
		project := compose(t, env, []string{profile, "observe"}, more...)
		if _, ok := project.Services["jaeger"]; !ok {
			t.Errorf("%s has no Jaeger", profile)
		}
		value := project.Services[service].Environment[variable]
		if value == nil {
			t.Fatalf("%s is not given %s", service, variable)
		}
		return *value
	}
	if got := endpoint("", "demo", "demo"); got != jaeger {
		t.Errorf("traces of the demo go to %q", got)
	}
	if got := endpoint(".env.example", "crmbridge", "production"); got != "" {
		t.Errorf("traces go to %q unasked", got)
	}
	if !strings.Contains(file(t, ".env.example"), "\n#"+variable+"="+jaeger+"\n") {
		t.Errorf(".env.example has no line for %s", jaeger)
	}
	if got := endpoint(".env.example", "crmbridge", "production", variable+"="+jaeger); got != jaeger {
		t.Errorf("with the line traces go to %q", got)
	}
	if got := endpoint("", "demo", "demo", variable+"="); got != "" {
		t.Errorf("switched off, traces of the demo go to %q", got)
	}
}

// An image without a digest can become another one; a tag beside it is for people.
func TestComposeImagesHaveDigests(t *testing.T) {
	loose := map[string]bool{}
	pinned := regexp.MustCompile(`^[^:@]+:v?\d+\.\d+\.\d+(-alpine)?@sha256:[0-9a-f]{64}$`)
	for _, c := range profiles {
		for name, service := range compose(t, c.env, c.names).Services {
			switch {
			case service.Build != nil || pinned.MatchString(service.Image):
			case name == "nats":
				loose[service.Image] = true
			default:
				t.Errorf("%s: the image %s has no digest", name, service.Image)
			}
		}
	}
	for image := range loose {
		t.Logf("NOT PINNED: docker-compose.yml: %s has a tag and no digest", image)
	}
}

// NATS takes an empty password for a password. The server does not start with one.
func TestAnEmptyPasswordStopsNATS(t *testing.T) {
	service := compose(t, ".env.example", []string{"production"}).Services["nats"]
	users := regexp.MustCompile(`(?m)^[^#\n]*\$(\w+_NATS_PASSWORD)`).FindAllStringSubmatch(file(t, "deploy/nats.conf"), -1)
	if len(users) < 3 {
		t.Fatalf("deploy/nats.conf has only %d users with a password", len(users))
	}
	for _, user := range users {
		if value, reaches := service.Environment[user[1]]; !reaches || value == nil || *value != "" {
			t.Errorf("%s does not reach NATS, or has a default", user[1])
		}
	}
	start := func(env ...string) (string, error) {
		folder := t.TempDir() // with a nats-server that says so
		server := "#!/bin/sh\necho started \"$@\"\n"
		if err := os.WriteFile(filepath.Join(folder, "nats-server"), []byte(server), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(service.Entrypoint[0], service.Entrypoint[1:]...)
		cmd.Env = append(env, "PATH="+folder+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := start("CRMBRIDGE_NATS_PASSWORD=a", "CAMPAIGNS_NATS_PASSWORD="); err == nil ||
		strings.Contains(out, "started") || !strings.Contains(out, "CAMPAIGNS_NATS_PASSWORD=\nempty: see .env.example") {
		t.Errorf("with an empty password: %v, %s", err, out)
	}
	if out, err := start("CRMBRIDGE_NATS_PASSWORD=a", "CAMPAIGNS_NATS_PASSWORD=b"); err != nil ||
		out != "started -c /etc/nats/nats.conf\n" {
		t.Errorf("with passwords: %v, %s", err, out)
	}
}
