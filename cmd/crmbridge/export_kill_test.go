package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// The parts of an export that is killed at any moment, again and again, have each row once, none of
// them more than it may, and nothing else is left.
func TestExportOfPartsIsKilled(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "starts and kills processes")
	const (
		pages, split, kills = 250, 37, 10
		far                 = 20 // pages that come at the most before a kill
		ahead               = 45 // pages that may come until then: five kills do not bring all
	)
	names := []string{"Zoë, \"GmbH\"\nand Co", "=1+1", "東京 😀", "-", "a\r\nb", ";=x", "\t", ""}
	for _, c := range []struct {
		ending string
		flags  []string
	}{
		{csvEnding, []string{"--columns", "Company Name=name,ID=id", "--spreadsheet"}},
		{csvEnding, []string{"--columns", "ID=id,Name=name", "--consumer=acme-reader"}},
		{jsonlEnding, nil},
	} {
		t.Run(strings.Join(append(c.flags, c.ending), " "), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("the seed is %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			var bodies, want []string
			for page := range pages {
				rows := make([]jsonRow, random.IntN(3*split/2))
				for i := range rows {
					rows[i] = jsonRow{fmt.Sprintf("%d-%d", page, i), names[random.IntN(len(names))]}
					want = append(want, rows[i].ID)
				}
				body, err := json.Marshal(map[string]any{"accounts": rows})
				if err != nil {
					t.Fatal(err)
				}
				bodies = append(bodies, string(body))
			}
			e := newExporting(t, bodies, messages.JobDone)
			e.Refuse(func(messages.Operation, *nats.Msg) *messages.Error { time.Sleep(time.Millisecond); return nil })
			e.mu.Lock()
			e.turns = make(chan struct{}, pages)
			e.mu.Unlock()
			allowed := 0
			allow := func(all int) {
				for ; allowed < min(all, pages); allowed++ {
					e.turns <- struct{}{}
				}
			}
			folder := t.TempDir()
			out := filepath.Join(folder, "a"+c.ending)
			args := append([]string{"accounts", "export", "acme", "--out", out, "--split", fmt.Sprint(split),
				"--nats-url=" + e.Server.ClientURL()}, c.flags...)
			p := &partsOf{t: t, out: out, most: split, spreadsheet: slices.Contains(c.flags, "--spreadsheet")}
			inMidst := 0
			for n := range kills {
				cmd := bridgetest.Program(t, nil, args...)
				var said bridgetest.Buffer
				cmd.Stderr = &said
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				before := pageIn(out)
				allow(before + ahead)
				if n%4 == 0 { // it may be beginning still
					time.Sleep(time.Duration(random.Int64N(int64(150 * time.Millisecond))))
				} else {
					until := before + 1 + random.IntN(far)
					bridgetest.Await(t, "progress", func() error {
						if page := pageIn(out); page < until && len(ended) == 0 {
							return fmt.Errorf("page %d of %d", page, until)
						}
						return nil
					})
				}
				_ = cmd.Process.Kill() // it may have ended
				if err := <-ended; err == nil {
					break // it was faster
				}
				if cmd.ProcessState.Exited() {
					t.Fatalf("it ended by itself: %s", &said)
				}
				if rows := p.rows(false); len(rows) > 0 {
					inMidst++
				}
				if _, err := os.Stat(sideFile(out)); err != nil && p.size() > 0 {
					break // killed with everything done
				}
			}
			if t.Logf("%d kills came in the midst", inMidst); inMidst < 4 {
				t.Error("that is too few")
			}
			allow(pages)
			if _, err := os.Stat(sideFile(out)); err == nil {
				if said, err := bridgetest.Program(t, nil, args...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, said)
				}
			} else if !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if got := p.rows(true); !slices.Equal(got, want) {
				t.Errorf("%d rows, want %d", len(got), len(want))
			}
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) != (len(want)+split-1)/split {
				t.Errorf("%v %v, want %d parts of %d rows", entries, err, (len(want)+split-1)/split, len(want))
			}
			if jobs, left := len(e.published()), e.stored(); jobs != 1 || left != 0 {
				t.Errorf("%d jobs were published, %d results are left", jobs, left)
			}
		})
	}
}

// pageIn is the last page that an export has in its file, 0 where it says none.
func pageIn(out string) int {
	var state exportState
	if text, err := os.ReadFile(sideFile(out)); err != nil || json.Unmarshal(text, &state) != nil {
		return 0
	}
	return state.Page
}

type jsonRow struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// partsOf reads the parts of an export.
type partsOf struct {
	t           *testing.T
	out         string
	most        int
	spreadsheet bool
}

func (p *partsOf) names() []string {
	ending := filepath.Ext(p.out)
	names, err := filepath.Glob(strings.TrimSuffix(p.out, ending) + "-[0-9][0-9][0-9]" + ending)
	if err != nil {
		p.t.Fatal(err)
	}
	return names
}

func (p *partsOf) size() (all int64) {
	for _, name := range p.names() {
		all += sizeOf(name)
	}
	return all
}

// rows are the ids of the rows in all parts, in order. Of what is not whole, the last part may end
// anywhere, and the one before as well: it is cut off when it is gone on with.
func (p *partsOf) rows(whole bool) (ids []string) {
	p.t.Helper()
	names := p.names()
	for i, name := range names {
		text := []byte(readFile(p.t, name))
		var part []string
		if strings.HasSuffix(name, csvEnding) {
			part = p.csv(name, text, whole)
		} else {
			for line := range bytes.Lines(text) {
				var row jsonRow
				if err := json.Unmarshal(line, &row); err != nil && whole {
					p.t.Errorf("%s: %q: %v", name, line, err)
				}
				part = append(part, row.ID)
			}
		}
		if len(part) > p.most || whole && i < len(names)-1 && len(part) != p.most || whole && len(part) == 0 {
			p.t.Errorf("%s has %d rows, and may have %d", name, len(part), p.most)
		}
		ids = append(ids, part...)
	}
	return ids
}

func (p *partsOf) csv(name string, text []byte, whole bool) (ids []string) {
	p.t.Helper()
	begin, hasMark := bytes.CutPrefix(text, []byte("\xef\xbb\xbf"))
	if p.spreadsheet != hasMark && whole {
		p.t.Errorf("%s begins with %q", name, text[:min(20, len(text))])
	}
	read := csv.NewReader(bytes.NewReader(begin))
	id := -1
	for {
		record, err := read.Read()
		if record == nil || err != nil {
			if whole && (id < 0 || err != nil && err.Error() != "EOF") {
				p.t.Errorf("%s: %v", name, err)
			}
			return ids
		}
		if id < 0 {
			if id = slices.Index(record, "ID"); id < 0 && whole {
				p.t.Fatalf("%s has no header: %q", name, record)
			}
			id = max(id, 0)
			continue
		}
		ids = append(ids, record[id])
	}
}
