package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

const answerWait = time.Minute

// copyConnection stores a connection so many times under other names, as package tokens does.
func copyConnection(t *testing.T, w *bridgetest.World, of string, copies []string) {
	t.Helper()
	options, err := redis.ParseURL(w.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	keys, err := tokens.ReadKeyset([]byte(w.Keyset))
	if err != nil {
		t.Fatal(err)
	}
	key := func(name string) string { return "crmbridge:{" + name + "}:grant" }
	data := func(name, incarnation string) []byte {
		return []byte("crmbridge/grant/v1\x00" + key(name) + "\x00" + incarnation)
	}
	stored := client.HGetAll(t.Context(), key(of)).Val()
	plain, err := keys.Open([]byte(stored["sealed"]), data(of, stored["inc"]))
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	from := json.NewDecoder(bytes.NewReader(plain))
	from.UseNumber()
	if err := from.Decode(&record); err != nil {
		t.Fatal(err)
	}
	connection := record["connection"].(map[string]any)
	for len(copies) > 0 {
		batch := copies[:min(len(copies), 500)]
		copies = copies[len(batch):]
		if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for _, name := range batch {
				incarnation := uuid.NewString()
				connection["ID"], connection["Incarnation"], connection["Version"] = name, incarnation, 1
				connection["UserID"] = uuid.NewString()
				plain, err := json.Marshal(record)
				if err != nil {
					return err
				}
				sealed, err := keys.Seal(plain, data(name, incarnation))
				if err != nil {
					return err
				}
				p.HSet(t.Context(), key(name), "inc", incarnation, "ver", 1, "wid", uuid.NewString()[:12], "sealed", sealed)
				p.ZAdd(t.Context(), "crmbridge:connections", redis.Z{Member: name})
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// However many connections, request ids and traces there are, and whatever becomes of the
// requests, the series are as many as before.
func TestSeriesAreBounded(t *testing.T) {
	bridgetest.Long(t, "10,000 connections are asked 50,000 times")
	connections, requests := 10_000, 50_000
	if raceDetector { // it has seen the code that counts by then, and takes ten times as long
		connections, requests = 1000, 5000
	}
	const askers = 64
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	w.Tables = bridge.AllTables()
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	w.Connect("acme")
	names := make([]string, connections)
	for i := range names {
		names[i] = fmt.Sprintf("customer-%d", i)
	}
	copyConnection(t, w, "acme", names)
	before := series(metricsOf(t, settings))

	tables := messages.Tables()
	ask := func(i int) (subject, body string) {
		switch table := tables[i%len(tables)]; {
		case i < connections:
			return messages.UsersWhoAmI.ScopedSubject(names[i]), ""
		case i%10 == 1:
			return table.Operation(messages.VerbSearch).ScopedSubject("acme"), `{"page_size":1}`
		case i%10 == 2:
			return table.Operation(messages.VerbCount).ScopedSubject("acme"), `{}`
		case i%10 == 3:
			return table.Operation(messages.VerbGet).ScopedSubject("acme"), fmt.Sprintf(`{"made_up_%d":1}`, i)
		case i%10 == 4:
			return messages.JobsGet.ScopedSubject(names[i%connections]), fmt.Sprintf(`{"job_id":"job-%d"}`, i)
		default:
			return table.Operation(messages.Verbs()[i%len(messages.Verbs())]).ScopedSubject(fmt.Sprintf("nobody-%d", i)), `{}`
		}
	}
	var next, ok atomic.Int64
	var asking sync.WaitGroup
	for range askers {
		nc, err := nats.Connect(w.NATSURL)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < requests; i = int(next.Add(1)) - 1 {
				subject, body := ask(i)
				msg := nats.NewMsg(subject)
				msg.Data = []byte(body)
				msg.Header.Set(messages.HeaderRequestID, fmt.Sprintf("request-%d", i))
				msg.Header.Set(messages.HeaderTraceParent, fmt.Sprintf("00-%032x-%016x-01", i+1, i+1))
				ctx, cancel := context.WithTimeout(t.Context(), answerWait)
				reply, err := nc.RequestMsgWithContext(ctx, msg)
				cancel()
				if err != nil {
					t.Errorf("%s: %v", subject, err)
					return
				}
				if reply.Header.Get(messages.HeaderErrorCode) == "" {
					ok.Add(1)
				}
			}
		})
	}
	asking.Wait()
	page := metricsOf(t, settings)
	after := series(page)
	t.Logf("%d series before, %d after; %d of %d requests succeeded, for %d tables", before, after, ok.Load(), requests,
		len(tables))
	if most := mostSeries(len(tables)); after > most {
		t.Errorf("%d series, and %d may be", after, most)
	}
	// The copies act as one user, whom Dataverse answers 6,000 times in 5 minutes.
	if int(ok.Load()) < connections/2 {
		t.Errorf("only %d requests succeeded", ok.Load())
	}
	for _, chosen := range []string{"customer-", "nobody-", "request-", "made_up", "acme"} {
		if strings.Contains(page, chosen) {
			t.Errorf("the page holds %q", chosen)
		}
	}
}
