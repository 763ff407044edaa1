package e2e

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// What a version left in Redis and in its requesters' hands stands in
// testdata/upgrade/<commit>.json, written by that version itself:
//
//	git worktree add ../old <commit>
//	cp cmd/internal/e2e/upgrade_fixture_test.go ../old/cmd/internal/e2e/
//	cd ../old && go test ./cmd/internal/e2e -run TestWriteUpgradeFixture -upgrade-fixture <commit>.json
//
// A file is never written again by a later version: it would prove nothing.
var upgradeFixture = flag.String("upgrade-fixture", "", "write what this version stores to a file in testdata/upgrade")

// upgradeHost is where the environment of the fixtures is: their sealed records,
// cursors and links name it. An address of its own keeps the port free.
const upgradeHost = "127.45.67.89:18480"

const (
	upgradeOrigin   = "http://" + upgradeHost
	upgradePublic   = "http://localhost:8080"
	upgradeAccounts = 3000
	upgradeLost     = emulator.GermanUser // whose grants are revoked
)

// left is what a version leaves behind.
type left struct {
	Keyset string            `json:"keyset"` // of this test alone
	At     time.Time         `json:"at"`
	Redis  []leftKey         `json:"redis"`
	Hands  map[string]string `json:"hands"` // what requesters and people hold: cursors, links, states
	// Delivered are the ids that came before each cursor, in their order.
	Delivered map[string][]string `json:"delivered"`
}

// leftKey is one key of Redis. Values are in base64: hash fields and their values in
// turn, members and scores of a sorted set in turn, elements of a list, a string.
type leftKey struct {
	Key  string   `json:"key"`
	Type string   `json:"type"`
	Life int64    `json:"life"` // ms that it had left; 0: no end
	Data []string `json:"data"`
}

// upgradeEmulator serves the environment of the fixtures.
func upgradeEmulator(t *testing.T, wrap func(http.Handler) http.Handler) emulator.Control {
	t.Helper()
	e, err := emulator.New(emulator.Options{Accounts: upgradeAccounts, AutoConsent: true,
		RedirectURIs:      []string{upgradePublic + "/oauth/callback"},
		ChangeTrackingAge: 200 * 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	bridgetest.Await(t, "the fixture's address", func() error { // another run may just end
		listener, err = net.Listen("tcp", upgradeHost)
		if err != nil && runtime.GOOS != "linux" {
			t.Skipf("this system does not give 127.0.0.0/8 to every program: %v", err)
		}
		return err
	})
	var handler http.Handler = e
	if wrap != nil {
		handler = wrap(e)
	}
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(listener) })
	t.Cleanup(func() { _ = s.Close(); serving.Wait() })
	return e.Control()
}

// upgradeSettings are those of a process that serves the fixtures' connections.
func upgradeSettings(t *testing.T, w *bridgetest.World, first bool) bridge.Settings {
	t.Helper()
	s := w.Settings(first)
	s.EntraAuthorityURL, s.AllowedHosts, s.PublicURL, s.BusCompletion = upgradeOrigin, upgradeHost, upgradePublic, "true"
	s.Tables = bridge.AllTables()
	s.AppConnectionsFile = written(t, fmt.Sprintf(`[{"connection":"robot","environment_url":%q}]`, upgradeOrigin))
	return s
}

// raw asks with a body as it is and decodes the answer; an error answer fails.
func raw(t *testing.T, nc *nats.Conn, operation, body string, into any) {
	t.Helper()
	msg, err := nc.Request("crm."+operation+".request", []byte(body), time.Minute)
	if err != nil {
		t.Fatal(operation, err)
	}
	if code := msg.Header.Get(messages.HeaderErrorCode); code != "" {
		t.Fatalf("%s: %s", operation, msg.Data)
	}
	if err := json.Unmarshal(msg.Data, into); err != nil {
		t.Fatal(operation, err)
	}
}

// rowsReply is what these tests read of pages of rows and of fields.
type rowsReply struct {
	Accounts []struct {
		ID string `json:"id"`
	} `json:"accounts"`
	Fields []struct {
		Name string `json:"logical_name"`
	} `json:"fields"`
	Deleted    []string `json:"deleted"`
	NextCursor string   `json:"next_cursor"`
	HasMore    bool     `json:"has_more"`
	Total      *int     `json:"total"`
}

func (r rowsReply) ids() (ids []string) {
	for _, a := range r.Accounts {
		ids = append(ids, a.ID)
	}
	for _, f := range r.Fields {
		ids = append(ids, f.Name)
	}
	return ids
}

// upgradeQueries are the requests whose cursors a fixture holds, without a cursor.
// Each reply but the last has one; "cut" is cut off inside a page of Dataverse's,
// because a message takes no more.
var upgradeQueries = map[string]struct{ operation, body string }{
	"search": {"accounts.search", `{"connection":"acme","where":{"or":[{"field":"name","op":"contains","value":"a"},{"field":"revenue","op":"ge","value":1}]},` +
		`"fields":["id","name","city"],"order_by":["-modified_at","name"],"page_size":40,"include_total":true}`},
	"cut": {"accounts.search", `{"connection":"acme","fields":["id","name","website","phone","email","city","state","country","postal_code","classification",` +
		`"industry","category","owner","parent","created_at","modified_at","revenue"],"page_size":3000}`},
	"fields":  {"accounts.fields", `{"connection":"acme"}`},
	"changes": {"accounts.changes", `{"connection":"acme","fields":["id","name"],"page_size":50}`},
}

func TestWriteUpgradeFixture(t *testing.T) {
	if *upgradeFixture == "" {
		t.Skip("for -upgrade-fixture FILE only")
	}
	w := bridgetest.New(t, emulator.Options{Accounts: -1})
	if w.Redis == nil {
		t.Fatal("a fixture is made with a redis-server")
	}
	// Without JetStream events wait in Redis. Its small messages cut pages.
	broker, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, MaxPayload: 8 << 10,
		NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	if !broker.ReadyForConnections(time.Minute) {
		t.Fatal("no NATS")
	}
	w.NATSURL = w.Overheard(broker.ClientURL())
	control := upgradeEmulator(t, nil)
	bridgetest.Serve(t, upgradeSettings(t, w, true))
	_, nc := w.Client()
	found := left{Keyset: w.Keyset, At: time.Now().UTC(), Hands: map[string]string{}, Delivered: map[string][]string{}}

	var begun messages.AuthorizeReply
	connect := func(connection, user string) {
		t.Helper()
		raw(t, nc, "connections.authorize", fmt.Sprintf(`{"connection":%q,"environment_url":%q,"login_hint":%q}`,
			connection, upgradeOrigin, user), &begun)
		var made messages.ConnectionReply
		raw(t, nc, "connections.complete", callback(t, begun), &made)
	}
	connect("lost", upgradeLost)
	control.RevokeRefreshTokens(upgradeLost)
	control.ExpireAccessTokens()
	if msg, err := nc.Request("crm.users.whoami.request", []byte(`{"connection":"lost"}`), time.Minute); err != nil ||
		msg.Header.Get(messages.HeaderErrorCode) != "reauthorization_required" {
		t.Fatal("the lost connection is not lost", err)
	}
	for _, connection := range []string{"acme", "idle", "gone"} {
		connect(connection, emulator.DefaultUser)
	}
	raw(t, nc, "connections.authorize", fmt.Sprintf(
		`{"connection":"robot","environment_url":%q,"grant":"client_credentials"}`, upgradeOrigin), &begun)
	var deleted messages.DeletedReply
	raw(t, nc, "connections.delete", `{"connection":"gone"}`, &deleted)

	for name, query := range upgradeQueries {
		var reply rowsReply
		raw(t, nc, query.operation, query.body, &reply)
		if reply.NextCursor == "" {
			t.Fatalf("%s: one page holds everything", name)
		}
		found.Hands[name], found.Delivered[name] = reply.NextCursor, reply.ids()
	}
	// The cursor of a finished reading: what changed since.
	cursor := found.Hands["changes"]
	for more := true; more; {
		var reply rowsReply
		raw(t, nc, "accounts.changes", fmt.Sprintf(`{"connection":"acme","cursor":%q}`, cursor), &reply)
		cursor, more = reply.NextCursor, reply.HasMore
	}
	found.Hands["changed"] = cursor
	// To the last field, so that all of the metadata is cached.
	for cursor = found.Hands["fields"]; cursor != ""; {
		var reply rowsReply
		raw(t, nc, "accounts.fields", fmt.Sprintf(`{"connection":"acme","cursor":%q}`, cursor), &reply)
		cursor = reply.NextCursor
	}
	var who messages.WhoAmIReply
	raw(t, nc, "users.whoami", `{"connection":"robot"}`, &who)

	// Last, since they are good for minutes: a link that nobody opened, and a sign-in.
	raw(t, nc, "connections.authorize", fmt.Sprintf(`{"connection":"pending","environment_url":%q,"login_hint":%q}`,
		upgradeOrigin, emulator.DefaultUser), &begun)
	found.Hands["connect_url"], found.Hands["authorization_url"], found.Hands["state"] = begun.ConnectURL,
		begun.AuthorizationURL, begun.State
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	raw(t, nc, "users.whoami", `{"connection":"acme"}`, &who)
	found.Redis = dumped(t, rdb, "crmbridge:throttle:*") // gone when nobody calls for a while
	time.Sleep(2 * time.Second)                          // the work list is written behind the requests
	found.Redis = append(found.Redis, dumped(t, rdb, "crmbridge:[^t]*")...)
	found.Redis = append(found.Redis, dumped(t, rdb, "crmbridge:ticket:*")...)
	text, err := json.Marshal(found, json.Deterministic(true), jsontext.WithIndent(" "))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "upgrade", *upgradeFixture)
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes, %d keys", file, len(text), len(found.Redis))
}

// callback lets the person of a sign-in agree, and is the body that completes it.
func callback(t *testing.T, begun messages.AuthorizeReply) string {
	t.Helper()
	return callbackOf(t, begun.Connection.ID, begun.AuthorizationURL)
}

func callbackOf(t *testing.T, connection, authorization string) string {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Get(authorization)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		t.Fatal(answer.Status, err)
	}
	return fmt.Sprintf(`{"connection":%q,"state":%q,"code":%q}`, connection, back.Query().Get("state"),
		back.Query().Get("code"))
}

// dumped is everything of a pattern. Locks are of processes and are left out.
func dumped(t *testing.T, rdb *redis.Client, pattern string) (all []leftKey) {
	t.Helper()
	ctx := context.Background()
	keys := rdb.Keys(ctx, pattern).Val()
	text := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, key := range keys {
		if strings.HasSuffix(key, "}:refresh") || strings.Contains(key, "}:reading") {
			continue
		}
		k := leftKey{Key: key, Type: rdb.Type(ctx, key).Val(), Life: max(0, rdb.PTTL(ctx, key).Val().Milliseconds())}
		switch k.Type {
		case "hash":
			for field, value := range rdb.HGetAll(ctx, key).Val() {
				k.Data = append(k.Data, text(field), text(value))
			}
		case "zset":
			for _, z := range rdb.ZRangeWithScores(ctx, key, 0, -1).Val() {
				k.Data = append(k.Data, text(z.Member.(string)), text(fmt.Sprintf("%.0f", z.Score)))
			}
		case "list":
			for _, entry := range rdb.LRange(ctx, key, 0, -1).Val() {
				k.Data = append(k.Data, text(entry))
			}
		case "string":
			k.Data = []string{text(rdb.Get(ctx, key).Val())}
		default:
			t.Fatalf("%s is a %s", key, k.Type)
		}
		all = append(all, k)
	}
	return all
}
