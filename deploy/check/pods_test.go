package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	security "k8s.io/pod-security-admission/api"
	levels "k8s.io/pod-security-admission/policy"
)

// container is the one of the pod.
func (c *cluster) container(t *testing.T) *core.Container {
	t.Helper()
	if len(c.podTemplate.Containers) != 1 || len(c.podTemplate.InitContainers) != 0 {
		t.Fatalf("%s: a pod has other containers", c.name)
	}
	return &c.podTemplate.Containers[0]
}

// environment is what the container's process is given.
func (c *cluster) environment(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	container := c.container(t)
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef == nil || from.ConfigMapRef.Name != c.config.Name || from.Prefix != "" {
			t.Errorf("%s: variables come from something else than the ConfigMap %s", c.name, c.config.Name)
		}
		maps.Copy(env, c.config.Data)
	}
	for _, variable := range container.Env {
		if variable.ValueFrom != nil {
			t.Errorf("%s: %s comes from elsewhere, and secrets come in files", c.name, variable.Name)
		}
		env[variable.Name] = variable.Value
	}
	return env
}

// Kubernetes' own evaluator calls the pods restricted.
func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := levels.NewEvaluator(levels.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
	evaluate := func(c *cluster) levels.AggregateCheckResult {
		return levels.AggregateCheckResults(evaluator.EvaluatePod(restricted, &c.deployment.Spec.Template.ObjectMeta, c.podTemplate))
	}
	for _, c := range clusters(t) {
		if result := evaluate(c); !result.Allowed {
			t.Errorf("%s: %s", c.name, result.ForbiddenDetail())
		}
		container := c.container(t)
		if context := container.SecurityContext; context.ReadOnlyRootFilesystem == nil || !*context.ReadOnlyRootFilesystem {
			t.Errorf("%s: the root file system may be written to", c.name)
		}
		if user := c.podTemplate.SecurityContext.RunAsUser; user == nil || *user != 65534 {
			t.Errorf("%s: the user is not the image's", c.name)
		}
		if isTrue(c.podTemplate.AutomountServiceAccountToken) || isTrue(c.account.AutomountServiceAccountToken) ||
			c.podTemplate.AutomountServiceAccountToken == nil || c.account.AutomountServiceAccountToken == nil {
			t.Errorf("%s: the pod holds a token for Kubernetes", c.name)
		}
		container.SecurityContext.AllowPrivilegeEscalation = nil
		if evaluate(c).Allowed {
			t.Errorf("%s: the evaluator lets everything pass", c.name)
		}
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

// A pod has time for what it has begun, and memory for its budget.
func TestGraceAndMemory(t *testing.T) {
	for _, c := range clusters(t) {
		env, container := c.environment(t), c.container(t)
		sleep := time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		if sleep != 5*time.Second {
			t.Errorf("%s: preStop sleeps %s", c.name, sleep)
		}
		grace := time.Duration(*c.podTemplate.TerminationGracePeriodSeconds) * time.Second
		if least := sleep + shutdownGrace(t, env["SHUTDOWN_GRACE"]) + 5*time.Second; grace <= least {
			t.Errorf("%s: a pod is killed after %s, and should have more than %s", c.name, grace, least)
		}
		if least := sleep + shutdownGrace(t, env["SHUTDOWN_GRACE"]) + stopWait; grace < least {
			t.Errorf("%s: a pod is killed after %s, and may take %s", c.name, grace, least)
		}
		if budget := env["MEMORY_BUDGET"]; budget != "" || env["GOMEMLIMIT"] != "" {
			t.Fatalf("%s: MEMORY_BUDGET is %q, GOMEMLIMIT %q: the process knows its container", c.name, budget, env["GOMEMLIMIT"])
		}
		const mib = int64(1) << 20
		limit := container.Resources.Limits.Memory().Value()
		if requested := container.Resources.Requests.Memory().Value(); limit == 0 || requested != limit {
			t.Errorf("%s: %d bytes are requested of %d", c.name, requested, limit)
		}
		if budget := min(limit/10*6, 1024*mib); budget+80*mib > limit || budget < 256*mib {
			t.Errorf("%s: a budget of %d MiB in a container of %d", c.name, budget/mib, limit/mib)
		}
		if container.Resources.Requests.Cpu().IsZero() || !container.Resources.Limits.Cpu().IsZero() {
			t.Errorf("%s: CPU is to be requested and not limited", c.name)
		}
	}
}

// A rollout takes no process away before another is ready, nodes drain also while NATS is
// away, and pods stand apart.
func TestPodsAreReplacedOneByOne(t *testing.T) {
	for _, c := range clusters(t) {
		rolling := c.deployment.Spec.Strategy.RollingUpdate
		if rolling == nil || rolling.MaxUnavailable.IntValue() != 0 || rolling.MaxUnavailable.Type != 0 || rolling.MaxSurge.IntValue() < 1 {
			t.Errorf("%s: strategy %v", c.name, c.deployment.Spec.Strategy)
		}
		if c.deployment.Spec.Replicas != nil {
			t.Errorf("%s: replicas are set, which who scales would fight with", c.name)
		}
		unhealthy := c.budget.Spec.UnhealthyPodEvictionPolicy
		if unhealthy == nil || *unhealthy != policy.AlwaysAllow || c.budget.Spec.MaxUnavailable.IntValue() != 1 {
			t.Errorf("%s: disruption budget %v", c.name, c.budget.Spec)
		}
		keys := []string{}
		for _, spread := range c.podTemplate.TopologySpreadConstraints {
			keys = append(keys, spread.TopologyKey)
			c.selects(t, "topology spread", spread.LabelSelector)
		}
		if !slices.Equal(keys, []string{core.LabelHostname, core.LabelTopologyZone}) {
			t.Errorf("%s: pods are spread over %v", c.name, keys)
		}
		c.selects(t, "disruption budget", c.budget.Spec.Selector)
		c.selects(t, "deployment", c.deployment.Spec.Selector)
		c.selects(t, "network policy", &c.network.Spec.PodSelector)
		c.selects(t, "service", &meta.LabelSelector{MatchLabels: c.service.Spec.Selector})
		if c.podMonitor != nil {
			c.selects(t, "pod monitor", &c.podMonitor.Spec.Selector)
		}
	}
}

// selects reports a selector that does not find the pods, or finds any.
func (c *cluster) selects(t *testing.T, whose string, by *meta.LabelSelector) {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(by)
	if err != nil || selector.Empty() || !selector.Matches(labels.Set(c.deployment.Spec.Template.Labels)) {
		t.Errorf("%s: the selector of the %s does not find the pods: %v, %v", c.name, whose, by, err)
	}
}

// Secrets are files of the Secret that deploy/README.md says how to make, one of which proves
// who the application is.
func TestSecretsAreFiles(t *testing.T) {
	known := variables(t)
	page := file(t, "deploy/README.md")
	for _, c := range clusters(t) {
		env, container := c.environment(t), c.container(t)
		proofs := 0
		for name, value := range env {
			if !known[name] {
				t.Errorf("%s: %s is no variable of crmbridge serve", c.name, name)
			}
			for _, secret := range []string{"NATS_URL", "REDIS_URL", "TOKEN_KEYSET", "ENTRA_CLIENT_SECRET"} {
				if name == secret {
					t.Errorf("%s: %s stands in the open", c.name, name)
				}
			}
			if name == "ENTRA_CLIENT_SECRET_FILE" || name == "ENTRA_CLIENT_CERTIFICATE_FILE" || name == "ENTRA_FEDERATED_TOKEN_FILE" {
				proofs++
			}
			if !strings.HasSuffix(name, "_FILE") {
				continue
			}
			volume, key := c.mounted(t, container, value)
			switch {
			case volume == nil:
				t.Errorf("%s: %s=%s is in no volume", c.name, name, value)
			case volume.Secret != nil && !strings.Contains(page, "--from-file="+key+"="):
				t.Errorf("%s: deploy/README.md does not say how %s comes into the Secret", c.name, key)
			case volume.Secret != nil && volume.Secret.SecretName != "crmbridge":
				t.Errorf("%s: %s is in the Secret %s", c.name, name, volume.Secret.SecretName)
			case volume.Secret == nil && fmt.Sprint(volume.Projected.Sources[0].ServiceAccountToken.Path) != key:
				t.Errorf("%s: %s=%s is not the projected token", c.name, name, value)
			}
		}
		if proofs != 1 {
			t.Errorf("%s: the application proves itself in %d ways", c.name, proofs)
		}
		if federated := env["ENTRA_FEDERATED_TOKEN_FILE"] != ""; federated != (c.name == "all" || c.name == "workload-identity") {
			t.Errorf("%s: a federated token: %v", c.name, federated)
		}
	}
}

// mounted finds the volume that a file is in, and the file's name in it.
func (c *cluster) mounted(t *testing.T, container *core.Container, name string) (*core.Volume, string) {
	t.Helper()
	for _, mount := range container.VolumeMounts {
		key, in := strings.CutPrefix(name, mount.MountPath+"/")
		if !in {
			continue
		}
		if mount.SubPath != "" || !mount.ReadOnly {
			t.Errorf("%s: %s does not follow its Secret, or may be written to", c.name, mount.MountPath)
		}
		for i := range c.podTemplate.Volumes {
			if c.podTemplate.Volumes[i].Name == mount.Name {
				return &c.podTemplate.Volumes[i], key
			}
		}
	}
	return nil, ""
}
