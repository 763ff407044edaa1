package handlers

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/crmbridge/crmbridge"

// importers are where files other than tests import a package: folders, and prefixes of
// files with a star behind them.
func importers(t *testing.T, imported string) (files []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel("..", path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != ".":
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			of, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if of == imported || strings.HasPrefix(of, imported+"/") {
				files = append(files, filepath.ToSlash(name))
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Only what publishes or listens knows NATS: operations return, and what they return is
// published by a lane.
func TestWhoImportsNATS(t *testing.T) {
	allowed := []string{"handlers/interactive/", "handlers/durable/", "handlers/events/", "handlers/streams/",
		"messages/client", "messages/messagestest/", "messages/examples/", "cmd/"}
	files := importers(t, "github.com/nats-io/nats.go")
	for _, file := range files {
		if !slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(file, prefix) }) {
			t.Errorf("%s imports the NATS client", file)
		}
	}
	if !slices.Contains(files, "handlers/interactive/consumer.go") {
		t.Error("the search finds no importers")
	}
}

// Spans are recorded and sent by the program alone. dynamics and tokens know nothing of them;
// the lanes and the Go client take the API: a context holds its span by a key of that.
func TestWhoImportsOpenTelemetry(t *testing.T) {
	const otel = "go.opentelemetry.io"
	for _, rule := range []struct {
		imported string
		allowed  []string
	}{
		{otel + "/otel/sdk", []string{"cmd/internal/bridge/"}},
		{otel + "/otel/exporters", []string{"cmd/internal/bridge/"}},
		{otel, []string{"cmd/", "handlers/route/trace.go", "handlers/measure/context.go", "handlers/interactive/",
			"handlers/durable/", "messages/client_trace.go"}},
	} {
		files := importers(t, rule.imported)
		if len(files) == 0 {
			t.Errorf("nobody imports %s", rule.imported)
		}
		for _, file := range files {
			if !slices.ContainsFunc(rule.allowed, func(prefix string) bool { return strings.HasPrefix(file, prefix) }) {
				t.Errorf("%s imports %s", file, rule.imported)
			}
		}
	}
}

// Dependencies point one way.
func TestDependenciesPointOneWay(t *testing.T) {
	for _, rule := range []struct{ folder, imported string }{
		{"messages/", module + "/dynamics"}, {"messages/", module + "/tokens"}, {"messages/", module + "/handlers"}, {"messages/", module + "/cmd"},
		{"tokens/", module + "/dynamics"}, {"tokens/", module + "/handlers"}, {"tokens/", module + "/cmd"},
		{"dynamics/", module + "/tokens"}, {"dynamics/", module + "/handlers"}, {"dynamics/", module + "/cmd"},
		{"handlers/", module + "/cmd"},
		{"handlers/route/", module + "/handlers"}, {"handlers/streams/", module + "/handlers"},
		{"handlers/plan/", module + "/handlers/interactive"}, {"handlers/plan/", module + "/handlers/events"},
		{"handlers/plan/", module + "/handlers/durable"}, {"handlers/plan/", module + "/handlers/streams"},
		{"handlers/durable/", module + "/handlers/interactive"}, {"handlers/durable/", module + "/handlers/events"},
		{"handlers/durable/", module + "/handlers/plan"},
		{"handlers/interactive/", module + "/handlers/durable"}, {"handlers/events/", module + "/handlers/durable"},
	} {
		for _, file := range importers(t, rule.imported) {
			if strings.HasPrefix(file, rule.folder) {
				t.Errorf("%s imports %s", file, rule.imported)
			}
		}
	}
}

// The production binary has nothing in it that is there for development and tests: no
// broker, no Redis, no emulator of Dataverse. Nor has it what serves profiles to whoever
// reaches http.DefaultServeMux.
func TestTheBinaryHoldsNothingOfTests(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"/cmd/crmbridge").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"/handlers/interactive") {
		t.Fatal("the list has not even the interactive lane")
	}
	for _, dep := range deps {
		for _, kept := range []string{"github.com/nats-io/nats-server", "github.com/alicebob/miniredis", module + "/dynamics/emulator",
			module + "/messages/messagestest", module + "/handlers/streams/streamstest", "gonum.org/v1/plot",
			"go.opentelemetry.io/otel/sdk/trace/tracetest",
			"testing", "net/http/httptest", "net/http/pprof"} {
			if dep == kept || strings.HasPrefix(dep, kept+"/") {
				t.Errorf("crmbridge is linked with %s", dep)
			}
		}
	}
}
