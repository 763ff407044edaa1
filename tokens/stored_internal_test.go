package tokens

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/redis/go-redis/v9"
)

// storedForm is one sealed value as a released version wrote it. Names in braces in key
// and plain are of a secret that the test chooses.
type storedForm struct {
	Key     string         `json:"key"`
	Purpose string         `json:"purpose"`
	Inc     string         `json:"inc"`
	Ver     int64          `json:"ver"`
	Plain   jsontext.Value `json:"plain"`
}

// restore puts the forms of a file in testdata into Redis.
func (s *Store) restore(t *testing.T, file string, secrets *strings.Replacer) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var forms []storedForm
	if err := json.Unmarshal(text, &forms); err != nil || len(forms) == 0 {
		t.Fatal(len(forms), err)
	}
	for _, form := range forms {
		key := secrets.Replace(form.Key)
		sealed, err := s.keys.Seal([]byte(secrets.Replace(string(form.Plain))), associated(form.Purpose, key, form.Inc))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.rdb.HSet(t.Context(), key, "inc", form.Inc, "ver", form.Ver, "wid", "w", "sealed",
			sealed).Err(); err != nil {
			t.Fatal(err)
		}
		if id, ok := idOf(key); ok {
			if err := s.rdb.ZAdd(t.Context(), indexKey, redis.Z{Member: id}).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What was stored before connections had tables is about accounts, at every step of the
// way to a connection, also where the deployment serves more by now.
func TestWhatWasStoredBeforeTablesIsAboutAccounts(t *testing.T) {
	store, _ := kept(t)
	ticket, fresh, redeemed, done := random(32), random(32), random(32), random(32)
	callback := func(state string) Callback { return Callback{State: state, Code: "code", Bus: true} }
	store.restore(t, "before_tables.json", strings.NewReplacer("{ticket}", digest(ticket), "{state}", digest(fresh),
		"{redeemed}", digest(redeemed), "{done}", digest(done), "{proof}", callback(done).proof()))
	entra := entraThat(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "nothing is to be redeemed", http.StatusTeapot)
	})
	entra.apps = map[string]string{"robot": "https://contoso.crm4.dynamics.com"}
	a, err := NewAuthorizer(AuthorizerConfig{Store: store, Entra: entra, PublicURL: "http://localhost:8080",
		Tables:   []string{"accounts", "contacts"},
		Discover: func(context.Context, string) (string, error) { return "11111111-2222-3333-4444-555555555555", nil },
		Identify: func(context.Context, string, string) (string, string, error) {
			return "bd578f43-69f8-4eb1-8182-a5e19293d60c", "d7a3164e-2db5-47aa-b323-06946b74a9f0", nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	accounts := []string{"accounts"}
	want := func(what string, got []string, err error) {
		t.Helper()
		if err != nil || !slices.Equal(got, accounts) {
			t.Errorf("%s: %q (%v), want %q", what, got, err, accounts)
		}
	}
	list, _, err := store.List(t.Context(), "", 10)
	if err != nil || len(list) != 4 {
		t.Fatalf("%+v %v", list, err)
	}
	for _, c := range list {
		if c.Status != StatusPending {
			want("connection "+c.ID, c.Tables, nil)
		} else if len(c.Tables) > 0 {
			t.Errorf("%s has tables before anybody connected: %q", c.ID, c.Tables)
		}
	}
	source := sourceOf(t, store, entra)
	for _, id := range []string{"acme", "robot"} {
		access, err := source.Access(t.Context(), id)
		want("access to "+id, access.Tables, err)
	}
	opened, err := a.Look(t.Context(), ticket, "")
	want("the page of a link", opened.Tables, err)
	opened, err = a.Ticket(t.Context(), ticket, opened.Cookie)
	want("the button of a link", opened.Tables, err)
	for name, state := range map[string]string{"that waits": fresh,
		"that the button made": stateOf(t, opened.AuthorizationURL)} {
		st, _, err := load[attempt](t.Context(), store, stateKey(digest(state)), statePurpose)
		want("a state "+name, recorded(st.Tables), err)
	}
	c, err := a.Complete(t.Context(), callback(done))
	want("the answer that is kept", c.Tables, err)
	c, err = a.Complete(t.Context(), callback(redeemed))
	want("a sign-in that was redeemed", c.Tables, err)
	c, err = store.Get(t.Context(), "pending")
	want("the connection that it made", c.Tables, err)
}

func stateOf(t *testing.T, authorization string) string {
	t.Helper()
	u, err := url.Parse(authorization)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("state")
}
