package check

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// components are what a cluster may take beside the base.
var components = []string{"podmonitor", "alerts", "keda", "workload-identity", "ingress"}

// A cluster is what kustomize makes of the base and some components, each object decoded as
// strictly as it can be: a field that its type does not have, or has in another place or
// case, is an error.
type cluster struct {
	name        string
	deployment  *apps.Deployment
	service     *core.Service
	account     *core.ServiceAccount
	config      *core.ConfigMap
	budget      *policy.PodDisruptionBudget
	network     *networking.NetworkPolicy
	ingress     *networking.Ingress
	podMonitor  *monitoring.PodMonitor
	rule        *monitoring.PrometheusRule
	scaled      map[string]any // ScaledObject
	podTemplate *core.PodSpec
}

// clusters are the base, the base with each component, and with all of them.
func clusters(t *testing.T) []*cluster {
	t.Helper()
	all := []*cluster{build(t, "base")}
	for _, component := range components {
		all = append(all, build(t, component, component))
	}
	return append(all, build(t, "all", components...))
}

// build makes a kustomization of its own, as people do, with a namespace.
func build(t *testing.T, name string, components ...string) *cluster {
	t.Helper()
	files := manifests(t)
	overlay := "namespace: crm\nresources: [../kubernetes/base]\ncomponents:\n"
	for _, component := range components {
		overlay += "  - ../kubernetes/components/" + component + "\n"
	}
	return buildOverlay(t, name, files, overlay)
}

// manifests are the files of deploy/kubernetes, in the folder /kubernetes.
func manifests(t *testing.T) filesys.FileSystem {
	t.Helper()
	files := filesys.MakeFsInMemory()
	folder := filepath.Join(root, "deploy/kubernetes")
	err := filepath.WalkDir(folder, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, at)
		if err != nil {
			return err
		}
		return files.WriteFile("/kubernetes/"+filepath.ToSlash(rel), text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// buildOverlay makes what a kustomization says, beside the folder /kubernetes.
func buildOverlay(t *testing.T, name string, files filesys.FileSystem, overlay string) *cluster {
	t.Helper()
	if err := files.WriteFile("/overlay/kustomization.yaml", []byte(overlay)); err != nil {
		t.Fatal(err)
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/overlay")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c := &cluster{name: name}
	for _, object := range made.Resources() {
		text, err := object.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.take(object.GetApiVersion()+" "+object.GetKind(), text); err != nil {
			t.Errorf("%s: %s %s: %v", name, object.GetKind(), object.GetName(), err)
		}
		if got := object.GetNamespace(); got != "crm" {
			t.Errorf("%s: %s is in namespace %q", name, object.GetKind(), got)
		}
		if object.GetLabels()["app.kubernetes.io/name"] != "crmbridge" {
			t.Errorf("%s: %s has no name in its labels", name, object.GetKind())
		}
	}
	if c.deployment == nil || c.service == nil || c.account == nil || c.config == nil || c.budget == nil || c.network == nil {
		t.Fatalf("%s lacks a part of the base", name)
	}
	c.podTemplate = &c.deployment.Spec.Template.Spec
	return c
}

// take decodes one object.
func (c *cluster) take(kind string, text []byte) error {
	switch kind {
	case "monitoring.coreos.com/v1 PodMonitor":
		c.podMonitor = &monitoring.PodMonitor{}
		return yaml.UnmarshalStrict(text, c.podMonitor)
	case "monitoring.coreos.com/v1 PrometheusRule":
		c.rule = &monitoring.PrometheusRule{}
		return yaml.UnmarshalStrict(text, c.rule)
	case "keda.sh/v1alpha1 ScaledObject":
		return yaml.UnmarshalStrict(text, &c.scaled)
	}
	object, err := decode(text)
	if err != nil {
		return err
	}
	switch object := object.(type) {
	case *apps.Deployment:
		c.deployment = object
	case *core.Service:
		c.service = object
	case *core.ServiceAccount:
		c.account = object
	case *core.ConfigMap:
		c.config = object
	case *policy.PodDisruptionBudget:
		c.budget = object
	case *networking.NetworkPolicy:
		c.network = object
	case *networking.Ingress:
		c.ingress = object
	default:
		return fmt.Errorf("nobody has looked at a %T", object)
	}
	return nil
}

// decode reads an object of Kubernetes' own, strictly.
func decode(text []byte) (runtime.Object, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{core.AddToScheme, apps.AddToScheme, policy.AddToScheme, networking.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	object, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer().Decode(text, nil, nil)
	return object, err
}

// The decoders refuse what is not there: without that the tests here would show nothing.
func TestTheDecodersAreStrict(t *testing.T) {
	for kind, text := range map[string]string{
		"v1 Service": "apiVersion: v1\nkind: Service\nspec: {portz: []}",
		"apps/v1 Deployment": "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: " +
			"[{name: a, readinessprobe: {}}]}}}",
		"monitoring.coreos.com/v1 PodMonitor":     "spec: {podMetricsEndpoint: []}",
		"monitoring.coreos.com/v1 PrometheusRule": "spec: {groups: [{name: a, rules: [{alerts: b, expr: c}]}]}",
	} {
		if err := (&cluster{}).take(kind, []byte(text)); err == nil {
			t.Errorf("%s: %s is accepted", kind, text)
		}
	}
}

// Each component adds what it is there for, and nothing else is in the base.
func TestComponentsAddWhatTheyAreFor(t *testing.T) {
	for _, c := range clusters(t) {
		for component, there := range map[string]bool{"podmonitor": c.podMonitor != nil, "alerts": c.rule != nil,
			"keda": c.scaled != nil, "ingress": c.ingress != nil,
			"workload-identity": strings.Contains(fmt.Sprint(c.podTemplate.Volumes), "AzureADTokenExchange")} {
			if want := c.name == "all" || c.name == component; there != want {
				t.Errorf("%s: what %s adds is there: %v", c.name, component, there)
			}
		}
	}
}

// What comments give as an example is one.
func TestExamplesInCommentsBuild(t *testing.T) {
	overlay := example(t, "base/kustomization.yaml")
	for _, name := range []string{"base", "components/podmonitor"} {
		remote := "github.com/crmbridge/crmbridge/deploy/kubernetes/" + name + "?ref=v0.1.0"
		if !strings.Contains(overlay, remote) {
			t.Errorf("the example does not take %s", remote)
		}
		overlay = strings.ReplaceAll(overlay, remote, "../kubernetes/"+name)
	}
	created := strings.Contains(file(t, "deploy/README.md"), "kubectl create namespace crm &&")
	if !created || !strings.Contains(overlay, "\nnamespace: crm\n") {
		t.Error("the Secret of deploy/README.md lies in another namespace than the example")
	}
	overlay = strings.ReplaceAll(overlay, "sha256:…", "sha256:"+strings.Repeat("0", 64))
	c := buildOverlay(t, "example", manifests(t), overlay)
	if c.podMonitor == nil || *c.deployment.Spec.Replicas != 2 || c.config.Data["PUBLIC_URL"] != "https://crm.acme.example" ||
		!strings.HasPrefix(c.podTemplate.Containers[0].Image, "registry.acme.example/crmbridge@sha256:") {
		t.Errorf("the example makes something else: %v, %v", c.config.Data, c.podTemplate.Containers[0].Image)
	}
	patch := example(t, "base/networkpolicy.yaml")
	c = buildOverlay(t, "redis outside", manifests(t), "namespace: crm\nresources: [../kubernetes/base]\n"+patch)
	if rules := c.network.Spec.Egress; rules[len(rules)-1].Ports[0].Port.IntVal != 6380 {
		t.Errorf("the example opens nothing: %v", rules)
	}
	patch = example(t, "components/ingress/kustomization.yaml")
	c = buildOverlay(t, "host", manifests(t), "namespace: crm\nresources: [../kubernetes/base]\ncomponents: [../kubernetes/components/ingress]\n"+patch)
	if strings.Contains(c.ingress.Spec.String(), "example.com") {
		t.Errorf("the example leaves another host: %v", c.ingress.Spec)
	}
}

// example is the YAML in the comment at the head of a file, which is set off by blanks.
func example(t *testing.T, name string) string {
	t.Helper()
	var lines []string
	for _, line := range strings.Split(file(t, "deploy/kubernetes/"+name), "\n") {
		if !strings.HasPrefix(line, "#") {
			break
		}
		if inside, is := strings.CutPrefix(line, "#   "); is {
			lines = append(lines, inside)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s has no example", name)
	}
	return strings.Join(lines, "\n") + "\n"
}
