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

// DeployedNATS is a NATS server with deploy/nats.conf, but for its ports and folder, and
// with the user reader, which is there in comments. The password of a user is "secret-" and
// the user's name.
func DeployedNATS(t testing.TB, port int) *server.Server {
	t.Helper()
	return deployed(t, port, strings.ReplaceAll(File(t, "deploy/nats.conf"), "#| ", ""))
}

// DeployedAccounts is the same with deploy/nats-accounts.conf.
func DeployedAccounts(t testing.TB, port int) *server.Server {
	t.Helper()
	return deployed(t, port, File(t, "deploy/nats-accounts.conf"))
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
