package durable

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A tally counts what is asked of JetStream, by what it is and of which stream.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	grew   chan struct{}
}

// askedOf names a request to JetStream; "" is none of a job's.
func askedOf(subject string) string {
	for prefix, name := range map[string]string{"$JS.API.STREAM.MSG.GET.": "get ", "$JS.API.STREAM.MSG.DELETE.": "delete ",
		"$JS.API.DIRECT.GET.": "direct get ", "$JS.API.STREAM.INFO.": "info "} {
		if stream, ok := strings.CutPrefix(subject, prefix); ok {
			return name + stream
		}
	}
	for _, stream := range []string{"state", "results", "dead"} {
		if strings.HasPrefix(subject, "crm."+stream+".") {
			return "publish " + stream
		}
	}
	return ""
}

// tally begins to count.
func (r *rig) tally() *tally {
	r.Helper()
	t := &tally{counts: map[string]int{}, grew: make(chan struct{}, 1)}
	nc, err := nats.Connect(r.server.ClientURL())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(nc.Close)
	if _, err = nc.Subscribe(">", func(msg *nats.Msg) {
		if what := askedOf(msg.Subject); what != "" {
			t.mu.Lock()
			t.counts[what]++
			t.mu.Unlock()
			select {
			case t.grew <- struct{}{}:
			default:
			}
		}
	}); err != nil {
		r.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		r.Fatal(err)
	}
	return t
}

// await waits until something was asked n times, and returns all counts.
func (t *tally) await(r *rig, what string, n int) map[string]int {
	r.Helper()
	for end := time.After(time.Minute); ; {
		t.mu.Lock()
		counts := maps.Clone(t.counts)
		t.mu.Unlock()
		if counts[what] >= n {
			return counts
		}
		select {
		case <-t.grew:
		case <-end:
			r.Fatalf("%d times %q within a minute: %v", n, what, counts)
		}
	}
}

// A job of one call takes six round trips to JetStream, and none of them twice: its claim, its
// message, the end of its results, its page, its record and its message's deletion. How full
// the results are is asked once a second and process, not once a job.
func TestASmallJobTakesSixRoundTrips(t *testing.T) {
	const jobs, slots = 40, 8
	r := newRig(t)
	for i := range jobs {
		r.publish(someOp, fmt.Sprintf("j%d", i), `{}`)
	}
	asked := r.tally()
	began := time.Now()
	r.process(only(counter{rows: 5}.route()), slots, func(l *Lane) {
		l.options.Heartbeat, l.recountEvery = time.Hour, time.Hour
	})
	counts := asked.await(r, "delete "+messages.JobsStream, jobs)
	for what, n := range map[string]int{"publish state": 2 * jobs, "get " + messages.JobsStream: jobs,
		"get " + messages.ResultsStream: jobs, "publish results": jobs, "delete " + messages.JobsStream: jobs} {
		if counts[what] != n {
			t.Errorf("%q %d times for %d jobs, want %d", what, counts[what], jobs, n)
		}
		delete(counts, what)
	}
	// The streams are looked at when the process starts, then by each of the first pages, and from
	// then on once a second.
	if most := 4 + slots + int(time.Since(began)/shareAge); counts["info "+messages.ResultsStream] > most {
		t.Errorf("%d looks at %s, want %d at most", counts["info "+messages.ResultsStream], messages.ResultsStream, most)
	}
	for what, n := range counts {
		if !strings.HasPrefix(what, "info ") {
			t.Errorf("%q %d times besides", what, n)
		}
	}
}

// jobs.get of a job that has ended reads its record and asks how many results there are; the
// results themselves, which a server may have to fetch from its disk, are not read.
func TestGetOfAnEndedJobReadsNoResults(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 25}.route()), nil)
	r.publish(someOp, "j", `{}`)
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	asked := r.tally()
	for range 3 {
		job, err := l.Get(t.Context(), "acme", "j")
		if err != nil || job.State != messages.JobDone || job.Pages != 3 || job.Rows != 25 {
			t.Fatalf("%+v, %v", job, err)
		}
	}
	counts := asked.await(r, "info "+messages.ResultsStream, 3)
	if counts["get "+messages.StateStream] != 3 || counts["info "+messages.ResultsStream] != 3 || len(counts) != 2 {
		t.Errorf("three times: %v", counts)
	}
}
