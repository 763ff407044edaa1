package handlers

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A sample is a request whose answer is always the same.
type sample struct {
	operation messages.Operation
	body      string
}

const counting = `{"include_total":true,"page_size":7,"order_by":["name"]}`

// samplesOf are requests whose answers depend on the table's metadata, or on its rows.
func samplesOf(of tested) (all []sample) {
	for verb, bodies := range map[messages.Verb][]string{
		messages.VerbSearch: {
			counting,
			fmt.Sprintf(`{"include_total":true,"page_size":5,"where":{"field":%q,"op":"has_value"},"order_by":["name"]}`,
				of.choices),
			fmt.Sprintf(`{"page_size":100,"fields":["id",%q,"cb_lastcampaign"],"order_by":["-cb_lastcampaign"]}`, of.choices),
			`{"where":{"field":"name","op":"is_null"}}`,
		},
		messages.VerbCount: {
			`{}`, `{"where":{"field":"cb_lastcampaign","op":"has_value"}}`, `{"where":{"field":"status","op":"eq","value":"active"}}`,
			`{"where":{"field":"cb_channels","op":"has_value"}}`, `{"where":{"field":"cb_interests","op":"has_value"}}`,
			`{"where":{"field":"cb_tags","op":"has_value"}}`, `{"where":{"field":"email","op":"has_value"}}`,
		},
		messages.VerbFields: {`{}`, `{"custom_only":true}`},
	} {
		for _, body := range bodies {
			all = append(all, sample{of.table.Operation(verb), body})
		}
	}
	return all
}

// process is one more process with the operations of an environment; its catalog begins
// empty. Without a fleet it shares no metadata.
func (e *emulated) process(t *testing.T, fleet bool) map[messages.Operation]route.Route {
	t.Helper()
	operations := *e.operations
	var cache plan.Cache
	if fleet {
		cache = tokens.NewMetadataCache(operations.Store)
	}
	operations.Catalog = plan.NewCatalog(cache, 0, slog.New(slog.DiscardHandler))
	return routesOf(t, &operations)
}

// answerOf is the answer of a process, without its cursor: no two of these are equal.
func answerOf(t *testing.T, routes map[messages.Operation]route.Route, s sample) map[string]any {
	answer := routes[s.operation].Serve(t.Context(), route.Call{Operation: s.operation, RequestID: "x", Scope: "acme",
		Connection: "acme",
		Deadline:   time.Now().Add(time.Minute), Budget: 1 << 20}, []byte(s.body))
	for part, err := range answer.Parts {
		if err != nil {
			return map[string]any{"error": err.Error()}
		}
		var reply map[string]any
		if err := json.Unmarshal(part.Body, &reply); err != nil {
			t.Error(err)
		}
		delete(reply, "next_cursor")
		return reply
	}
	return nil
}

// Tables that are asked for side by side, by several processes with one cache of metadata
// between them, some of which are new and know nothing, answer as each does alone.
func TestTablesSideBySide(t *testing.T) {
	e := emulateThree(t, 30).connect(t)
	for i, of := range testedTables() { // so that no two have as many rows
		control := e.control.Table(of.table.Set)
		var ids []string
		for row := range control.Rows() {
			ids = append(ids, row[of.table.Key].(string))
		}
		for _, id := range ids[:5*i] {
			control.Delete(id)
		}
	}
	want := map[sample]map[string]any{}
	var samples []sample
	for i, of := range testedTables() {
		alone := e.process(t, false)
		for _, s := range samplesOf(of) {
			want[s] = answerOf(t, alone, s)
			samples = append(samples, s)
		}
		columns, _ := want[sample{of.table.Operation(messages.VerbFields), "{}"}]["fields"].([]any)
		total := want[sample{of.table.Operation(messages.VerbSearch), counting}]["total"]
		if total != float64(30-5*i) || len(columns) < 10 {
			t.Fatalf("%s: %d columns, %v rows", of.table.Name, len(columns), total)
		}
	}
	const requesters, requests = 4, 60
	processes := []map[messages.Operation]route.Route{e.process(t, true), e.process(t, true)}
	seed := rand.Uint64()
	var mu sync.Mutex
	var group sync.WaitGroup
	for requester := range requesters {
		rng := rand.New(rand.NewPCG(seed, uint64(requester)))
		group.Go(func() {
			for range requests {
				s := samples[rng.IntN(len(samples))]
				which, renewed := rng.IntN(len(processes)), rng.IntN(10) == 0
				var young map[messages.Operation]route.Route
				if renewed {
					young = e.process(t, true)
				}
				mu.Lock()
				if renewed {
					processes[which] = young
				}
				process := processes[which]
				mu.Unlock()
				if got := answerOf(t, process, s); !reflect.DeepEqual(got, want[s]) {
					t.Errorf("seed %d: %s %s: %.300v, want %.300v", seed, s.operation, s.body, got, want[s])
				}
			}
		})
	}
	group.Wait()
}
