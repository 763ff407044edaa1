package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// exporting is a lane that stores prepared pages for every job that searches accounts of acme.
type exporting struct {
	*messagestest.Lane
	t *testing.T

	mu   sync.Mutex
	jobs []string // subject and body of each job
	// turns has one for each page that may come; nil where all come at once.
	turns chan struct{}
}

func newExporting(t *testing.T, pages []string, end messages.JobState) *exporting {
	t.Helper()
	e := &exporting{Lane: messagestest.NewLane(t, nil), t: t}
	e.Answer()
	nc := e.Connect()
	if _, err := nc.Subscribe("crm.accounts.search.job.acme.*", func(msg *nats.Msg) {
		op, connection, id, _ := messages.ParseJobSubject(msg.Subject)
		e.mu.Lock()
		e.jobs = append(e.jobs, msg.Subject+" "+string(msg.Data))
		turns := e.turns
		e.mu.Unlock()
		e.Record(messages.JobRecord{Job: messages.Job{ID: id, Connection: connection, Operation: op,
			State: messages.JobRunning, Incarnation: "i"}})
		for i, body := range pages {
			if turns != nil {
				select {
				case <-turns:
				case <-t.Context().Done():
					return
				}
			}
			headers := []string{messages.HeaderIncarnation, "i"}
			if i == len(pages)-1 && end != messages.JobRunning {
				headers = append(headers, messages.HeaderLast, "true")
			}
			if strings.Contains(body, `"error"`) {
				headers = append(headers, messages.HeaderErrorCode, "invalid_request")
			}
			if strings.Contains(string(msg.Data), `"encoding":"zstd"`) {
				headers = append(headers, messages.HeaderContentEncoding, messages.EncodingZstd)
				body = string(compressed(t, body))
			}
			e.Result(connection, id, i+1, body, headers...)
		}
		e.Record(messages.JobRecord{Job: messages.Job{ID: id, Connection: connection, Operation: op, State: end,
			Incarnation: "i"}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return e
}

func compressed(t *testing.T, body string) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Error(err) // not the end of a callback that calls it
		return nil
	}
	defer func() { _ = encoder.Close() }()
	return encoder.EncodeAll([]byte(body), nil)
}

func (e *exporting) published() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs
}

// stored is how many messages the stream of results has.
func (e *exporting) stored() uint64 {
	e.t.Helper()
	stream, err := e.JS.Stream(e.t.Context(), messages.ResultsStream)
	if err != nil {
		e.t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// run is the program with this lane's server.
func (e *exporting) run(args ...string) (status int, stdout, stderr string) {
	var out, diag strings.Builder
	status = run(append(args, "--nats-url="+e.Server.ClientURL()), &out, &diag)
	return status, out.String(), diag.String()
}

const (
	firstPage = `{"request_id":"r","connection":"acme","accounts":[{"id":"1","name":"A, \"B\"\nC","website":null,"classification":{"value":1,"label":"Default Value"},"industry":{"value":7,"label":"Consulting"}},{"id":"2","name":"Zoë","website":"https://x","classification":null,"industry":null,"extra":1.50}]}`
	lastPage  = `{"request_id":"r","connection":"acme","accounts":[{"name":"東京","id":"3"}]}`
	csvWhole  = "id,name,website,classification,industry\n1,\"A, \"\"B\"\"\nC\",,Default Value,Consulting\n2,Zoë,https://x,,\n3,東京,,,\n"
	lineWhole = `{"id":"1","name":"A, \"B\"\nC","website":null,"classification":{"value":1,"label":"Default Value"},"industry":{"value":7,"label":"Consulting"}}
{"id":"2","name":"Zoë","website":"https://x","classification":null,"industry":null,"extra":1.50}
{"name":"東京","id":"3"}
`
)

// What the command publishes, writes and leaves.
func TestExport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, file, asked, want string }{
		{"", "a.csv", `{"connection":"acme"}`, csvWhole},
		{"", "a.jsonl", `{"connection":"acme"}`, lineWhole},
		{"--consumer acme-reader", "a.jsonl", `{"connection":"acme"}`, lineWhole},
		{"--zstd --sequential --limit=9 --total --order-by=-name --fields=name,id --where city=London", "A.CSV",
			`{"parallel":false,"encoding":"zstd","connection":"acme","where":{"field":"city","op":"eq","value":"London"},"fields":["name","id"],"order_by":["-name"],"limit":9,"include_total":true}`,
			"name,id\n\"A, \"\"B\"\"\nC\",1\nZoë,2\n東京,3\n"},
	} {
		t.Run(test.file+test.args, func(t *testing.T) {
			e := newExporting(t, []string{firstPage, `{"accounts":[]}`, lastPage}, messages.JobDone)
			out := filepath.Join(t.TempDir(), test.file)
			status, stdout, stderr := e.run(append([]string{"accounts", "export", "acme", "--out", out},
				strings.Fields(test.args)...)...)
			if status != 0 || stdout != "" || stderr != "3 accounts in "+out+"\n" {
				t.Fatalf("status %d: %s%s", status, stdout, stderr)
			}
			holds(t, out, test.want)
			onlyFile(t, out)
			if jobs := e.published(); len(jobs) != 1 || !strings.HasSuffix(jobs[0], " "+test.asked) {
				t.Errorf("published %s", jobs)
			}
			if n := e.stored(); n != 0 {
				t.Errorf("%d results are left", n)
			}
			if status, _, stderr = e.run("accounts", "export", "acme", "--out", out); status != program.ExitUsage ||
				!strings.Contains(stderr, "is there already") {
				t.Errorf("again: status %d, %s", status, stderr)
			}
			holds(t, out, test.want)
		})
	}
}

// Other tables have the command, and --json says what was done.
func TestExportOfOtherTables(t *testing.T) {
	e := newExporting(t, []string{firstPage}, messages.JobDone)
	out := filepath.Join(t.TempDir(), "x.jsonl")
	nc := e.Connect()
	if _, err := nc.Subscribe("crm.contacts.search.job.acme.*", func(msg *nats.Msg) {
		op, connection, id, _ := messages.ParseJobSubject(msg.Subject)
		e.Record(messages.JobRecord{Job: messages.Job{ID: id, Connection: connection, Operation: op,
			State: messages.JobDone}})
		e.Result(connection, id, 1, `{"contacts":[{"id":"1"}]}`, messages.HeaderLast, "true")
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := e.run("contacts", "export", "acme", "--json", "--out", out)
	if status != 0 || !strings.Contains(stdout, `"rows": 1`) || !strings.Contains(stdout, `"job_id": "`) ||
		stderr != "" {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	holds(t, out, `{"id":"1"}`+"\n")
}

// What an export is refused for, and what it leaves as it was.
func TestExportRefusals(t *testing.T) {
	t.Parallel()
	e := newExporting(t, []string{firstPage, lastPage}, messages.JobRunning) // the end does not come
	folder := t.TempDir()
	out := filepath.Join(folder, "a.csv")
	begin := func() {
		t.Helper()
		cmd := bridgetest.Program(t, nil, "accounts", "export", "acme", "--out", out, "--limit=3",
			"--nats-url="+e.Server.ClientURL())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		bridgetest.Await(t, "two pages in the file", func() error {
			side, err := os.ReadFile(sideFile(out))
			if err == nil && !strings.Contains(string(side), `"page": 2`) {
				err = fmt.Errorf("the side file has %s", side)
			}
			return err
		})
		if status, _, stderr := e.run("accounts", "export", "acme", "--out", out,
			"--limit=3"); status != program.ExitUsage || !strings.Contains(stderr, "another export writes") {
			t.Errorf("beside another: status %d, %s", status, stderr)
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	begin()
	side, err := os.ReadFile(sideFile(out))
	if err != nil {
		t.Fatal(err)
	}
	holds(t, out, csvWhole)
	holds(t, sideFile(out), string(side))
	whole, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args, side string
		file       string // what the file holds before
		says       string
	}{
		"another filter": {args: "accounts export acme --limit=3 --where city=London",
			says: "begun with another --where"},
		"another limit":      {args: "accounts export acme", says: "begun with another --limit"},
		"another connection": {args: "accounts export globex --limit=3", says: "begun with another connection"},
		"another table":      {args: "contacts export acme --limit=3", says: "begun with another table"},
		"another order":      {args: "accounts export acme --limit=3 --order-by=name", says: "another --order-by"},
		"other fields":       {args: "accounts export acme --limit=3 --fields=name", says: "another --fields"},
		"zstd":               {args: "accounts export acme --limit=3 --zstd", says: "another --zstd"},
		"sequential":         {args: "accounts export acme --limit=3 --sequential", says: "another --sequential"},
		"a short file":       {file: "id,name\n", says: "is shorter than"},
		"no side file":       {side: "-", says: "is there already"},
		"a bad side file":    {side: "{", says: "may be your only copy: move it away"},
		"a bad id": {side: strings.Replace(string(side), `"job_id": "`, `"job_id": "*.`, 1),
			says: "cannot be read"},
		"a negative offset": {side: strings.Replace(string(side), `"offset": `, `"offset": -`, 1),
			says: "cannot be read"},
		"a newer side file": {side: strings.Replace(string(side), `"form": 1`, `"form": 3`, 1), says: "newer version"},
		"a huge side file":  {side: strings.Repeat(" ", mostState) + string(side), says: "is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			text, held := string(side), string(whole)
			if test.side != "" {
				text = test.side
			}
			if test.file != "" {
				held = test.file
			}
			for name, text := range map[string]string{sideFile(out): text, out: held} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if text == "-" {
				if err := os.Remove(sideFile(out)); err != nil {
					t.Fatal(err)
				}
			}
			args := test.args
			if args == "" {
				args = "accounts export acme --limit=3"
			}
			status, _, stderr := e.run(append(strings.Fields(args), "--out", out)...)
			if status != program.ExitUsage || !strings.Contains(stderr, test.says) {
				t.Errorf("status %d, %s", status, stderr)
			}
			holds(t, out, held)
		})
	}
	for _, args := range [][]string{{"--out", filepath.Join(folder, "a.xlsx")}, {"--out", "/no/such/folder/a.csv"},
		{"--out", filepath.Join(folder, "b.csv"), "--where", "city"},
		{"--out", filepath.Join(folder, "b.csv"), "--consumer", "a.b"}, {}} {
		if status, _, stderr := e.run(append([]string{"accounts", "export", "acme"},
			args...)...); status != program.ExitUsage {
			t.Errorf("%s: status %d, %s", args, status, stderr)
		}
	}
	var diag strings.Builder
	nowhere := filepath.Join(t.TempDir(), "c.csv")
	if status := run([]string{"accounts", "export", "acme", "--out", nowhere, "--nats-url=nats://127.0.0.1:1"}, &diag,
		&diag); status != program.ExitError {
		t.Errorf("without NATS: status %d, %s", status, diag.String())
	}
	if entries, err := os.ReadDir(filepath.Dir(nowhere)); err != nil || len(entries) > 0 {
		t.Errorf("without NATS: %v, %v", entries, err)
	}
}

// A job that fails is the command's error. A file with nothing in it goes, so that the
// command can be given again; one with rows stays.
func TestExportOfAJobThatFails(t *testing.T) {
	t.Parallel()
	const fault = `{"error":{"code":"invalid_request","message":"where.field: no","details":[{"path":"where.field","message":"no"}]}}`
	for _, test := range []struct {
		pages []string
		says  []string
		left  string
	}{
		{[]string{fault}, []string{"invalid_request: --where: no", "\n  citi = London\n  ^^^^\n"}, ""},
		{[]string{firstPage, fault}, []string{"invalid_request: --where: no",
			"with 2 accounts, which are not all"}, strings.TrimSuffix(csvWhole, "3,東京,,,\n")},
	} {
		e := newExporting(t, test.pages, messages.JobFailed)
		out := filepath.Join(t.TempDir(), "a.csv")
		for range 2 {
			status, _, stderr := e.run("accounts", "export", "acme", "--where", "citi = London", "--out", out)
			for _, want := range test.says {
				if status != program.ExitError || !strings.Contains(stderr, want) {
					t.Errorf("status %d, %s\nwant %s", status, stderr, want)
				}
			}
			if test.left != "" {
				holds(t, out, test.left)
			} else if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) > 0 {
				t.Errorf("left: %v, %v", entries, err)
			}
		}
	}
}

// A connection that there is not leaves nothing behind either.
func TestExportOfNoConnection(t *testing.T) {
	e := newExporting(t, nil, messages.JobRunning)
	e.Refuse(func(messages.Operation, *nats.Msg) *messages.Error {
		return messages.Errorf(messages.ConnectionNotFound, "there is no such connection")
	})
	out := filepath.Join(t.TempDir(), "a.csv")
	status, _, stderr := e.run("accounts", "export", "acme", "--out", out)
	if status != program.ExitError || !strings.Contains(stderr, "connection_not_found: there is no such connection\n") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// Results that were removed meanwhile are said to be gone, and the file stays.
func TestExportOfResultsThatAreGone(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "pages that are gone are looked for several times")
	e := newExporting(t, []string{firstPage, lastPage}, messages.JobRunning)
	out := filepath.Join(t.TempDir(), "a.jsonl")
	interruptExport(t, e, out, 2)
	_, connection, id, _ := messages.ParseJobSubject(strings.Fields(e.published()[0])[0])
	e.Purge(connection, id)
	e.Result(connection, id, 4, lastPage, messages.HeaderIncarnation, "i", messages.HeaderLast, "true")
	e.Record(messages.JobRecord{Job: messages.Job{ID: id, Connection: connection, Operation: "accounts.search",
		State: messages.JobDone, Incarnation: "i", Pages: 4}})
	for range 2 {
		status, _, stderr := e.run("accounts", "export", "acme", "--out", out)
		if status != program.ExitError ||
			!strings.Contains(stderr, "not_found: page 3 of job "+id+" is not kept any more") ||
			!strings.Contains(stderr, "with 3 accounts, which are not all") {
			t.Errorf("status %d, %s", status, stderr)
		}
		holds(t, out, lineWhole)
	}
}

// interruptExport begins an export, and sends it an interrupt when it has written some pages.
func interruptExport(t *testing.T, e *exporting, out string, pages int) {
	t.Helper()
	cmd := bridgetest.Program(t, nil, "accounts", "export", "acme", "--out", out, "--nats-url="+e.Server.ClientURL())
	var diag bridgetest.Buffer
	cmd.Stderr = &diag
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "pages in the file", func() error {
		side, err := os.ReadFile(sideFile(out))
		if err == nil && !strings.Contains(string(side), fmt.Sprintf(`"page": %d`, pages)) {
			err = fmt.Errorf("the side file has %s", side)
		}
		return err
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if said := diag.String(); cmd.ProcessState.ExitCode() != program.ExitError ||
		!strings.Contains(said, "The job goes on: the same command again goes on with the file") ||
		!strings.Contains(said, "crmbridge jobs cancel acme ") || !strings.HasSuffix(said, "interrupted\n") {
		t.Errorf("status %d, %s", cmd.ProcessState.ExitCode(), said)
	}
}

// Killed again and again, a file is the same as one that was written in one go, from either
// source.
func TestExportIsKilled(t *testing.T) {
	bridgetest.Long(t, "starts and kills processes")
	for _, consumer := range []string{"", "--consumer=acme-reader"} {
		t.Run("reads"+consumer, func(t *testing.T) {
			t.Parallel()
			var pages []string
			var want strings.Builder
			for page := range 120 {
				var rows []string
				for row := range rand.IntN(40) {
					rows = append(rows, fmt.Sprintf(`{"id":"%d-%d","name":"%s"}`, page, row,
						strings.Repeat("é", rand.IntN(200))))
				}
				pages = append(pages, `{"accounts":[`+strings.Join(rows, ",")+`]}`)
				for _, row := range rows {
					want.WriteString(row + "\n")
				}
			}
			e := newExporting(t, pages, messages.JobDone)
			e.Refuse(func(messages.Operation, *nats.Msg) *messages.Error { time.Sleep(time.Millisecond); return nil })
			out := filepath.Join(t.TempDir(), "a.jsonl")
			args := []string{"accounts", "export", "acme", "--out", out, "--nats-url=" + e.Server.ClientURL()}
			if consumer != "" {
				args = append(args, consumer)
			}
			kills, inMidst := 0, 0
			for ; kills < 10; kills++ {
				cmd := bridgetest.Program(t, nil, args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				before := sizeOf(out)
				bridgetest.Await(t, "progress", func() error { // what it has written since it began
					if grown := sizeOf(out) - before; grown < rand.Int64N(4000) {
						return fmt.Errorf("%d bytes", grown)
					}
					return nil
				})
				time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond)
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				if _, err := os.Stat(sideFile(out)); err != nil {
					break // it was done before
				}
				if sizeOf(out) > 0 {
					inMidst++
				}
			}
			if kills == 10 {
				if said, err := bridgetest.Program(t, nil, args...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, said)
				}
			}
			t.Logf("%d kills, %d of them with a part of the file", kills, inMidst)
			if inMidst < 3 {
				t.Errorf("only %d kills came in the midst of the file", inMidst)
			}
			holds(t, out, want.String())
			onlyFile(t, out)
			if jobs := e.published(); len(jobs) != 1 {
				t.Errorf("%d jobs were published", len(jobs))
			}
			if n := e.stored(); n != 0 {
				t.Errorf("%d results are left", n)
			}
		})
	}
}

func sizeOf(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// Exports that end before they have begun remove their file; one that begins meanwhile never
// writes to a file that has no name any more.
func TestExportsThatBeginAndEnd(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "a.csv")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				f, err := openExport(out, exportRequest{})
				if err != nil {
					continue // another one has it
				}
				opened, err := f.file.Stat()
				if err != nil {
					t.Error(err)
				}
				if named, err := os.Stat(out); err != nil || !os.SameFile(named, opened) {
					t.Errorf("the file that was opened is not the named one: %v", err)
				}
				f.close()
			}
		})
	}
	all.Wait()
}
