package durable

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// jobs.list of a connection with 100 jobs and jobs.get of one, among as many records as
// CRMBRIDGE_BENCH_RECORDS says (100,000), of connections with 100 each. Each job has a result.
func BenchmarkOperationsAmongManyRecords(b *testing.B) {
	records := 100_000
	if text := os.Getenv("CRMBRIDGE_BENCH_RECORDS"); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	r := newRig(b)
	nc, err := nats.Connect(r.server.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	total, finished := int64(5000), time.Now()
	for i := range records {
		connection, id := fmt.Sprintf("c%06d", i/100), fmt.Sprintf("01a22aba-4031-73f2-9d61-%012d", i)
		body, err := json.Marshal(messages.JobRecord{Form: messages.JobForm, RequestID: id, Beat: 9,
			Job: messages.Job{ID: id, Connection: connection, Operation: someOp, State: messages.JobDone,
				Pages: 1, Rows: total, Total: &total,
				QueuedAt: finished, StartedAt: &finished, FinishedAt: &finished, Incarnation: "inc-1",
				Digest: "0123456789abcdef0123456789abcdef"}})
		if err != nil {
			b.Fatal(err)
		}
		if err := nc.Publish(messages.StateSubject(connection, id), body); err != nil {
			b.Fatal(err)
		}
		msg := nats.NewMsg(messages.ResultSubject(connection, id))
		msg.Header.Set(messages.HeaderPage, "1")
		msg.Header.Set(messages.HeaderRows, "5000")
		msg.Header.Set(messages.HeaderIncarnation, "inc-1")
		msg.Data = make([]byte, 512)
		if err := nc.PublishMsg(msg); err != nil {
			b.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		b.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		stream, err := r.js.Stream(b.Context(), messages.StateStream)
		if err == nil && stream.CachedInfo().State.Msgs >= uint64(records) {
			break
		}
		if time.Now().After(deadline) {
			b.Fatal("the records are not all stored")
		}
	}
	connection := func(i int) string { return fmt.Sprintf("c%06d", i*7919%(records/100)) }
	for i := range records / 100 {
		r.connections.set(fmt.Sprintf("c%06d", i), "inc-1")
	}
	l := r.lane("one", r.js, nil, nil)
	b.Run("list", func(b *testing.B) {
		for i := range b.N {
			reply, err := l.List(b.Context(), messages.JobsListRequest{Target: messages.Target{Connection: connection(i)},
				PageSize: 100}, 1<<20)
			if err != nil || len(reply.Jobs) != 100 {
				b.Fatalf("%d jobs, %v", len(reply.Jobs), err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		for i := range b.N {
			of := connection(i)
			n, _ := strconv.Atoi(of[1:])
			if _, err := l.Get(b.Context(), of, fmt.Sprintf("01a22aba-4031-73f2-9d61-%012d", n*100+i%100)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
