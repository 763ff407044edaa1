package bridgetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// File is the text of a file of the repository, named from its root.
func File(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Root is the folder of the repository: the one above the test's with go.mod.
func Root(t testing.TB) string {
	t.Helper()
	folder, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		above := filepath.Dir(folder)
		if above == folder {
			t.Fatal("no folder above the test's has a go.mod")
		}
		folder = above
	}
}

// DeployedNATS is a NATS server with deploy/nats.conf, but for its ports and folder. The
// password of a user is "secret-" and the user's name. Beside the requester campaigns of
// the connection acme there is another, globex, made as deploy/README.md says.
func DeployedNATS(t testing.TB, port int) *server.Server {
	t.Helper()
	return Deployed(t, port, NATSFile, nil)
}

// DeployedAccounts is the same with deploy/nats-accounts.conf, and the tenants acme and
// globex.
func DeployedAccounts(t testing.TB, port int) *server.Server {
	t.Helper()
	return Deployed(t, port, AccountsFile, nil)
}

// The shipped configurations of NATS.
const (
	NATSFile     = "deploy/nats.conf"
	AccountsFile = "deploy/nats-accounts.conf"
)

// Deployed is a server with one of the shipped configurations; change, where it is not nil,
// changes its text before.
func Deployed(t testing.TB, port int, file string, change func(string) string) *server.Server {
	t.Helper()
	text := File(t, file)
	if file == AccountsFile {
		text = withAnotherTenant(t, text)
	} else {
		text = withAnotherRequester(t, text)
	}
	if change != nil {
		text = change(text)
	}
	return deployed(t, port, text)
}

// renamed are the names of another requester or tenant.
var renamed = strings.NewReplacer("CAMPAIGNS", "GLOBEX", "campaigns", "globex", "ACME", "GLOBEX", "acme", "globex",
	"READER_NATS_PASSWORD", "GLOBEX_READER_NATS_PASSWORD", `"reader"`, `"globex_reader"`)

// withAnotherRequester copies the block of CAMPAIGNS and its user, and lets crmbridge answer
// to the inboxes of the copy.
func withAnotherRequester(t testing.TB, text string) string {
	t.Helper()
	block := between(t, text, "  CAMPAIGNS = {\n", "\n  }\n")
	user := between(t, text, `    { user: "campaigns"`, "\n")
	inbox := between(t, text, `"_INBOX.campaigns.>", `, "")
	text = strings.Replace(text, block, block+renamed.Replace(block), 1)
	text = strings.Replace(text, inbox, inbox+renamed.Replace(inbox), 1)
	return strings.Replace(text, user, user+renamed.Replace(user), 1)
}

// withAnotherTenant copies what is ACME's: its account, and the exports to it.
func withAnotherTenant(t testing.TB, text string) string {
	t.Helper()
	exports := between(t, text, "    exports: [\n", "    ]\n")
	lines := strings.TrimSuffix(strings.TrimPrefix(exports, "    exports: [\n"), "    ]\n")
	text = strings.Replace(text, exports, "    exports: [\n"+lines+renamed.Replace(lines)+"    ]\n", 1)
	tenant := between(t, text, "  ACME: {\n", "\n  }\n")
	return strings.Replace(text, tenant, tenant+renamed.Replace(tenant), 1)
}

// between is the part of a text from its first begin to the end behind it, both with it.
func between(t testing.TB, text, begin, end string) string {
	t.Helper()
	at := strings.Index(text, begin)
	if at < 0 {
		t.Fatalf("the configuration has no %q", begin)
	}
	behind := strings.Index(text[at+len(begin):], end)
	if behind < 0 {
		t.Fatalf("the configuration has no %q behind %q", end, begin)
	}
	return text[at : at+len(begin)+behind+len(end)]
}

func deployed(t testing.TB, port int, text string) *server.Server {
	t.Helper()
	text = strings.Replace(text, "port: 4222", fmt.Sprintf("host: 127.0.0.1\nport: %d", port), 1)
	text = regexp.MustCompile(`(?m)^http: .*$`).ReplaceAllString(text, "")
	text = strings.Replace(text, `"/data/jetstream"`, fmt.Sprintf("%q", t.TempDir()), 1)
	for _, name := range regexp.MustCompile(`\$(\w+)_NATS_PASSWORD`).FindAllStringSubmatch(text, -1) {
		// A variable of the file comes before one of the process, which tests share.
		text = fmt.Sprintf("%s_NATS_PASSWORD: secret-%s\n", name[1], strings.ToLower(name[1])) + text
	}
	name := t.TempDir() + "/nats.conf"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(name)
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	return streamstest.Run(t, options)
}

// RedisAdministrator may do everything with the world's Redis, or the test is skipped.
func RedisAdministrator(t testing.TB, w *World) *redis.Client {
	t.Helper()
	if w.Redis == nil {
		t.Skip("needs a redis-server")
	}
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// RedisDo sends one command to Redis.
func RedisDo(t testing.TB, client *redis.Client, command string) {
	t.Helper()
	var args []any
	for _, word := range strings.Fields(command) {
		args = append(args, strings.Trim(word, `"`))
	}
	if err := client.Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}
