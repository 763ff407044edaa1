package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// redisAdministrator may do everything with the world's Redis, or the test is skipped.
func redisAdministrator(t *testing.T, w *bridgetest.World) *redis.Client {
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

// do sends one command to Redis.
func do(t *testing.T, client *redis.Client, command string) {
	t.Helper()
	var args []any
	for _, word := range strings.Fields(command) {
		args = append(args, strings.Trim(word, `"`))
	}
	if err := client.Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// page is the answer of an admin page.
func page(address, path string) (status int, text string, err error) {
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// saysReady awaits a status and a text of /readyz?verbose.
func saysReady(t *testing.T, settings bridge.Settings, status int, text string) {
	t.Helper()
	bridgetest.Await(t, "readyz", func() error {
		got, said, err := page(settings.AdminAddr, "/readyz?verbose")
		if err != nil || got != status || !strings.Contains(said, text) {
			return fmt.Errorf("%w: %d, want %d with %q: %s", errors.Join(errors.New("readyz"), err), got, status, text, said)
		}
		return nil
	})
}

// A Redis that answers and refuses makes a process not ready, at the start and later,
// and the words are true. It starts, or goes on, when Redis does what it is asked.
func TestRedisThatRefuses(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	admin := redisAdministrator(t, w)
	change := func(commands string) {
		for command := range strings.SplitSeq(commands, "|") {
			do(t, admin, command)
		}
	}
	change("ACL SETUSER bridge on >right ~crmbridge:* &crmbridge:* +@all|REPLICAOF 127.0.0.1 1")
	settings := w.Settings(true)
	settings.RedisURL = strings.Replace(w.RedisURL, "redis://", "redis://bridge:right@", 1)
	config, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	log := &buffer{}
	go func() { ended <- bridge.Serve(ctx, config, slog.New(slog.NewTextHandler(log, nil))) }()
	const replica = "Redis refuses writes: it is a replica"
	saysReady(t, settings, 503, "[-]redis failed: "+replica)
	if _, text, err := page(settings.AdminAddr, "/readyz"); err != nil || !strings.HasPrefix(text, "starting: "+replica) {
		t.Errorf("%v %s", err, text)
	}
	change("REPLICAOF NO ONE")
	saysReady(t, settings, 200, "[+]redis ok")
	for _, c := range []struct{ spoil, mend, says string }{
		{"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", replica},
		{"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "its memory is full; raise maxmemory"},
		{"ACL SETUSER bridge -eval -evalsha", "ACL SETUSER bridge +@all", "refuses the command evalsha to this user; the README lists"},
		{"ACL SETUSER bridge resetpass >other|CLIENT KILL USER bridge", "ACL SETUSER bridge resetpass >right", "refuses the user or password in REDIS_URL"},
	} {
		change(c.spoil)
		saysReady(t, settings, 503, "[-]redis failed: ")
		saysReady(t, settings, 503, c.says)
		if status, text, err := page(settings.AdminAddr, "/readyz?exclude=redis&exclude=radis"); err != nil || status != 200 || text != "ok\n" {
			t.Errorf("%v %d %s", err, status, text)
		}
		change(c.mend)
		saysReady(t, settings, 200, "[+]redis ok")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "right@") {
		t.Error("the log holds the password")
	}
}

// deploy/redis.acl is a user who may do all that crmbridge does: the main job, keys
// and their resealing, and nothing of it is refused.
func TestDeployedRedisPermissions(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	admin := redisAdministrator(t, w)
	line := strings.TrimPrefix(strings.TrimSpace(file(t, "deploy/redis.acl")), "user ")
	do(t, admin, "ACL SETUSER "+strings.Replace(line, ">CHANGE-THIS-PASSWORD", ">right", 1))
	settings := w.Settings(true)
	settings.RedisURL = strings.Replace(w.RedisURL, "redis://", "redis://crmbridge:right@", 1)
	serve(t, settings)
	second := w.Settings(false)
	second.RedisURL = settings.RedisURL
	serve(t, second)
	w.Connect("demo")
	url := "--nats-url=" + w.NATSURL
	ask := func(status int, args ...string) {
		t.Helper()
		var stdout, stderr strings.Builder
		if got := run(args, &stdout, &stderr); got != status {
			t.Errorf("%v: status %d: %s%s", args, got, stdout.String(), stderr.String())
		}
	}
	for round := range 2 {
		ask(0, "accounts", "search", "demo", "--page-size=3", url)
		ask(0, "accounts", "count", "demo", "--where=name is not null", url)
		ask(0, "accounts", "fields", "demo", url)
		ask(0, "accounts", "changes", "demo", url)
		ask(0, "users", "whoami", "demo", url)
		ask(0, "connections", "list", url)
		ask(0, "connections", "check", "demo", url)
		if round == 0 {
			w.Emulator.Control().ExpireAccessTokens() // the next call renews
		}
	}
	// An environment that refuses for a moment writes a block for the fleet.
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 1})
	client, _ := w.Client()
	bridgetest.Await(t, "an answer after a block", func() error {
		_, err := client.WhoAmI(t.Context(), "demo")
		return err
	})
	t.Setenv("TOKEN_KEYSET", w.Keyset)
	t.Setenv("REDIS_URL", settings.RedisURL)
	ask(0, "keys", "reseal")
	w.Connect("demo") // a re-authorization
	ask(0, "connections", "delete", "demo", url)
	bridgetest.Await(t, "a deletion", func() error {
		if _, err := client.WhoAmI(t.Context(), "demo"); err == nil {
			return errors.New("it is still there")
		}
		return nil
	})
	refused, err := admin.ACLLog(t.Context(), 20).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range refused {
		t.Errorf("refused: %s %s (%s, %s)", entry.Reason, entry.Object, entry.Context, entry.Username)
	}
	// And it is no more than that.
	for _, command := range []string{"FLUSHALL", "CONFIG", "KEYS", "SHUTDOWN", "CLIENT"} {
		if strings.Contains(line, "+"+strings.ToLower(command)) {
			t.Errorf("the user may %s", command)
		}
	}
}
