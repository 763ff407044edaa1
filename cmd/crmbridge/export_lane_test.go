package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// An export of a real job that is killed ten times is the file that its stored pages make,
// and has the rows of another job.
func TestExportOfAJobIsKilled(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "exports tens of thousands of rows, and kills processes")
	const accounts = 40_000
	w := bridgetest.New(t, emulator.Options{Accounts: accounts})
	w.Bridge(w.Settings(true), nil)
	w.Connect("demo")
	folder := t.TempDir()
	out := filepath.Join(folder, "killed.jsonl")
	fields := "--fields=id,name,website,phone,email,city,country,industry,employees,revenue,created_at,owner"
	args := []string{"accounts", "export", "demo", "--out", out, fields, "--total", "--nats-url=" + w.NATSURL}
	want, inMidst := "", 0
	client, _ := w.Client()
	for kills := range 10 {
		cmd := bridgetest.Program(t, nil, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before, atLeast := sizeOf(out), rand.Int64N(500_000)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		bridgetest.Await(t, "progress", func() error {
			if grown := sizeOf(out) - before; grown < atLeast && len(ended) == 0 {
				return fmt.Errorf("%d bytes", grown)
			}
			return nil
		})
		time.Sleep(time.Duration(rand.IntN(5_000)) * time.Microsecond)
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		side, err := os.ReadFile(sideFile(out))
		if err != nil && kills > 3 {
			break // it was faster than all the kills
		}
		var state exportState
		if err := json.Unmarshal(side, &state); err != nil {
			t.Fatalf("after %d kills: %v", kills+1, err)
		}
		if state.Page > 0 {
			inMidst++
		}
		if want == "" && state.Published {
			want = storedPages(t, client, out, strings.Split(strings.TrimPrefix(fields, "--fields="), ","))
		}
	}
	if t.Logf("%d kills came with a part of the file", inMidst); inMidst < 3 {
		t.Error("that is too few")
	}
	if _, err := os.Stat(sideFile(out)); err != nil {
		t.Log("it was done before the last kill")
	} else if said, err := bridgetest.Program(t, nil, args...).CombinedOutput(); err != nil ||
		!strings.Contains(string(said), fmt.Sprint(accounts, " accounts in ")) {
		t.Fatalf("%v: %s", err, said)
	}
	got := readFile(t, out)
	if got != want {
		t.Errorf("%d bytes, not the %d bytes of the job's pages", len(got), len(want))
	}
	other := filepath.Join(folder, "other.jsonl")
	if said, err := bridgetest.Program(t, nil, "accounts", "export", "demo", "--out", other, fields, "--sequential",
		"--zstd", "--nats-url="+w.NATSURL,
		"--consumer=demo-reader").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	rows, others := strings.Split(got, "\n"), strings.Split(readFile(t, other), "\n")
	slices.Sort(rows)
	slices.Sort(others)
	if len(rows) != accounts+1 || !slices.Equal(rows, others) {
		t.Errorf("%d rows, and another job has %d others", len(rows)-1, len(others)-1)
	}
	for job, err := range client.Jobs().All(t.Context(),
		messages.JobsListRequest{Target: messages.Target{Connection: "demo"}}) {
		t.Errorf("left: %+v, %v", job, err)
	}
}

// storedPages is what the stored pages of an export's job make, in one go.
func storedPages(t *testing.T, client *messages.Client, out string, fields []string) string {
	t.Helper()
	var state exportState
	if err := json.Unmarshal([]byte(readFile(t, sideFile(out))), &state); err != nil {
		t.Fatal(err)
	}
	format := newRowFormat(out, messages.Accounts, fields, exportShape{})
	var whole strings.Builder
	for result, err := range client.Jobs().Results(t.Context(), "demo", state.JobID, messages.ResultsOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		page, err := format.page(result)
		if err != nil {
			t.Fatal(err)
		}
		whole.Write(page.lines)
	}
	return whole.String()
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What publishers are told by a deployment: a job that is known, one that has ended, another
// one under its id, and that a count is no acknowledgement.
func TestPublishersOfADeployment(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	w.Bridge(w.Settings(true), nil)
	w.Connect("demo")
	client, _ := w.Client()
	demo := messages.Target{Connection: "demo"}
	publish := func(where string) (*messages.PublishedJob, error) {
		in := messages.CountRequest{Target: demo}
		if where != "" {
			has := messages.HasValue(where)
			in.Where = &has
		}
		return client.Accounts().CountJob(t.Context(), in, messages.JobPublication{ID: "once"})
	}
	for round, known := range []bool{false, true, true} {
		if job, err := publish(""); err != nil || job.Known != known {
			t.Fatalf("round %d: %+v, %v", round, job, err)
		}
		if round != 1 {
			continue
		}
		rounds := 0
		for result, err := range client.Jobs().Results(t.Context(), "demo", "once", messages.ResultsOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			reply, err := messages.ReadResult(result, messages.NewCodec[messages.CountReply]())
			if rounds++; err != nil || reply.Count != 10 || !result.Last {
				t.Errorf("%+v, %v", reply, err)
			}
		}
		if rounds != 1 {
			t.Errorf("%d results", rounds)
		}
		bridgetest.Await(t, "the end of the job", func() error { // its record follows its last result
			if job, err := client.Jobs().Get(t.Context(), "demo", "once"); err != nil || job.State != messages.JobDone {
				return fmt.Errorf("%+v, %w", job, err)
			}
			return nil
		})
	}
	folder := t.TempDir()
	var said strings.Builder
	status := run([]string{"accounts", "export", "demo", "--out", filepath.Join(folder, "a.csv"),
		"--where=citi = London", "--nats-url=" + w.NATSURL}, &said, &said)
	if status != 1 || !strings.Contains(said.String(), "invalid_request: --where: there is no field \"citi\"") ||
		!strings.Contains(said.String(), "\n  citi = London\n  ^^^^\n") {
		t.Errorf("status %d: %s", status, said.String())
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if job, err := publish("name"); err == nil || !isCode(err, messages.InvalidRequest) {
		t.Errorf("another job under the id: %+v, %v", job, err)
	}
}
