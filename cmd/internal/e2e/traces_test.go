package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// requesting is a context with the span of a requester that records its spans elsewhere.
func requesting(ctx context.Context) (context.Context, trace.SpanContext) {
	of := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0xa, 1, 2, 3}, SpanID: trace.SpanID{0xb, 4, 5, 6}, TraceFlags: trace.FlagsSampled})
	return trace.ContextWithSpanContext(ctx, of), of
}

// A request is one trace, from the requester's span on: what it waited for, its token, each page
// of Dataverse, and the reply. A job's run is a trace of its own that names its publisher's.
func TestOneTraceOfARequestAndOfAJob(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) { // not in parallel: it sets the environment
			bridgetest.Long(t, "it serves a request and a job, with all that they take")
			collector := bridgetest.NewCollector(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP)
			if protocol == "grpc" {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.GRPC)
			}
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
			w := bridgetest.New(t, emulator.Options{Accounts: 25})
			settings := w.Settings(true)
			log := &bridgetest.Buffer{}
			w.Bridge(settings, log)
			w.Connect("acme")
			client, nc := w.Client()
			w.Emulator.Control().ExpireAccessTokens()

			ctx, from := requesting(t.Context())
			target := messages.Target{Connection: "acme"}
			if _, err := client.Accounts().Search(ctx, messages.SearchRequest{Target: target, PageSize: 10}); err != nil {
				t.Fatal(err)
			}
			const fine, searched = "process crm.accounts.search.request.{connection}", "dataverse accounts.page"
			find := func(in []bridgetest.Span, name string) (found bridgetest.Span) {
				if i := slices.IndexFunc(in, func(s bridgetest.Span) bool { return s.Name == name }); i >= 0 {
					found = in[i]
				}
				return found
			}
			var all []bridgetest.Span
			bridgetest.Await(t, "the spans of a request", func() error {
				all = nil
				for _, s := range collector.Spans() {
					if s.Trace == from.TraceID().String() {
						all = append(all, s)
					}
				}
				for _, name := range []string{fine, "wait for a place", "token", "token refresh", searched, "reply"} {
					if find(all, name).ID == "" {
						return fmt.Errorf("no %s in %v", name, all)
					}
				}
				return nil
			})
			root := find(all, fine)
			if root.Parent != from.SpanID().String() {
				t.Errorf("the parent is %s, not the requester's %s", root.Parent, from.SpanID())
			}
			ids := map[string]string{}
			for _, s := range all {
				ids[s.ID] = s.Name
			}
			for _, s := range all {
				want := fine
				switch s.Name {
				case fine:
					continue
				case "token refresh", "token wait":
					want = "token"
				}
				if ids[s.Parent] != want {
					t.Errorf("the parent of %s is %q", s.Name, ids[s.Parent])
				}
			}
			for name, want := range map[string]string{"messaging.system": "nats", "messaging.operation.type": "process",
				"messaging.destination.template": "crm.accounts.search.request.{connection}", "crm.connection": "acme",
				"crm.code": "ok"} {
				if root.Attributes[name] != want {
					t.Errorf("%s is %q", name, root.Attributes[name])
				}
			}
			if root.Numbers["crm.rows"] != 10 || root.Attributes["crm.request_id"] == "" {
				t.Errorf("rows and request id: %v %v", root.Numbers, root.Attributes)
			}
			line := "trace_id=" + root.Trace + " span_id=" + root.ID
			bridgetest.Await(t, "the request's log line", func() error {
				if !strings.Contains(log.String(), line) {
					return errors.New("no " + line + " in " + log.String())
				}
				return nil
			})

			r := newRequester(t, nc)
			if _, err := client.Accounts().SearchJob(ctx, messages.SearchRequest{Target: target, PageSize: 10},
				messages.JobPublication{ID: "traced"}); err != nil {
				t.Fatal(err)
			}
			r.await("traced", messages.JobDone)
			bridgetest.Await(t, "the spans of a job", func() error {
				const name = "process crm.accounts.search.job.{connection}.{job}"
				job := find(collector.Spans(), name)
				pages, stored := 0, 0
				for _, s := range collector.Spans() {
					if s.Trace == job.Trace && s.Parent == job.ID {
						switch s.Name {
						case searched:
							pages++
						case "store results":
							stored++
						}
					}
				}
				if pages == 0 || stored == 0 || job.Parent != "" || !slices.Equal(job.Linked, []string{from.SpanID().String()}) ||
					job.Attributes["crm.job"] != "traced" || job.Attributes["crm.code"] != "ok" || job.Numbers["crm.rows"] != 25 {
					return fmt.Errorf("%d pages, %d times stored, %+v", pages, stored, job)
				}
				return nil
			})
		})
	}
}

// A collector that takes connections and says nothing holds up neither answers nor the stop.
func TestADeadCollectorHoldsNothingUp(t *testing.T) {
	bridgetest.Long(t, "it stops a process that cannot export")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
	w := bridgetest.New(t, emulator.Options{Accounts: 5})
	settings := w.Settings(true)
	stop := bridgetest.Serving(t, settings)
	w.Connect("acme")
	client, _ := w.Client()
	for range 10 {
		if _, err := client.WhoAmI(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
	}
	_, metrics, err := bridgetest.AdminPage(settings.AdminAddr, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(metrics, `crmbridge_spans_dropped_total{reason="queue_full"} 0`) ||
		!strings.Contains(metrics, `crmbridge_spans_dropped_total{reason="queue_full"}`) {
		t.Error("no dropped span is counted")
	}
	begun := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	// The grace is 20 s and a tenth of it is for spans; the SDK itself would wait for 30 s.
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

// await waits until a job has a state.
func (r requester) await(id string, state messages.JobState) {
	r.Helper()
	bridgetest.Await(r.TB, "the end of the job", func() error {
		reply, err := r.nc.Request("crm.jobs.get.request.acme", []byte(`{"job_id":"`+id+`"}`), 10*time.Second)
		if err != nil {
			return err
		}
		var read struct {
			Job struct{ State messages.JobState }
		}
		if err := json.Unmarshal(reply.Data, &read); err != nil || read.Job.State != state {
			return fmt.Errorf("%s, %v", reply.Data, err)
		}
		return nil
	})
}
