package main

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// What the README lists is what the code has.
func TestREADMEListsEverything(t *testing.T) {
	readme := bridgetest.File(t, "README.md")
	for _, name := range bridge.Variables() {
		if !strings.Contains(readme, "`"+name+"`") {
			t.Errorf("README does not list the variable %s", name)
		}
	}
	for _, code := range messages.Codes() {
		if !strings.Contains(readme, "`"+string(code)+"`") {
			t.Errorf("README does not list the error code %s", code)
		}
	}
	for _, op := range messages.Operations() {
		if !strings.Contains(readme, "| `"+string(op)+"` |") {
			t.Errorf("README does not list the operation %s", op)
		}
	}
	for _, op := range messages.Ops() {
		if !strings.Contains(readme, string(op)) {
			t.Errorf("README does not list the operator %s", op)
		}
	}
}

// The README's filters for people are ones, and its table has every command's name.
func TestREADMEShowsExpressionsAndCommands(t *testing.T) {
	readme := bridgetest.File(t, "README.md")
	_, section, found := strings.Cut(readme, "### Filters as people write them")
	section, _, _ = strings.Cut(section, "\n## ")
	example := regexp.MustCompile("(?s)```\n([^$].*?)\n```").FindStringSubmatch(section)
	if !found || example == nil {
		t.Fatal("no expression")
	}
	if _, err := messages.ParseWhere(example[1]); err != nil {
		t.Errorf("%s: %v", example[1], err)
	}
	var cli commands
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(readme, "## The command line")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, group := range parser.Model.Children {
		for _, command := range group.Children {
			if group.Name != "keys" && !strings.Contains(table, "`"+group.Name+" "+command.Name) && !strings.Contains(table, ", `"+command.Name+" ") {
				t.Errorf("README does not list the command %s %s", group.Name, command.Name)
			}
		}
	}
}

// The shipped NATS configuration is one that NATS reads, and its users may do
// what the README says and no more.
func TestDeployedNATSConfiguration(t *testing.T) {
	for _, name := range []string{"CRMBRIDGE", "CAMPAIGNS", "ADMINISTRATOR"} {
		t.Setenv(name+"_NATS_PASSWORD", strings.ToLower(name))
	}
	options, err := server.ProcessConfigFile("../../deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if len(options.Users) != 3 || !options.JetStream {
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

// Every operation's subjects, and those of the services API, are among crmbridge's
// rights in the shipped configuration, and no entity that it does not have.
func TestDeployedRightsFollowTheOperations(t *testing.T) {
	text := bridgetest.File(t, "deploy/nats.conf")
	_, rights, _ := strings.Cut(text, "CRMBRIDGE = {")
	rights, _, _ = strings.Cut(rights, "CAMPAIGNS = {")
	entities := map[string]bool{}
	for _, op := range messages.Operations() {
		entities[op.Entity()] = true
		for _, subject := range []string{"crm." + op.Entity() + ".*.request", "crm." + op.Entity() + ".*.request.*"} {
			if !strings.Contains(rights, `"`+subject+`"`) {
				t.Errorf("crmbridge may not subscribe to %s", subject)
			}
		}
	}
	for _, match := range regexp.MustCompile(`"crm\.([^.]+)\.\*`).FindAllStringSubmatch(rights, -1) {
		if !entities[match[1]] {
			t.Errorf("crmbridge may subscribe to %s, which it does not serve", match[0])
		}
	}
}

// CONTRIBUTING names fuzz targets that there are.
func TestContributingNamesFuzzTargets(t *testing.T) {
	for _, match := range regexp.MustCompile(`go test \./(\S+) -fuzz (Fuzz\w+)`).FindAllStringSubmatch(bridgetest.File(t, "CONTRIBUTING.md"), -1) {
		found := false
		files, _ := filepath.Glob("../../" + match[1] + "/*_test.go")
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
	for _, service := range []string{"nats", "redis", "crmbridge"} {
		_, part, _ := strings.Cut(text, "\n  "+service+":\n")
		part, _, _ = strings.Cut(part, "restart:")
		for _, want := range []string{"read_only: true", "cap_drop: [ALL]", "mem_limit: ", "no-new-privileges"} {
			if !strings.Contains(part, want) {
				t.Errorf("service %s lacks %s", service, want)
			}
		}
	}
	for _, match := range regexp.MustCompile(`image: \S+:(\S+)`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(match[1]) {
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
	service, _, _ = strings.Cut(service, "\nvolumes:")
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
		if !strings.Contains(compose, "${"+match[1]) {
			t.Errorf(".env.example offers %s, which docker-compose.yml passes to nobody", match[1])
		}
	}
}

func TestREADMELinksToFilesThatAreThere(t *testing.T) {
	for _, match := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(bridgetest.File(t, "README.md"), -1) {
		if u, err := url.Parse(match[1]); err != nil || u.Scheme != "" {
			continue
		}
		if _, err := os.Stat("../../" + match[1]); err != nil {
			t.Error(err)
		}
	}
}
