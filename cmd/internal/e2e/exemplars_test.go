package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// exemplified are the histograms whose buckets name traces, each with the labels of one series.
var exemplified = []string{
	`request_duration_seconds{operation="users.whoami"}`, `dataverse_call_duration_seconds{call="whoami"}`,
	`dataverse_queue_seconds{}`, `token_wait_seconds{}`, `job_wait_seconds{}`, `job_duration_seconds{}`,
}

// Histograms name the trace of one of the requests in a bucket; what is no trace is left out.
func TestExemplars(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1, Latency: 5 * time.Millisecond})
	settings := exemplifying(w)
	exemplify(t, w, "customer@example.com")
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	page := openMetrics(t, settings)
	if found := traceIDs(page); len(found) > 0 {
		t.Errorf("there are traces before the first: %v", found)
	}
	w.Emulator.Control().ExpireAccessTokens()
	bridgetest.Await(t, "the trace in each histogram", func() error {
		exemplify(t, w, "00-"+id+"-00f067aa0ba902b7-01")
		page = openMetrics(t, settings)
		return haveTraces(page, exemplified, func(trace string) bool { return trace == id })
	})
	if strings.Contains(page, "customer") || strings.Contains(page, "acme") {
		t.Error("the page holds what requesters chose")
	}
}

// Where spans are exported, histograms name the traces that they are of, whether or not the
// requesters sent one.
func TestExemplarsOfSpans(t *testing.T) {
	bridgetest.Long(t, "it serves requests until each histogram names a trace")
	collector := bridgetest.NewCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	w := bridgetest.New(t, emulator.Options{Accounts: 1, Latency: 5 * time.Millisecond})
	settings := exemplifying(w)
	w.Emulator.Control().ExpireAccessTokens()
	of := slices.DeleteFunc(slices.Clone(exemplified), func(series string) bool {
		return series == "job_wait_seconds{}" // it is over before a run's span begins
	})
	bridgetest.Await(t, "an exported trace in each histogram", func() error {
		exemplify(t, w, "")
		exported := map[string]bool{}
		for _, span := range collector.Spans() {
			exported[span.Trace] = true
		}
		return haveTraces(openMetrics(t, settings), of, func(trace string) bool { return exported[trace] })
	})
}

// exemplifying starts a crmbridge with two connections of one user, who may make one call at a time.
func exemplifying(w *bridgetest.World) bridge.Settings {
	settings := w.Settings(true)
	settings.UserConcurrency = "1"
	w.Bridge(settings, nil)
	w.Connect("acme")
	w.Connect("other")
	return settings
}

// exemplify makes requests and a job, which wait for each other's calls.
func exemplify(t *testing.T, w *bridgetest.World, parent string) {
	t.Helper()
	_, nc := w.Client()
	message := func(subject string) *nats.Msg {
		msg := nats.NewMsg(subject)
		if parent != "" {
			msg.Header.Set(messages.HeaderTraceParent, parent)
		}
		return msg
	}
	job := message(messages.UsersWhoAmI.JobSubject("acme", nats.NewInbox()[len("_INBOX."):]))
	job.Data = []byte("{}")
	if reply, err := nc.RequestMsg(job, answerWait); err != nil || strings.Contains(string(reply.Data), `"error"`) {
		t.Fatalf("%v %v", reply, err)
	}
	var asking errgroup.Group
	for i := range 8 {
		asking.Go(func() error {
			reply, err := nc.RequestMsg(message(messages.UsersWhoAmI.ScopedSubject([]string{"acme", "other"}[i%2])), answerWait)
			if err != nil {
				return err
			}
			switch messages.Code(reply.Header.Get(messages.HeaderErrorCode)) {
			case "", messages.Overloaded: // the user makes one call at a time, and the machine may be slow
				return nil
			}
			return errors.New(string(reply.Data))
		})
	}
	if err := asking.Wait(); err != nil {
		t.Fatal(err)
	}
}

// haveTraces reports which of the histograms has no bucket with a trace that is one of those meant.
func haveTraces(page string, of []string, meant func(trace string) bool) error {
	found := traceIDs(page)
	for _, series := range of {
		traces := found[series]
		if len(traces) == 0 {
			return fmt.Errorf("%s names no trace", series)
		}
		for _, trace := range traces {
			if !meant(trace) {
				return fmt.Errorf("%s names the trace %s", series, trace)
			}
		}
	}
	return nil
}

var exemplar = regexp.MustCompile(`(?m)^crmbridge_([a-z_]+)_bucket\{(.*?),?le="[^"]+"\} \d+ # \{(.*?)\} `)

// traceIDs are the exemplars of a page in the OpenMetrics format, by histogram.
func traceIDs(page string) map[string][]string {
	found := map[string][]string{}
	for _, match := range exemplar.FindAllStringSubmatch(page, -1) {
		id, _ := strings.CutPrefix(match[3], `trace_id="`)
		series := match[1] + "{" + match[2] + "}"
		found[series] = append(found[series], strings.TrimSuffix(id, `"`))
	}
	return found
}

// openMetrics is the page of a process in the OpenMetrics format, which has exemplars.
func openMetrics(t *testing.T, settings bridge.Settings) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+settings.AdminAddr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/openmetrics-text") {
		t.Fatalf("%s", response.Header.Get("Content-Type"))
	}
	return string(body)
}
