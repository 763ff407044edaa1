package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// root is the repository's folder.
const root = "../.."

// What deploy/README.md lists of settings is what serve reads, with its defaults.
func TestDocumentsListTheSettings(t *testing.T) {
	_, table, _ := strings.Cut(bridgetest.File(t, "deploy/README.md"), "\n## Settings\n")
	table, _, _ = strings.Cut(table, "\n## ")
	known := map[string]bool{}
	for _, name := range bridge.Variables() {
		known[name] = true
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("the variable %s is not listed", name)
		}
	}
	defaults := map[string]string{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[bridge.Settings]()) {
		defaults[field.Tag.Get("env")] = field.Tag.Get("default")
	}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \|([^|]*)\|`).FindAllStringSubmatch(table, -1) {
		for _, match := range regexp.MustCompile("`([A-Z][A-Z_]+)`").FindAllStringSubmatch(row[1], -1) {
			if !known[match[1]] {
				t.Errorf("there is no variable %s", match[1])
			}
			if is := defaults[match[1]]; is != "" && !strings.Contains(row[2], "`"+is+"`") {
				t.Errorf("the default of %s is %s, and not%s", match[1], is, row[2])
			}
		}
	}
}

// Operators find every table with the privilege that it takes.
func TestDocumentsListTheTables(t *testing.T) {
	page := bridgetest.File(t, "deploy/README.md")
	for _, table := range messages.Tables() {
		if !regexp.MustCompile("(?m)^\\| `TABLES` \\|.*[`,]" + table.Name + "[`,]").MatchString(page) {
			t.Errorf("TABLES does not list %s", table.Name)
		}
		if !regexp.MustCompile("(?m)^\\| `<table>.search`.*`" + table.ReadPrivilege + "`").MatchString(page) {
			t.Errorf("the privileges do not list %s", table.ReadPrivilege)
		}
	}
}

// walkSource visits the Go files of the repository; name is from its root.
func walkSource(t *testing.T, visit func(name, text string)) {
	t.Helper()
	for _, folder := range []string{"cmd", "dynamics", "handlers", "messages", "tokens"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(at string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(at, ".go") {
				return err
			}
			name, err := filepath.Rel(root, at)
			if err == nil {
				visit(filepath.ToSlash(name), bridgetest.File(t, name))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The table of cmd/crmbridge/README.md has every command; those of a table other than
// accounts are there as a group.
func TestDocumentsListTheCommands(t *testing.T) {
	parser, err := kong.New(newCommands())
	if err != nil {
		t.Fatal(err)
	}
	page := bridgetest.File(t, "cmd/crmbridge/README.md")
	listed := func(group, command string) bool {
		return regexp.MustCompile("(?m)^\\|.*`"+group+" "+command+"[` ]").MatchString(page) ||
			regexp.MustCompile("(?m)^\\| `"+group+" .*, `"+command+"[` ]").MatchString(page)
	}
	for _, group := range parser.Model.Children {
		switch {
		case len(group.Children) == 0:
			if !regexp.MustCompile("(?m)^\\| `" + group.Name + "[` ]").MatchString(page) {
				t.Errorf("the command %s is not listed", group.Name)
			}
		case isTable(group.Name) && group.Name != messages.Accounts.Name:
			if !strings.Contains(page, "`"+group.Name+" …`") {
				t.Errorf("the commands %s … are not listed", group.Name)
			}
		default:
			for _, command := range group.Children {
				if !listed(group.Name, command.Name) {
					t.Errorf("the command %s %s is not listed", group.Name, command.Name)
				}
			}
		}
	}
}

func isTable(name string) bool {
	return slices.ContainsFunc(messages.Tables(), func(t messages.Table) bool { return t.Name == name })
}

// Who opens the repository reads one page that does not become a manual.
func TestREADMEIsShort(t *testing.T) {
	if lines := strings.Count(bridgetest.File(t, "README.md"), "\n"); lines > 150 {
		t.Errorf("README.md has %d lines; what is more than 150 belongs to the documents that it links", lines)
	}
}

// The shipped NATS configuration is one that NATS reads, and its users may do
// what deploy/README.md says and no more.
func TestDeployedNATSConfiguration(t *testing.T) {
	for _, name := range []string{"CRMBRIDGE", "CAMPAIGNS", "READER", "ADMINISTRATOR", "OPERATOR", "WATCHER"} {
		t.Setenv(name+"_NATS_PASSWORD", strings.ToLower(name))
	}
	options, err := server.ProcessConfigFile(root + "/deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if len(options.Users) != 6 || !options.JetStream {
		t.Errorf("%d users, JetStream %v", len(options.Users), options.JetStream)
	}
	for _, user := range options.Users {
		if user.Permissions == nil {
			t.Errorf("user %s has no permissions", user.Username)
			continue
		}
		if user.Username == "campaigns" {
			for _, subject := range append(user.Permissions.Publish.Allow, user.Permissions.Subscribe.Allow...) {
				if strings.HasPrefix(subject, "crm.connections") || strings.HasPrefix(subject, "crm.*") || subject == "_INBOX.>" {
					t.Errorf("user campaigns may use %s", subject)
				}
			}
		}
	}
}

// Every operation's subjects are among crmbridge's rights in the shipped configuration,
// and those of no entity that it can not have. Administrators may ask for rows of every
// table, and so may campaigns for their connections.
func TestDeployedRightsFollowTheOperations(t *testing.T) {
	rights := map[string]string{}
	rest := bridgetest.File(t, "deploy/nats.conf")
	for _, name := range []string{"ADMINISTRATORS", "READER", "CAMPAIGNS", "CRMBRIDGE"} { // from the last to the first
		rest, rights[name], _ = strings.Cut(rest, name+" = {")
	}
	granted := func(to, subject string) {
		t.Helper()
		if !strings.Contains(rights[to], `"`+subject+`"`) {
			t.Errorf("%s lack %s", to, subject)
		}
	}
	entities := map[string]bool{}
	for _, op := range messages.Operations(messages.Tables()) {
		entities[op.Entity()] = true
	}
	for _, table := range messages.Tables() {
		entities[table.Name] = true
		granted("ADMINISTRATORS", "crm."+table.Name+".*.request.*")
		granted("CAMPAIGNS", "crm."+table.Name+".*.request.acme")
		granted("READER", "crm."+table.Name+".*.request.acme")
	}
	for entity := range entities {
		granted("CRMBRIDGE", "crm."+entity+".*.request")
		granted("CRMBRIDGE", "crm."+entity+".*.request.*")
	}
	for _, subject := range messages.JobSubjects(nil) {
		granted("CRMBRIDGE", subject)
		granted("CAMPAIGNS", strings.Replace(subject, ".job.*.*", ".job.acme.*", 1))
		granted("READER", strings.Replace(subject, ".job.*.*", ".job.acme.*", 1))
	}
	for _, subject := range []string{messages.ResultSubjects, messages.StateSubjects, messages.DeadSubjects} {
		granted("CRMBRIDGE", subject)
		_, entity, _ := strings.Cut(strings.TrimSuffix(subject, ".*.*"), ".")
		entities[entity] = true // reserved: never that of an operation
	}
	for _, match := range regexp.MustCompile(`"crm\.([^.]+)\.\*`).FindAllStringSubmatch(rights["CRMBRIDGE"], -1) {
		if !entities[match[1]] {
			t.Errorf("crmbridge may subscribe to %s, which it does not serve", match[0])
		}
	}
}

// CONTRIBUTING names fuzz targets that there are.
func TestContributingNamesFuzzTargets(t *testing.T) {
	for _, match := range regexp.MustCompile(`go test \./(\S+) -fuzz (Fuzz\w+)`).FindAllStringSubmatch(bridgetest.File(t, "CONTRIBUTING.md"), -1) {
		found := false
		files, _ := filepath.Glob(root + "/" + match[1] + "/*_test.go")
		for _, name := range files {
			text, err := os.ReadFile(name)
			found = found || err == nil && strings.Contains(string(text), "func "+match[2]+"(")
		}
		if !found {
			t.Errorf("there is no %s in %s", match[2], match[1])
		}
	}
}

// The compose file keeps secrets in files and containers small in rights, and neither
// git nor a build takes a key along.
func TestComposeFileIsCareful(t *testing.T) {
	text := bridgetest.File(t, "docker-compose.yml")
	for _, service := range []string{"nats", "redis", "crmbridge", "demo", "prometheus", "grafana", "jaeger"} {
		_, part, _ := strings.Cut(text, "\n  "+service+":\n")
		part, _, _ = strings.Cut(part, "restart:")
		for _, want := range []string{"read_only: true", "cap_drop: [ALL]", "mem_limit: ", "no-new-privileges"} {
			if !strings.Contains(part, want) {
				t.Errorf("service %s lacks %s", service, want)
			}
		}
	}
	for _, match := range regexp.MustCompile(`image: [^\s:]+:(\S+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`^v?\d+\.\d+\.\d+`).MatchString(match[1]) {
			t.Errorf("the tag %s is not pinned", match[1])
		}
	}
	for _, secret := range []string{"TOKEN_KEYSET", "ENTRA_CLIENT_SECRET", "REDIS_URL"} {
		if !strings.Contains(text, "      "+secret+"_FILE: /run/secrets/") || strings.Contains(text, "      "+secret+":") {
			t.Errorf("%s is not in a file", secret)
		}
	}
	for _, name := range []string{".gitignore", ".dockerignore"} {
		for _, pattern := range []string{"keyset.json", "next.json", "*.pem", "secrets"} {
			if !strings.Contains(bridgetest.File(t, name), pattern) {
				t.Errorf("%s does not list %s", name, pattern)
			}
		}
	}
}

// docker-compose.yml passes on only variables that crmbridge knows.
func TestComposeFileKnowsTheVariables(t *testing.T) {
	_, service, found := strings.Cut(bridgetest.File(t, "docker-compose.yml"), "\n  crmbridge:\n")
	if !found {
		t.Fatal("no service crmbridge")
	}
	service, _, _ = strings.Cut(service, "\n\n")
	known := strings.Join(bridge.Variables(), " ") + " "
	for _, match := range regexp.MustCompile(`(?m)^      ([A-Z][A-Z_]+):`).FindAllStringSubmatch(service, -1) {
		if !strings.Contains(known, match[1]+" ") {
			t.Errorf("docker-compose.yml sets %s, which crmbridge does not know", match[1])
		}
	}
}

// Whatever .env.example offers reaches a container.
func TestComposeFileTakesTheExamplesVariables(t *testing.T) {
	compose := bridgetest.File(t, "docker-compose.yml")
	matches := regexp.MustCompile(`(?m)^#?([A-Z][A-Z_]+)=`).FindAllStringSubmatch(bridgetest.File(t, ".env.example"), -1)
	if len(matches) < 5 {
		t.Fatalf("only %d variables were found", len(matches))
	}
	for _, match := range matches {
		if match[1] == "COMPOSE_PROFILES" { // read by Compose itself
			continue
		}
		if !strings.Contains(compose, "${"+match[1]) {
			t.Errorf(".env.example offers %s, which docker-compose.yml passes to nobody", match[1])
		}
	}
}

// Comments cite headings that are there; a README.md without a folder is that of the file's own.
func TestCommentsCiteHeadingsThatAreThere(t *testing.T) {
	bridgetest.Unraced(t, "documents are read")
	cites := regexp.MustCompile(`((?:[a-z/]+/)?README\.md)#([a-z0-9-]+)`)
	walkSource(t, func(name, text string) {
		for _, match := range cites.FindAllStringSubmatch(text, -1) {
			target := match[1]
			if target == "README.md" {
				target = path.Join(path.Dir(name), target)
			}
			if !slices.Contains(anchorsOf(t, target), match[2]) {
				t.Errorf("%s: %s has no heading for #%s", name, target, match[2])
			}
		}
	})
}
