package check

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/kedacore/keda/v2/version" // for go.mod: the module has the CRD
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// scaledObjects is the schema of KEDA's ScaledObject, from its own CRD.
func scaledObjects(t *testing.T) (*spec.Schema, string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/kedacore/keda/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimSpace(string(out))
	text, err := os.ReadFile(filepath.Join(folder, "config/crd/bases/keda.sh_scaledobjects.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	for _, version := range crd.Spec.Versions {
		if version.Name == "v1alpha1" {
			var schema spec.Schema
			if err := json.Unmarshal(version.Schema.OpenAPIV3Schema, &schema); err != nil {
				t.Fatal(err)
			}
			return &schema, folder
		}
	}
	t.Fatal("the CRD has no version v1alpha1")
	return nil, ""
}

// What scales is what KEDA's CRD describes, with no field that it does not have.
func TestTheScaledObjectIsOneOfKEDA(t *testing.T) {
	schema, folder := scaledObjects(t)
	for _, c := range clusters(t) {
		if c.scaled == nil {
			continue
		}
		for _, fault := range faults(schema, c.scaled) {
			t.Errorf("%s: %s", c.name, fault)
		}
	}
	// Keys of a trigger's metadata are free for the CRD. Those of this scaler stand in its code.
	scaler, err := os.ReadFile(filepath.Join(folder, "pkg/scalers/prometheus_scaler.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, trigger := range triggers(build(t, "keda", "keda")) {
		for key := range trigger["metadata"].(map[string]any) {
			if !regexp.MustCompile(`keda:"name=` + key + `,`).Match(scaler) {
				t.Errorf("KEDA's trigger for Prometheus takes no %s", key)
			}
		}
	}
	broken := build(t, "keda", "keda").scaled
	broken["spec"].(map[string]any)["minReplicas"] = 2
	broken["spec"].(map[string]any)["maxReplicaCount"] = "8"
	if found := faults(schema, broken); len(found) != 2 {
		t.Errorf("the schema finds %v in what has two faults", found)
	}
}

// faults are those of a value under a schema, fields that the schema does not have included.
func faults(schema *spec.Schema, value any) []string {
	var found []string
	for _, err := range validate.NewSchemaValidator(schema, nil, "", strfmt.Default).Validate(value).Errors {
		found = append(found, err.Error())
	}
	return append(found, unknown(schema, value, "")...)
}

// unknown finds fields that a schema does not have. Kubernetes drops them without a word.
func unknown(schema *spec.Schema, value any, at string) (found []string) {
	switch value := value.(type) {
	case map[string]any:
		keep, _ := schema.Extensions.GetBool("x-kubernetes-preserve-unknown-fields")
		for name, field := range value {
			property, known := schema.Properties[name]
			switch {
			case known:
				found = append(found, unknown(&property, field, at+"."+name)...)
			case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
				found = append(found, unknown(schema.AdditionalProperties.Schema, field, at+"."+name)...)
			case !keep && len(schema.Properties) > 0:
				found = append(found, fmt.Sprintf("there is no field %s.%s", at, name))
			}
		}
	case []any:
		for i, entry := range value {
			if schema.Items != nil && schema.Items.Schema != nil {
				found = append(found, unknown(schema.Items.Schema, entry, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	}
	return found
}

func triggers(c *cluster) (all []map[string]any) {
	for _, trigger := range c.scaled["spec"].(map[string]any)["triggers"].([]any) {
		all = append(all, trigger.(map[string]any))
	}
	return all
}

// It scales by what could run and by what is asked, and not down to nothing, or up to the
// maximum, for want of an answer.
func TestScalingIsCareful(t *testing.T) {
	c := build(t, "keda", "keda")
	of := c.scaled["spec"].(map[string]any)
	if target := of["scaleTargetRef"].(map[string]any)["name"]; target != c.deployment.Name {
		t.Errorf("it scales %v", target)
	}
	least, most := number(t, of["minReplicaCount"]), number(t, of["maxReplicaCount"])
	fallback := number(t, of["fallback"].(map[string]any)["replicas"])
	if least != 2 || fallback < least || fallback > most || most <= least {
		t.Errorf("from %v to %v, %v without an answer", least, most, fallback)
	}
	queries := map[string]bool{}
	for _, trigger := range triggers(c) {
		metadata := trigger["metadata"].(map[string]any)
		if trigger["type"] != "prometheus" || metadata["ignoreNullValues"] != "false" || trigger["metricType"] == "Value" {
			t.Errorf("trigger %v", trigger)
		}
		queries[metadata["query"].(string)] = true
	}
	if len(queries) != 2 || !queries["max(crmbridge_jobs_runnable)"] || !queries["sum(crmbridge_requests_in_flight)"] {
		t.Errorf("it asks %v", queries)
	}
}

func number(t *testing.T, value any) float64 {
	t.Helper()
	switch value := value.(type) {
	case float64:
		return value
	case int64:
		return float64(value)
	}
	t.Fatalf("%v is no number", value)
	return 0
}

// queries are those that KEDA asks Prometheus.
func queries(t *testing.T) (all []string) {
	t.Helper()
	for _, trigger := range triggers(build(t, "keda", "keda")) {
		all = append(all, trigger["metadata"].(map[string]any)["query"].(string))
	}
	return all
}
