package e2e

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// Whatever an older version left in Redis and in its requesters' hands goes on
// working: connections in each state, events that wait, cursors, cached metadata, a
// connect link and a sign-in under way.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/upgrade/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no fixtures", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) { upgradeFrom(t, file) })
	}
}

func upgradeFrom(t *testing.T, file string) {
	u := &upgrade{t: t, kinds: map[string]bool{}, since: columnsSince[strings.TrimSuffix(filepath.Base(file), ".json")]}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &u.left); err != nil {
		t.Fatal(err)
	}
	if u.keys, err = tokens.ReadKeyset([]byte(u.left.Keyset)); err != nil {
		t.Fatal(err)
	}
	w := bridgetest.New(t, emulator.Options{Accounts: -1})
	w.Keyset = u.left.Keyset
	u.control = upgradeEmulator(t, u.known)
	u.signIn()
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	u.rdb = redis.NewClient(options)
	defer u.rdb.Close()
	u.load()
	settings := upgradeSettings(t, w, true)
	bridgetest.Serve(t, settings)
	_, u.nc = w.Client()

	u.connections()
	u.events(w)
	// The old version's metadata has an earlier form, which knew no tables: it is left
	// alone, and read from Dataverse, each kind once for all that follows.
	u.follows("fields")
	first := u.asked.Load()
	u.follows("search")
	u.follows("cut")
	u.kindsMu.Lock()
	kinds := len(u.kinds)
	u.kindsMu.Unlock()
	if n := u.asked.Load(); first == 0 || n > first || int(n) != kinds {
		t.Errorf("%d requests for metadata, %d of them for fields: want each of %d kinds once", n, first, kinds)
	}
	u.sevenDays()
	u.changes()
	u.link(settings.HTTPAddr)
}

// upgrade is one version's fixture and the world that it is loaded into.
type upgrade struct {
	t       *testing.T
	left    left
	keys    *tokens.Keyset
	control emulator.Control
	rdb     *redis.Client
	nc      *nats.Conn

	refresh string       // a refresh token of the emulator that stands for those of the fixture
	swapped atomic.Int64 // how often it did
	since   []string     // columns that have come to the environment
	asked   atomic.Int64 // requests for metadata
	kindsMu sync.Mutex
	kinds   map[string]bool // their URLs
}

// columnsSince are those that accounts of the emulator had not when the fixtures were
// written. A cursor goes on behind a name, so that what has come before it is not seen.
var columnsSince = map[string][]string{"2d630e1": {"masterid", "merged"}}

// known lets the emulator, which is not the one of the fixture, know the fixture's
// refresh tokens: it swaps them for one that it gave out itself.
func (u *upgrade) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "EntityDefinitions") {
			u.asked.Add(1)
			u.kindsMu.Lock()
			u.kinds[r.URL.String()] = true
			u.kindsMu.Unlock()
		}
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			form, bad := url.ParseQuery(string(body))
			if err != nil || bad != nil {
				u.t.Error("a token request that cannot be read", err, bad)
			}
			if slices.Contains(u.grants(), form.Get("refresh_token")) {
				u.swapped.Add(1)
				form.Set("refresh_token", u.refresh)
			}
			text := form.Encode()
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
		}
		next.ServeHTTP(w, r)
	})
}

// grants are the refresh tokens in the fixture.
func (u *upgrade) grants() (all []string) {
	for _, k := range u.left.Redis {
		if !strings.HasSuffix(k.Key, "}:grant") {
			continue
		}
		fields := hashOf(u.t, k)
		var record struct {
			Refresh string `json:"refresh"`
		}
		if err := json.Unmarshal(u.open(fields["sealed"], "grant/v1", k.Key, fields["inc"]), &record); err != nil {
			u.t.Error(err)
		}
		if record.Refresh != "" {
			all = append(all, record.Refresh)
		}
	}
	return all
}

// signIn gets a refresh token from the emulator, as any OAuth client would.
func (u *upgrade) signIn() {
	u.t.Helper()
	scope := upgradeOrigin + "/user_impersonation offline_access openid profile"
	endpoint := upgradeOrigin + "/" + emulator.DefaultTenantID + "/oauth2/v2.0/"
	var callback struct {
		Code string `json:"code"`
	}
	body := callbackOf(u.t, "x", endpoint+"authorize?"+url.Values{"client_id": {emulator.DefaultClientID}, "response_type": {"code"},
		"redirect_uri": {upgradePublic + "/oauth/callback"}, "scope": {scope}, "state": {"x"}, "login_hint": {emulator.DefaultUser}}.Encode())
	if err := json.Unmarshal([]byte(body), &callback); err != nil {
		u.t.Fatal(err)
	}
	answer, err := http.PostForm(endpoint+"token", url.Values{"grant_type": {"authorization_code"}, "code": {callback.Code}, "scope": {scope},
		"client_id": {emulator.DefaultClientID}, "client_secret": {emulator.DefaultClientSecret}, "redirect_uri": {upgradePublic + "/oauth/callback"}})
	if err != nil {
		u.t.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.UnmarshalRead(answer.Body, &got); err != nil || got.Refresh == "" {
		u.t.Fatal("no refresh token", answer.Status, err)
	}
	u.refresh = got.Refresh
}

// load puts the fixture into Redis. What is only good for minutes is dated anew,
// and sealed again under the same key in the same place; nothing else is touched.
func (u *upgrade) load() {
	u.t.Helper()
	ctx := u.t.Context()
	for _, k := range u.left.Redis {
		var err error
		switch k.Type {
		case "hash":
			fields := hashOf(u.t, k)
			for field, value := range fields {
				switch {
				case strings.HasSuffix(k.Key, "}:metadata") && field != "inc":
					place := []string{k.Key, fields["inc"], field}
					fields[field] = u.seal(packed(u.t, u.dated(unpacked(u.t, u.open(value, "metadata/v1", place...)), "at", time.Now())), "metadata/v1", place...)
				case strings.HasPrefix(k.Key, "crmbridge:ticket:") && field == "sealed":
					place := []string{k.Key, fields["inc"]}
					fields[field] = u.seal(u.dated(u.open(value, "ticket/v1", place...), "expires_at", time.Now().Add(10*time.Minute)), "ticket/v1", place...)
				}
			}
			err = u.rdb.HSet(ctx, k.Key, fields).Err()
		case "zset":
			for i := 0; i < len(k.Data); i += 2 {
				score, bad := strconv.ParseFloat(textOf(u.t, k.Data[i+1]), 64)
				if bad != nil {
					u.t.Fatal(bad)
				}
				if err == nil {
					err = u.rdb.ZAdd(ctx, k.Key, redis.Z{Score: score, Member: textOf(u.t, k.Data[i])}).Err()
				}
			}
		case "list":
			for _, entry := range k.Data {
				if err == nil {
					err = u.rdb.RPush(ctx, k.Key, textOf(u.t, entry)).Err()
				}
			}
		default:
			err = u.rdb.Set(ctx, k.Key, textOf(u.t, k.Data[0]), 0).Err()
		}
		if err == nil && k.Life > 0 {
			err = u.rdb.PExpire(ctx, k.Key, time.Duration(k.Life)*time.Millisecond).Err()
		}
		if err != nil {
			u.t.Fatal(k.Key, err)
		}
	}
}

func (u *upgrade) open(sealed, purpose string, place ...string) []byte {
	u.t.Helper()
	plain, err := u.keys.Open([]byte(sealed), []byte("crmbridge/"+purpose+"\x00"+strings.Join(place, "\x00")))
	if err != nil {
		u.t.Fatal(purpose, place, err)
	}
	return plain
}

func (u *upgrade) seal(plain []byte, purpose string, place ...string) string {
	u.t.Helper()
	sealed, err := u.keys.Seal(plain, []byte("crmbridge/"+purpose+"\x00"+strings.Join(place, "\x00")))
	if err != nil {
		u.t.Fatal(err)
	}
	return string(sealed)
}

// dated replaces one member of an object, a time, and nothing else.
func (u *upgrade) dated(object []byte, member string, value any) []byte {
	u.t.Helper()
	var all map[string]jsontext.Value
	if err := json.Unmarshal(object, &all); err != nil {
		u.t.Fatal(err)
	}
	if all[member] == nil {
		u.t.Fatalf("there is no %s in it", member)
	}
	text, err := json.Marshal(value)
	if err != nil {
		u.t.Fatal(err)
	}
	before := all[member]
	all[member] = text
	changed := bytes.Replace(object, []byte(`"`+member+`":`+string(before)), []byte(`"`+member+`":`+string(text)), 1)
	var again map[string]jsontext.Value
	if err := json.Unmarshal(changed, &again); err != nil || len(again) != len(all) || string(again[member]) != string(text) {
		u.t.Fatal("not dated anew", err)
	}
	return changed
}

func unpacked(t *testing.T, small []byte) []byte {
	t.Helper()
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(small)))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func packed(t *testing.T, plain []byte) []byte {
	t.Helper()
	var small bytes.Buffer
	w, err := flate.NewWriter(&small, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return small.Bytes()
}

func textOf(t *testing.T, coded string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func hashOf(t *testing.T, k leftKey) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for i := 0; i < len(k.Data); i += 2 {
		fields[textOf(t, k.Data[i])] = textOf(t, k.Data[i+1])
	}
	return fields
}

// connections are listed as they were, and those with a grant can be used and renewed.
func (u *upgrade) connections() {
	t := u.t
	var list messages.ConnectionsListReply
	raw(t, u.nc, "connections.list", `{}`, &list)
	var got []string
	for _, c := range list.Connections {
		if c.EnvironmentURL != upgradeOrigin || c.CreatedAt.IsZero() || c.Status != "pending" && (c.UserID == "" || c.OrganizationID == "" || c.TenantID == "") {
			t.Errorf("%+v", c)
		}
		got = append(got, c.ID+" "+c.Status+" "+c.Grant+" "+strings.Join(c.Tables, ","))
	}
	// What a person agreed to before there were other tables is accounts; nobody has yet
	// for the pending one.
	want := []string{"acme active authorization_code accounts", "idle active authorization_code accounts",
		"lost reauthorization_required authorization_code accounts", "pending pending authorization_code ", "robot active client_credentials accounts"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range list.Connections {
		body := fmt.Sprintf(`{"connection":%q}`, c.ID)
		if c.Status != "active" {
			msg, err := u.nc.Request("crm.users.whoami.request", []byte(body), time.Minute)
			if err != nil || msg.Header.Get(messages.HeaderErrorCode) != string(messages.ReauthorizationRequired) {
				t.Errorf("%s: %s (%v)", c.ID, msg.Data, err)
			}
			continue
		}
		var who messages.WhoAmIReply
		raw(t, u.nc, "users.whoami", body, &who)
		if who.UserID != c.UserID || who.OrganizationID != c.OrganizationID {
			t.Errorf("%s: %+v, want %s of %s", c.ID, who, c.UserID, c.OrganizationID)
		}
		var now messages.ConnectionReply
		raw(t, u.nc, "connections.get", body, &now)
		if now.Connection.RefreshedAt == nil || !now.Connection.RefreshedAt.After(*c.RefreshedAt) && now.Connection.AccessTokenExpiresAt.Equal(*c.AccessTokenExpiresAt) {
			if u.left.At.Before(*now.Connection.RefreshedAt) {
				continue // renewed before it was listed
			}
			t.Errorf("%s was used and is not renewed: %v", c.ID, now.Connection.RefreshedAt)
		}
	}
	if n := u.swapped.Load(); n < 2 {
		t.Errorf("%d refreshes with the grants of the old version, want one of each of two connections", n)
	}
}

// events that the old version had no JetStream for are published, once each, those
// of a connection in their order.
func (u *upgrade) events(w *bridgetest.World) {
	want := []string{"acme connected", "gone connected", "gone deleted", "idle connected", "lost connected", "lost reauthorization_required", "robot connected"}
	bridgetest.Await(u.t, "events", func() error {
		events := stored(u.t, w)
		var got []string
		for _, e := range events {
			if e.EnvironmentURL != upgradeOrigin || e.At.After(u.left.At.Add(time.Minute)) {
				u.t.Fatalf("%+v", e)
			}
			got = append(got, e.Connection+" "+e.Kind)
		}
		slices.SortStableFunc(got, func(a, b string) int {
			return strings.Compare(a[:strings.Index(a, " ")], b[:strings.Index(b, " ")])
		})
		if !slices.Equal(got, want) {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	})
}

// follows goes on from an old cursor to the end; what came before it and after it
// is what the whole query gives now, in the same order, each row once.
func (u *upgrade) follows(name string) {
	t := u.t
	query := upgradeQueries[name]
	cursor := u.left.Hands[name]
	if query.operation == "accounts.search" {
		cursor = u.cursorDated(query.operation, cursor, time.Now())
	}
	got := append(slices.Clone(u.left.Delivered[name]), u.walk(query.operation, fmt.Sprintf(`{"connection":"acme","cursor":%q}`, cursor))...)
	want := u.walk(query.operation, query.body)
	if name == "fields" {
		want = slices.DeleteFunc(want, func(column string) bool { return slices.Contains(u.since, column) })
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d rows, want %d in their order", name, len(got), len(want))
	}
}

// walk follows cursors to the end.
func (u *upgrade) walk(operation, body string) (ids []string) {
	u.t.Helper()
	for {
		var reply rowsReply
		raw(u.t, u.nc, operation, body, &reply)
		ids = append(ids, reply.ids()...)
		if reply.NextCursor == "" || operation == "accounts.changes" && !reply.HasMore {
			return ids
		}
		body = fmt.Sprintf(`{"connection":"acme","cursor":%q}`, reply.NextCursor)
	}
}

// cursorDated is an old cursor as if the old version had made it at another time.
func (u *upgrade) cursorDated(operation, cursor string, at time.Time) string {
	u.t.Helper()
	sealed, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		u.t.Fatal(err)
	}
	ad := []byte("crmbridge cursor " + operation + "\x00acme\x00" + u.rdb.HGet(u.t.Context(), "crmbridge:{acme}:grant", "inc").Val())
	small, err := u.keys.Open(sealed, ad)
	if err != nil {
		u.t.Fatal(operation, err)
	}
	sealed, err = u.keys.Seal(packed(u.t, u.dated(unpacked(u.t, small), "t", at.Unix())), ad)
	if err != nil {
		u.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// sevenDays: an old cursor of accounts.search that is too old is refused for that.
func (u *upgrade) sevenDays() {
	cursors := []string{u.cursorDated("accounts.search", u.left.Hands["search"], time.Now().Add(-8*24*time.Hour))}
	if time.Since(u.left.At) > 7*24*time.Hour {
		cursors = append(cursors, u.left.Hands["search"]) // as it was made
	}
	for _, cursor := range cursors {
		msg, err := u.nc.Request("crm.accounts.search.request", fmt.Appendf(nil, `{"connection":"acme","cursor":%q}`, cursor), time.Minute)
		if err != nil || !strings.Contains(string(msg.Data), "older than 7 days") {
			u.t.Errorf("%s (%v)", msg.Data, err)
		}
	}
}

// changes go on from a cursor in the first reading and from one behind it, exactly
// as they were made: they have no end.
func (u *upgrade) changes() {
	t := u.t
	rest := u.walk("accounts.changes", fmt.Sprintf(`{"connection":"acme","cursor":%q}`, u.left.Hands["changes"]))
	all := append(slices.Clone(u.left.Delivered["changes"]), rest...)
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != upgradeAccounts || len(all) != n {
		t.Errorf("the first reading gives %d rows, %d of them different, want %d", len(all), n, upgradeAccounts)
	}
	deleted, kept := u.left.Delivered["search"][0], ""
	for a := range u.control.Accounts() {
		if a.ID != deleted {
			a.Name += " after the upgrade"
			kept = u.control.PutAccount(a)
			break
		}
	}
	if !u.control.DeleteAccount(deleted) {
		t.Fatal("no such account", deleted)
	}
	var reply rowsReply
	raw(t, u.nc, "accounts.changes", fmt.Sprintf(`{"connection":"acme","cursor":%q}`, u.left.Hands["changed"]), &reply)
	if !slices.Equal(reply.ids(), []string{kept}) || !slices.Equal(reply.Deleted, []string{deleted}) || reply.HasMore {
		t.Errorf("%+v, want %s changed and %s deleted", reply, kept, deleted)
	}
}

// link: the page of a connect link still opens, and a sign-in that began before the
// upgrade can be completed after it.
func (u *upgrade) link(address string) {
	t := u.t
	_, secret, _ := strings.Cut(u.left.Hands["connect_url"], "/connect/")
	answer, err := http.Get("http://" + address + "/connect/" + secret)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(page), "pending") ||
		!strings.Contains(string(page), messages.Accounts.Consent) || strings.Contains(string(page), messages.Contacts.Consent) {
		t.Errorf("the connect page: %s (%v)", answer.Status, err)
	}
	var made messages.ConnectionReply
	raw(t, u.nc, "connections.complete", callbackOf(t, "pending", u.left.Hands["authorization_url"]), &made)
	if made.Connection.ID != "pending" || made.Connection.Status != messages.StatusActive || !slices.Equal(made.Connection.Tables, []string{"accounts"}) {
		t.Errorf("%+v", made.Connection)
	}
}
