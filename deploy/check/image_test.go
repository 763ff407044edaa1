package check

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"sigs.k8s.io/yaml"
)

// A dockerfile is deploy/Dockerfile, as BuildKit reads it.
type dockerfile struct {
	stages []instructions.Stage
	args   map[string]string // before the first stage
}

func readDockerfile(t testing.TB) *dockerfile {
	t.Helper()
	tree, err := parser.Parse(strings.NewReader(file(t, "deploy/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	d := &dockerfile{args: map[string]string{}}
	stages, meta, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.stages = stages
	for _, command := range meta {
		for _, arg := range command.Args {
			if arg.Value != nil {
				d.args[arg.Key] = *arg.Value
			}
		}
	}
	return d
}

func (d *dockerfile) stage(name string) *instructions.Stage {
	for i := range d.stages {
		if d.stages[i].Name == name {
			return &d.stages[i]
		}
	}
	return nil
}

// revision is what the builds of this test are told.
const revision = "0123456789abcdef0123456789abcdef01234567"

// build runs the command that a stage of the image is built with, in another folder and with
// its output elsewhere.
func (d *dockerfile) build(stage, source, out, arch string, env []string) error {
	s := d.stage(stage)
	if s == nil {
		return fmt.Errorf("deploy/Dockerfile has no stage %s", stage)
	}
	for _, command := range s.Commands {
		run, ok := command.(*instructions.RunCommand)
		if !ok {
			continue
		}
		line := strings.Join(run.CmdLine, " ")
		there := regexp.MustCompile(`-o /out/\S+`)
		if !there.MatchString(line) {
			return fmt.Errorf("stage %s builds nothing into /out: %s", stage, line)
		}
		cmd := exec.Command("sh", "-c", there.ReplaceAllString(line, "-o '"+out+"'"))
		cmd.Dir = source
		cmd.Env = append(slices.Clone(env), "TARGETOS=linux", "TARGETARCH="+arch, "REVISION="+revision)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", line, err, output)
		}
		return nil
	}
	return fmt.Errorf("stage %s runs nothing", stage)
}

// The same sources give the same binary, in another folder, with a cache that has nothing in
// it: what the image holds can be made again and compared. The folder holds what a build of the
// image is given, in which nothing may be missing that is built in, such as the texts of "help".
func TestTwoBuildsAreEqual(t *testing.T) {
	image := readDockerfile(t)
	elsewhere := filepath.Join(t.TempDir(), "a", "much", "longer", "way", "to", "it")
	copyContext(t, elsewhere)
	cache := t.TempDir()
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "GOCACHE=") })
	again := filepath.Join(t.TempDir(), "crmbridge")
	if err := image.build("build", elsewhere, again, "amd64", append(env, "GOCACHE="+cache)); err != nil {
		t.Fatal(err)
	}
	first, second := sum(t, crmbridge(t)), sum(t, again)
	if first != second {
		t.Errorf("two builds of the same sources: %s and %s", first, second)
	}
	t.Logf("sha256 %s, twice", first)
}

// The other platform is built too, and both are static: the image holds no library.
func TestTheBinariesAreStatic(t *testing.T) {
	image := readDockerfile(t)
	arm := filepath.Join(t.TempDir(), "crmbridge")
	source, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.build("build", source, arm, "arm64", os.Environ()); err != nil {
		t.Fatal(err)
	}
	for name, machine := range map[string]elf.Machine{
		crmbridge(t): elf.EM_X86_64, dev(t): elf.EM_X86_64, arm: elf.EM_AARCH64,
	} {
		binary, err := elf.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer binary.Close()
		libraries, err := binary.ImportedLibraries()
		if err != nil || len(libraries) > 0 {
			t.Errorf("%s needs %v (%v)", name, libraries, err)
		}
		if binary.Machine != machine {
			t.Errorf("%s is for %s", name, binary.Machine)
		}
		for _, part := range binary.Progs {
			if part.Type == elf.PT_INTERP {
				t.Errorf("%s asks for a loader", name)
			}
		}
	}
	if said := output(t, crmbridge(t), "version"); !strings.Contains(said, "+"+revision[:12]) {
		t.Errorf("the binary does not know its revision: %s", said)
	}
}

// The image holds certificates and a binary, runs as nobody, and says what it is.
func TestTheImageIsSmallAndSaysWhatItIs(t *testing.T) {
	d := readDockerfile(t)
	if last := d.stages[len(d.stages)-1]; last.Name != "crmbridge" {
		t.Errorf("without --target %s is built", last.Name)
	}
	release := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(output(t, crmbridge(t), "version"))
	for _, name := range []string{"crmbridge", "dev"} {
		s := d.stage(name)
		if s == nil {
			t.Fatalf("there is no stage %s", name)
		}
		if s.BaseName != "scratch" {
			t.Errorf("%s stands on %s", name, s.BaseName)
		}
		user, labels := "", map[string]string{}
		for _, command := range s.Commands {
			switch command := command.(type) {
			case *instructions.UserCommand:
				user = command.User
			case *instructions.LabelCommand:
				for _, label := range command.Labels {
					labels[label.Key] = strings.Trim(label.Value, `"`)
				}
			case *instructions.RunCommand:
				t.Errorf("%s has a layer of its own: %s", name, command)
			case *instructions.HealthCheckCommand:
				checkHealthcheck(t, command.Health.Test)
			}
		}
		if user != "65534:65534" {
			t.Errorf("%s runs as %q", name, user)
		}
		for _, label := range []string{"title", "description", "source", "licenses"} {
			if labels["org.opencontainers.image."+label] == "" {
				t.Errorf("%s has no label %s", name, label)
			}
		}
		if name == "crmbridge" && (labels["org.opencontainers.image.version"] != release ||
			labels["org.opencontainers.image.revision"] != "$REVISION") {
			t.Errorf("the labels of version and revision are %v, the program is %s", labels, release)
		}
	}
}

// Compilers run on the builder's platform, and what is built on is known by its digest.
func TestTheImageIsBuiltOnWhatIsKnown(t *testing.T) {
	d := readDockerfile(t)
	digest := regexp.MustCompile(`:[^@:]+@sha256:[0-9a-f]{64}$`)
	if !digest.MatchString(d.args["GO_IMAGE"]) {
		t.Errorf("GO_IMAGE=%s has no digest", d.args["GO_IMAGE"])
	}
	names := []string{"scratch", "${GO_IMAGE}"}
	for _, s := range d.stages {
		if !slices.Contains(names, s.BaseName) {
			t.Errorf("a stage stands on %s", s.BaseName)
		}
		if s.BaseName == "${GO_IMAGE}" && s.Platform != "$BUILDPLATFORM" {
			t.Errorf("the compiler runs on platform %q", s.Platform)
		}
		names = append(names, s.Name)
	}
	// The compiler is not older than the one that the tests run with needs.
	wants := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(file(t, "go.mod"))
	if !strings.HasPrefix(d.args["GO_IMAGE"], "golang:"+wants[1]+".") {
		t.Errorf("GO_IMAGE=%s, go.mod wants %s", d.args["GO_IMAGE"], wants[1])
	}
}

// ko builds the same program, for the platforms that the Dockerfile's comment names.
func TestKoBuildsTheSame(t *testing.T) {
	var ko struct {
		DefaultBaseImage string   `json:"defaultBaseImage"`
		DefaultPlatforms []string `json:"defaultPlatforms"`
		Builds           []struct {
			ID, Main            string
			Env, Flags, Ldflags []string
		} `json:"builds"`
	}
	if err := yaml.UnmarshalStrict([]byte(file(t, "deploy/.ko.yaml")), &ko); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`@sha256:[0-9a-f]{64}$`).MatchString(ko.DefaultBaseImage) {
		t.Errorf("the base %s has no digest", ko.DefaultBaseImage)
	}
	if !strings.Contains(file(t, "deploy/Dockerfile"), "--platform "+strings.Join(ko.DefaultPlatforms, ",")) {
		t.Errorf("the Dockerfile's comment builds for other platforms than %v", ko.DefaultPlatforms)
	}
	if len(ko.Builds) != 1 {
		t.Fatalf("%d builds", len(ko.Builds))
	}
	of := ko.Builds[0]
	if _, err := os.Stat(filepath.Join(root, of.Main, "main.go")); err != nil {
		t.Error(err)
	}
	command := ""
	d := readDockerfile(t)
	for _, c := range d.stage("build").Commands {
		if run, ok := c.(*instructions.RunCommand); ok {
			command = strings.Join(run.CmdLine, " ")
		}
	}
	for _, part := range slices.Concat(of.Env, of.Flags, []string{`-ldflags="` + strings.Join(of.Ldflags, " ")}) {
		if !strings.Contains(command, part) {
			t.Errorf("the Dockerfile builds without %s: %s", part, command)
		}
	}
}

// Whatever keeps secrets stays out of what a build is given.
func TestABuildIsGivenNoSecrets(t *testing.T) {
	ignored := strings.Fields(file(t, ".dockerignore"))
	for _, name := range []string{".git", ".env", "secrets", "**/keyset.json", "**/next.json", "**/*.pem"} {
		if !slices.Contains(ignored, name) {
			t.Errorf(".dockerignore does not list %s", name)
		}
	}
}

// checkHealthcheck runs the command of a health check with --help in front: what it names is a
// command of the program, with flags that it has.
func checkHealthcheck(t *testing.T, test []string) {
	t.Helper()
	if len(test) < 2 || test[0] != "CMD" || test[1] != "/crmbridge" {
		t.Errorf("health check %v: the image has no shell", test)
		return
	}
	help := output(t, crmbridge(t), test[2], "--help")
	for _, flag := range test[3:] {
		if !strings.Contains(help, flag) {
			t.Errorf("health check %v: %s has no %s", test, test[2], flag)
		}
	}
}

func sum(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// copyContext copies what BuildKit is given of the repository: all but what .dockerignore names.
func copyContext(t *testing.T, to string) {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(file(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil || rel == "." {
			return err
		}
		if rel == ".git" && entry.IsDir() { // for the time that it takes: .dockerignore names it
			return fs.SkipDir
		}
		switch left, err := ignored.MatchesOrParentMatches(rel); {
		case err != nil:
			return err
		case left || entry.IsDir(): // below a folder that is left out something may be taken in again
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
