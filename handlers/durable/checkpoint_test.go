package durable

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A checkpoint opens for its job, page and incarnation alone.
func TestCheckpoints(t *testing.T) {
	r := &rig{TB: t, connections: &connections{}, sealer: newBoxes(t)}
	l := r.lane("one", nil, nil, nil)
	key := jobKey{"acme", "j"}
	place := bytes.Repeat([]byte("<cookie pagenumber=%222%22/>"), 2000)
	text, err := l.seal(checkpoint{place, 12345}, key, "inc", 7)
	if err != nil || len(text) > 2000 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	got, err := l.open(text, key, "inc", 7)
	if err != nil || !bytes.Equal(got.place, place) || got.bytes != 12345 {
		t.Fatalf("%d bytes, %v", len(got.place), err)
	}
	changed := []byte(text)
	changed[20] ^= 1
	sealed := func(plain string) string {
		box, err := r.sealer.Seal([]byte(plain), checkpointData(key, "inc", 7))
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(box)
	}
	for name, c := range map[string]struct {
		text        string
		key         jobKey
		incarnation string
		page        int
		want        error
	}{
		"another job":         {text, jobKey{"acme", "k"}, "inc", 7, errUnreadable},
		"another connection":  {text, jobKey{"globex", "j"}, "inc", 7, errUnreadable},
		"another incarnation": {text, key, "inc2", 7, errUnreadable},
		"another page":        {text, key, "inc", 8, errUnreadable},
		"moved between":       {text, jobKey{"acme", "j\x00inc"}, "", 7, errUnreadable},
		"changed":             {string(changed), key, "inc", 7, errUnreadable},
		"no base64":           {"%%%", key, "inc", 7, errUnreadable},
		"none":                {"", key, "inc", 7, errUnreadable},
		"too long":            {strings.Repeat("A", messages.MaxCheckpoint+1), key, "inc", 7, errUnreadable},
		"no form":             {sealed(""), key, "inc", 7, errUnreadable},
		"not compressed":      {sealed("\x01\xff\xff\xff"), key, "inc", 7, errUnreadable},
		"a newer form":        {sealed("\x02whatever"), key, "inc", 7, errNewerForm},
	} {
		if _, err := l.open(c.text, c.key, c.incarnation, c.page); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	noise := make([]byte, messages.MaxCheckpoint)
	_, _ = rand.Read(noise)
	_, err = l.seal(checkpoint{noise, 1}, key, "inc", 7)
	if fault, ok := errors.AsType[*messages.Error](err); !ok || !judge(fault, 0).final {
		t.Errorf("one that is too large: %v", err)
	}
}

// What others wrote onto the subjects of a job ends it with an error, and runs nothing.
func TestWhatOthersWroteAmongTheResults(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		page   string // of the end
	}{
		"no number": {[]string{messages.HeaderIncarnation, "inc-1"}, "1"},
		"a number below 1": {[]string{messages.HeaderIncarnation, "inc-1", messages.HeaderPage, "0",
			messages.HeaderRows, "1"}, "1"},
		"no rows": {[]string{messages.HeaderIncarnation, "inc-1", messages.HeaderPage, "3",
			messages.HeaderRows, "-1"}, "4"},
		"no checkpoint": {[]string{messages.HeaderIncarnation, "inc-1", messages.HeaderPage, "3",
			messages.HeaderRows, "7"}, "4"},
		"not sealed": {[]string{messages.HeaderIncarnation, "inc-1", messages.HeaderPage, "3",
			messages.HeaderRows, "7", messages.HeaderCheckpoint, "e30="}, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.publish(someOp, "j", `{}`)
			msg := nats.NewMsg(messages.ResultSubject("acme", "j"))
			for i := 0; i < len(c.header); i += 2 {
				msg.Header.Set(c.header[i], c.header[i+1])
			}
			if _, err := r.js.PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
			l := r.lane("one", r.js, only(counter{rows: 5}.route()), nil)
			if out := r.execute(l, "j"); !out.ended {
				t.Fatalf("%+v", out)
			}
			all, record := r.results("j"), r.record("j")
			if end := all[len(all)-1]; len(all) != 2 || end.Header.Get(messages.HeaderErrorCode) != "internal" ||
				end.Header.Get(messages.HeaderPage) != c.page ||
				end.Header.Get(messages.HeaderLast) != "true" || record.State != messages.JobFailed ||
				r.dead("j") == nil {
				t.Errorf("%d messages, %v, %+v", len(all), end.Header, record)
			}
		})
	}
}

// Numbers in a record that no job comes to change nothing but the record.
func TestWhatOthersWroteIntoTheRecord(t *testing.T) {
	for name, change := range map[string]func(*messages.JobRecord){
		"negative": func(r *messages.JobRecord) {
			r.Pages, r.Rows, r.Bytes, r.Attempts, r.Takeovers = math.MinInt, math.MinInt, math.MinInt, math.MinInt,
				math.MinInt
		},
		"no bytes left": func(r *messages.JobRecord) { r.Bytes = math.MaxInt },
		"a bad id":      func(r *messages.JobRecord) { r.RequestID = "a\nb" },
		"a long error": func(r *messages.JobRecord) {
			r.Error = messages.Errorf("x", "%s",
				strings.Repeat("\x01é", 5000))
		},
		"a strange mark": func(r *messages.JobRecord) { total := int64(-1); r.Total, r.Digest = &total, "?" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			fails := true
			l := r.lane("one", r.js, only(counter{rows: 15, read: func(context.Context, int) error {
				if fails {
					return errors.New("oh")
				}
				return nil
			}}.route()), nil)
			r.publish(someOp, "j", `{}`)
			c, _ := r.claim(l, "j")
			change(&c.record)
			if out := l.run(t.Context(), c, freely); out.ended || out.lost {
				t.Fatalf("%+v", out)
			}
			if wait := time.Until(*r.record("j").RetryAt); wait > firstRetry || r.record("j").Attempts != 1 {
				t.Errorf("%v, %+v", wait, r.record("j"))
			}
			fails = false
			if out := r.execute(l, "j"); !out.ended {
				t.Fatalf("%+v", out)
			}
			r.whole("j", 15)
			if record := r.record("j"); record.Bytes > 5000 || record.Rows != 15 ||
				!messages.ValidRequestID(record.RequestID) {
				t.Errorf("%+v", record)
			}
		})
	}
}

// The end that somebody stored is the end, whatever it says.
func TestAnEndOfUnknownKind(t *testing.T) {
	r := newRig(t)
	r.publish(someOp, "j", `{}`)
	msg := nats.NewMsg(messages.ResultSubject("acme", "j"))
	for name, value := range map[string]string{messages.HeaderIncarnation: "inc-1", messages.HeaderPage: "1",
		messages.HeaderRows: "0",
		messages.HeaderLast: "true", messages.HeaderErrorCode: strings.Repeat("odd", 10_000)} {
		msg.Header.Set(name, value)
	}
	msg.Data = []byte(`{"error":{"code":"odd","message":7}}`)
	if _, err := r.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if out := r.execute(r.lane("one", r.js, nil, nil), "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	if record := r.record("j"); record.State != messages.JobFailed || record.Error.Code != messages.Internal ||
		record.Error.Message == "" {
		t.Errorf("%+v", record)
	}
}

// A checkpoint of another job under the place of this one's last page.
func TestACheckpointOfAnotherJob(t *testing.T) {
	r := newRig(t)
	stop := messages.Errorf(messages.Throttled, "later")
	l := r.lane("one", r.js, only(counter{rows: 50, read: func(_ context.Context, from int) error {
		if from == 20 {
			return stop
		}
		return nil
	}}.route()), nil)
	for _, id := range []string{"j", "k"} {
		r.publish(someOp, id, `{}`)
		r.execute(l, id)
	}
	foreign := r.results("k")[1]
	msg := nats.NewMsg(messages.ResultSubject("acme", "j"))
	msg.Header, msg.Data = nats.Header(foreign.Header), foreign.Data
	msg.Header.Del(expectedLastSubjectSequence)
	if _, err := r.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	if record := r.record("j"); record.Error == nil || record.Error.Code != messages.Internal {
		t.Errorf("%+v", record)
	}
}

// A newer version's checkpoint is left to newer processes.
func TestACheckpointOfANewerVersion(t *testing.T) {
	r := newRig(t)
	r.publish(someOp, "j", `{}`)
	l := r.lane("one", r.js, only(counter{rows: 50}.route()), nil)
	box, err := r.sealer.Seal([]byte("\x09"), checkpointData(jobKey{"acme", "j"}, "inc-1", 1))
	if err != nil {
		t.Fatal(err)
	}
	x := l.newExecution(claimed{record: messages.JobRecord{Job: messages.Job{ID: "j", Connection: "acme",
		Operation: someOp, Incarnation: "inc-1"}}}, nil)
	msg := x.resultMessage(1, 3, route.Part{Body: numbers(0, 3, 0)})
	msg.Header.Set(messages.HeaderCheckpoint, base64.StdEncoding.EncodeToString(box))
	if _, err := r.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if out := r.execute(l, "j"); out.ended || out.again.IsZero() || len(r.results("j")) != 1 ||
		r.record("j").Owner != "" || r.record("j").Attempts != 0 {
		t.Errorf("%+v", out)
	}
}
