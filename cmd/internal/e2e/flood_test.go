package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// beTheFlooder makes the test binary a requester that floods, in a process of its own:
// in the test's it would take the time of those whose answers are timed.
const beTheFlooder = "CRMBRIDGE_TEST_BE_THE_FLOODER"

// A flooding is what a flood was and what came of it.
type flooding struct {
	URL     string
	Subject string
	Body    string
	Rate    int // requests a second
	Seconds int
	Inbox   string // prefix of its inboxes
	Inboxes int    // how many it makes up, at least 1

	Sent    int
	Answers map[string]int // by code
	Twice   int            // requests that were answered more than once
	None    int            // that were not answered within settleFlood after the end
}

// floodIDs is the first of the flooder's reply subjects, beyond those of a requestLoad.
const floodIDs = 1_000_000

// settleFlood is how long the flooder waits for answers that do not come.
const settleFlood = 5 * time.Second

// flood is the flooder's main function: args is one flooding as JSON.
func flood(args []string, out io.Writer) error {
	var f flooding
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &f) != nil {
		return errors.New("the flooder takes one flooding as JSON")
	}
	nc, err := nats.Connect(f.URL, nats.CustomInboxPrefix(f.Inbox))
	if err != nil {
		return err
	}
	defer nc.Close()
	var mu sync.Mutex
	f.Answers = map[string]int{}
	answered := make([]uint8, f.Rate*f.Seconds)
	got := 0
	sub, err := nc.Subscribe(f.Inbox+".>", func(msg *nats.Msg) {
		id, err := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
		code := "ok"
		if values := msg.Header[messages.HeaderErrorCode]; len(values) > 0 {
			code = values[0]
		}
		if id -= floodIDs; err != nil || id < 0 || id >= len(answered) {
			return // another requester's, whose inbox was borrowed
		}
		mu.Lock()
		defer mu.Unlock()
		f.Answers[code]++
		got++
		answered[id]++
	})
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err != nil {
		return err
	}
	if f.Sent, err = f.send(nc); err != nil {
		return err
	}
	seen := -1
	for end := time.Now().Add(settleFlood); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		mu.Lock()
		if got > seen {
			seen, end = got, time.Now().Add(settleFlood)
		}
		all := got >= f.Sent
		mu.Unlock()
		if all {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, n := range answered[:f.Sent] {
		switch {
		case n == 0:
			f.None++
		case n > 1:
			f.Twice++
		}
	}
	return json.NewEncoder(out).Encode(f)
}

// send publishes at the rate as far as the machine gives it, and not for longer.
func (f *flooding) send(nc *nats.Conn) (sent int, err error) {
	begun, during := time.Now(), time.Duration(f.Seconds)*time.Second
	for sent < f.Rate*f.Seconds {
		past := time.Since(begun)
		if past >= during {
			break
		}
		due := int(past.Seconds()*float64(f.Rate)) + 1
		for ; sent < min(due, f.Rate*f.Seconds); sent++ {
			reply := fmt.Sprintf("%s.%d.%d", f.Inbox, sent%max(f.Inboxes, 1), floodIDs+sent)
			if err := nc.PublishRequest(f.Subject, reply, []byte(f.Body)); err != nil {
				return sent, err
			}
		}
		time.Sleep(time.Millisecond)
	}
	return sent, nc.FlushTimeout(30 * time.Second)
}

// A flooder is a running process.
type flooder struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	errors bytes.Buffer
}

func startFlood(t testing.TB, f flooding) *flooder {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	p := &flooder{cmd: exec.Command(self, string(text))}
	p.cmd.Env = append(os.Environ(), beTheFlooder+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errors
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, unless the test failed
		_ = p.cmd.Wait()
	})
	return p
}

// wait is what came of the flood.
func (p *flooder) wait(t testing.TB) (f flooding) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the flooder: %v; %s", err, &p.errors)
	}
	if err := json.Unmarshal(p.out.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// Behind the shipped nats.conf a flood on one connection's subject leaves another's
// requests alone, is answered one for one, and does not fill the log. The benchmark
// FloodOfOneConnection measures it at up to 60,000 requests a second.
func TestAFloodReachesOnlyItsConnection(t *testing.T) {
	bridgetest.Long(t, "it floods a process with 16,000 requests")
	d := deploy(t, 20*time.Millisecond)
	polite := d.measured(t)
	logged := d.logged()
	p := startFlood(t, flooding{URL: d.as("campaigns"), Subject: messages.UsersWhoAmI.ScopedSubject("acme"), Body: "{}",
		Rate: 8000, Seconds: 2, Inbox: "_INBOX.campaigns.flood"})
	polite.run(t, messages.UsersWhoAmI, 20, 2*time.Second, 25*time.Second, "globex")
	exactlyOne(t, polite.settle(t), "ok")
	f := p.wait(t)
	t.Logf("%d sent, answers %v", f.Sent, f.Answers)
	// A process that gets too little CPU leaves some unanswered, and counts each.
	if lost := d.lost(t); f.Twice > 0 || f.None > lost || f.Answers["ok"] == 0 || f.Answers["overloaded"] == 0 {
		t.Errorf("%d answered twice, %d not at all and %d counted as lost, answers %v", f.Twice, f.None, lost, f.Answers)
	}
	if grown := d.logged() - logged; grown > 500<<10 {
		t.Errorf("the log grew by %d KiB", grown>>10)
	}
	if !strings.Contains(d.process.Log.String(), `"count":`) {
		t.Error("no line of the log stands for several refusals")
	}
}

// lost is how many requests the process counts as neither executed nor answered.
func (d deployment) lost(t *testing.T) (n int) {
	t.Helper()
	for line := range strings.SplitSeq(d.counted(t), ", ") {
		_, value, _ := strings.Cut(line, " ")
		count, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		n += int(count)
	}
	return n
}
