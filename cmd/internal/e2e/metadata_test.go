package e2e

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

const attributes = "EntityDefinitions(key)/Attributes"

// metadataReads are the emulator's metadata requests by what they ask for.
func metadataReads(w *bridgetest.World) map[string]int {
	reads := map[string]int{}
	for route, n := range w.Emulator.Control().Counts().Data {
		if kind, ok := strings.CutPrefix(route, attributes); ok {
			reads[strings.TrimPrefix(kind, "/Microsoft.Dynamics.CRM.")] += n
		}
	}
	return reads
}

func searchByLabel() messages.SearchRequest {
	where := messages.Leaf("industry", messages.Eq, "consulting")
	return messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Where: &where,
		Fields: []string{"name", "industry", "cb_leadscore", "cb_channels"}, PageSize: 5}
}

// The metadata of a connection is read once for a fleet of four, by whichever
// process needs it first.
func TestOneReadsMetadataForTheFleet(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 200, Latency: 50 * time.Millisecond})
	for i := range 4 {
		w.Bridge(w.Settings(i == 0), nil)
	}
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().ResetCounts()
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			page, err := client.Accounts().Search(t.Context(), searchByLabel())
			if err != nil || len(page.Rows) == 0 {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	want := map[string]int{"": 1, "DateTimeAttributeMetadata": 1, "PicklistAttributeMetadata": 1, "MultiSelectPicklistAttributeMetadata": 1}
	if got := metadataReads(w); !maps.Equal(got, want) {
		t.Errorf("metadata requests %v, want %v", got, want)
	}
}

// What the fleet's copy has and Dataverse has not any more is found out by the
// first request that asks for it, and put right for all.
func TestMetadataThatIsOutOfDate(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	keys, err := tokens.ReadKeyset([]byte(w.Keyset))
	if err != nil {
		t.Fatal(err)
	}
	store := tokens.NewStore(rdb, keys)
	connection, err := store.Get(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	cache, kind := tokens.NewMetadataCache(store), "3/accounts/columns/"+connection.UserID
	at := time.Now().Add(-10 * time.Minute).UTC().Format(time.RFC3339)
	old := `{"at":"` + at + `","columns":{"cb_gone":{"Logical":"cb_gone","Type":1,"Label":"Gone","Valid":true,"Readable":true}}}`
	if err := cache.Put(t.Context(), "acme", connection.Incarnation, kind, []byte(old)); err != nil {
		t.Fatal(err)
	}
	fields, err := client.Accounts().Fields(t.Context(), messages.FieldsRequest{Target: messages.Target{Connection: "acme"}})
	if err != nil || len(fields.Fields) != 1 || fields.Fields[0].Label != "Gone" {
		t.Fatalf("the old copy is not used: %+v, %v", fields, err)
	}
	w.Emulator.Control().ResetCounts()
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, Fields: []string{"name", "cb_gone"}}
	for range 3 {
		_, err = client.Accounts().Search(t.Context(), in)
		if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.InvalidRequest || !strings.Contains(fault.Message, `no field "cb_gone"`) {
			t.Errorf("got %v", err)
		}
	}
	if got := metadataReads(w); got[""] != 1 {
		t.Errorf("metadata requests %v, want one", got)
	}
	fresh, err := cache.Get(t.Context(), "acme", connection.Incarnation, kind)
	if err != nil || strings.Contains(string(fresh), "cb_gone") || !strings.Contains(string(fresh), "cb_leadscore") {
		t.Errorf("the fleet's copy: %s, %v", fresh, err)
	}
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if left, _ := rdb.Keys(t.Context(), "*{acme}:metadata").Result(); len(left) > 0 {
		t.Errorf("left after the deletion: %v", left)
	}
}

// Redis is killed: searches with labels go on, also in a process that has no
// metadata yet.
func TestLabelsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 50})
	if w.Redis == nil {
		t.Skip("needs a redis-server that can be killed")
	}
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	if _, err := client.WhoAmI(t.Context(), "acme"); err != nil { // the token is in memory
		t.Fatal(err)
	}
	w.Redis.Kill()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		page, err := client.Accounts().Search(ctx, searchByLabel())
		cancel()
		if err != nil || len(page.Rows) == 0 {
			t.Fatal(err)
		}
	}
	if got := metadataReads(w); got["PicklistAttributeMetadata"] != 1 {
		t.Errorf("metadata requests %v, want one of a kind", got)
	}
}
