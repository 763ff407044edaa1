package cases

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestMain(m *testing.M) { bridgetest.Main(m, nil) }

// answerWait is how long an answer is waited for, however busy the machine is.
const answerWait = 2 * time.Minute

// Every file of testdata/cases is a case, asked over NATS and answered over HTTP.
func TestCases(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "cases", "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			f, err := read(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(f.About)
			runs, err := f.variants()
			if err != nil {
				t.Fatal(err)
			}
			if testing.Short() && len(runs) > 2 {
				runs = runs[:2] // the others differ in a status or a code, and wait as long
			}
			for _, run := range runs {
				if run.name == "" {
					run.play(t)
					continue
				}
				t.Run(strings.TrimSpace(run.name), func(t *testing.T) {
					t.Parallel()
					run.play(t)
				})
			}
		})
	}
}

// play plays one run in a world of its own: what one leaves behind, a block or a
// copy of metadata, is none of the next one's business.
func (v variant) play(t *testing.T) {
	e := &environment{}
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: -1}, func(next http.Handler) http.Handler {
		e.emulator = next
		return e
	})
	settings := w.Settings(true)
	settings.AdminAddr = "127.0.0.1:0" // nobody asks there
	w.Bridge(settings, nil)
	_, nc := w.Client()
	connected := map[string]bool{}
	var replies []map[string]any
	for i, s := range v.Steps {
		s.Request.Body = texts(s.Request.Body, func(text string) string { return fill(t, text, w.EmulatorURL, replies) })
		if id := s.Request.connection(); id != "" && !connected[id] && !strings.Contains(s.Request.Subject, ".connections.authorize.") {
			w.Connect(id)
			connected[id] = true
		}
		e.begin(s, w.EmulatorURL)
		o := ask(t, nc, s.Request)
		o.calls, o.served = e.made(), e.rows()
		for _, fault := range faults(s.Expect, o) {
			t.Errorf("step %d: %v", i+1, fault)
		}
		replies = append(replies, o.reply)
	}
}

// connection is the one that a request is about, "" where it names none.
func (r request) connection() string {
	if _, scoped, ok := strings.Cut(r.Subject, ".request."); ok {
		return scoped
	}
	object, _ := r.Body.(map[string]any)
	id, _ := object["connection"].(string)
	return id
}

var reference = regexp.MustCompile(`\{([\w.]+) of step (\d+)\}`)

// fill puts the environment and what earlier replies said into a text.
func fill(t *testing.T, text, origin string, replies []map[string]any) string {
	text = strings.ReplaceAll(text, "{environment}", origin)
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		m := reference.FindStringSubmatch(found)
		n, _ := strconv.Atoi(m[2])
		if n < 1 || n > len(replies) {
			t.Fatalf("%s: there is no such step yet", found)
		}
		var value any = replies[n-1]
		for name := range strings.SplitSeq(m[1], ".") {
			switch v := value.(type) {
			case map[string]any:
				value = v[name]
			case []any:
				if at, err := strconv.Atoi(name); err == nil && at < len(v) {
					value = v[at]
				}
			}
		}
		if value == nil {
			t.Fatalf("%s: the reply of that step has none", found)
		}
		return fmt.Sprint(value)
	})
}

// ask sends a request and waits for all of its answer.
func ask(t *testing.T, nc *nats.Conn, r request) outcome {
	t.Helper()
	body, err := json.Marshal(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := nc.SubscribeSync(nc.NewRespInbox())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inbox.Unsubscribe() }()
	message := &nats.Msg{Subject: r.Subject, Reply: inbox.Subject, Data: body, Header: nats.Header{}}
	for name, value := range r.Headers {
		message.Header.Set(name, value)
	}
	begin := time.Now()
	if err := nc.PublishMsg(message); err != nil {
		t.Fatal(err)
	}
	object, _ := r.Body.(map[string]any)
	var o outcome
	for {
		answer, err := inbox.NextMsg(answerWait)
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		if answer.Header.Get("Status") == "503" {
			t.Fatalf("nobody answers at %s", r.Subject)
		}
		o.take(t, answer)
		if object["mode"] != "stream" || answer.Header.Get("Crm-Last") == "true" {
			o.took = time.Since(begin)
			return o
		}
	}
}

// take reads one message of the answer.
func (o *outcome) take(t *testing.T, answer *nats.Msg) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(answer.Data)))
	decoder.UseNumber()
	o.reply, o.headers = nil, answer.Header
	if err := decoder.Decode(&o.reply); err != nil {
		t.Fatalf("%s: %v", answer.Data, err)
	}
	for _, name := range []string{"accounts", "contacts", "leads", "opportunities"} {
		o.rows += len(listOf(o.reply[name]))
	}
	if id, _ := o.reply["request_id"].(string); id == "" {
		t.Errorf("a reply without its request_id: %s", answer.Data)
	}
	if fault, ok := o.reply["error"].(map[string]any); ok {
		if message, _ := fault["message"].(string); message == "" || answer.Header.Get("Nats-Service-Error") == "" {
			t.Errorf("an error without a sentence: %s %v", answer.Data, answer.Header)
		}
	}
}

// What a case demands and this test does not know fails it, and so does what is not
// met.
func TestCasesAreReadStrictly(t *testing.T) {
	const good = `{"about":"x","steps":[{"request":{"subject":"crm.users.whoami.request","body":{}},"upstream":[],"expect":{"rows":0}}]}`
	if _, err := parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		`"rows":0`:       `"rowz":0`,
		`{"rows":0}`:     `{}`,
		`"about"`:        `"abuot"`,
		`"subject"`:      `"subjekt"`,
		`"expect"`:       `"not"`,
		`"rows":0}`:      `"not":{"rowz":0}}`,
		`"upstream":[]`:  `"upstream":[{"path":"/x","stauts":200}]`,
		`"upstream": []`: `"upstream":[{"path":"x"}]`,
		`[]`:             `[{"path":"/x","status":"ok"}]`,
		`"rows":0}}]}`:   `"rows":0}}]} x`,
	} {
		text := strings.Replace(good, strings.ReplaceAll(old, ": ", ":"), new, 1)
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("taken: %s", text)
		}
	}
	reply := map[string]any{"count": json.Number("3"), "next_cursor": "x", "fields": []any{map[string]any{"logical_name": "name", "options": []any{}}}}
	refused := map[string]any{"code": "throttled", "retryable": true, "message": "Wait a while"}
	calls := []call{{"GET", "/api/data/v9.2/teams(00000000-0000-0000-0000-000000000001)/teamroles_association", "$select=roleid"}}
	served := []map[string]any{{"teamid": "00000000-0000-0000-0000-000000000001", "teamtype": json.Number("1")}}
	for expect, met := range map[string]bool{
		`{"rows":2}`: true, `{"rows":3}`: false, `{"count":3}`: true, `{"count":4}`: false, `{"next_cursor":true}`: true, `{"next_cursor":false}`: false,
		`{"field_names":["name"]}`: true, `{"field_names":["name","x"]}`: false, `{"fields":[{"logical_name":"name"}]}`: true, `{"fields":[]}`: false,
		`{"fields":[{"logical_name":"name","options":[{"value":1}]}]}`: false, `{"error":{"code":["a","throttled"]}}`: true, `{"error":{"code":"a"}}`: false,
		`{"error":{"retry_after_ms":"set"}}`: false, `{"error":{"message":"a while"}}`: true, `{"not":{"error":{"code":"throttled"}}}`: false,
		`{"not":{"error":{"code":["a","b"]}}}`: true, `{"for_every_status":true}`: true, `{"for_every_status":false}`: false,
		`{"answer_within_ms":1000}`: true, `{"answer_within_ms":10}`: false, `{"calls_to":{"teamroles_association":1}}`: true,
		`{"calls_to":{"teamroles_association":0}}`: false, `{"calls_to":{"teamroles_association of teams with teamtype 1":1}}`: true,
		`{"calls_to":{"teamroles_association of teams with teamtype 1":0}}`: false, `{"calls_to":{"teamroles_association of teams with teamtype 2":0}}`: false,
	} {
		f, err := parse([]byte(strings.Replace(good, `{"rows":0}`, expect, 1)))
		if err != nil {
			t.Errorf("%s: %v", expect, err)
			continue
		}
		if delete(reply, "error"); strings.Contains(expect, `"error"`) {
			reply["error"] = refused
		}
		o := outcome{reply: reply, rows: 2, took: 100 * time.Millisecond, calls: calls, served: served}
		if found := faults(f.Steps[0].Expect, o); (len(found) == 0) != met {
			t.Errorf("%s: %v", expect, found)
		}
	}
}
