package messages_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

func TestJobOptionsAreTakenOut(t *testing.T) {
	no, yes := false, true
	for _, c := range []struct {
		body, rest string // of rest blanks do not matter
		options    messages.JobOptions
	}{
		{``, ``, messages.JobOptions{}},
		{`{}`, `{}`, messages.JobOptions{}},
		{`{"parallel":false}`, `{}`, messages.JobOptions{Parallel: &no}},
		{`{"encoding":"zstd"}`, `{}`, messages.JobOptions{Encoding: "zstd"}},
		{`{"encoding":"","parallel":null}`, `{}`, messages.JobOptions{}},
		{` { "parallel" : true , "encoding" : "zstd" , "limit" : 3 } `, `{"limit":3}`,
			messages.JobOptions{Parallel: &yes, Encoding: "zstd"}},
		{`{"limit":3,"parallel":true,"encoding":"zstd"}`, `{"limit":3}`,
			messages.JobOptions{Parallel: &yes, Encoding: "zstd"}},
		{`{"parallel":true,"limit":3,"encoding":"zstd","mode":"page"}`, `{"limit":3,"mode":"page"}`,
			messages.JobOptions{Parallel: &yes, Encoding: "zstd"}},
		{`{"p\u0061rallel":false,"limit":3}`, `{"limit":3}`, messages.JobOptions{Parallel: &no}},
		// Only members of the body itself are options.
		{`{"where":{"parallel":1,"encoding":[]}}`, `{"where":{"parallel":1,"encoding":[]}}`, messages.JobOptions{}},
		{`{"where":{"field":"name","op":"eq","value":{"encoding":"zstd"}}}`,
			`{"where":{"field":"name","op":"eq","value":{"encoding":"zstd"}}}`, messages.JobOptions{}},
		// What is no body of a request is the operation's to refuse.
		{`[1]`, `[1]`, messages.JobOptions{}},
		{`"parallel"`, `"parallel"`, messages.JobOptions{}},
		{`{"limit":`, `{"limit":`, messages.JobOptions{}},
		{`{"limit":3`, `{"limit":3`, messages.JobOptions{}},
		{`{"limit":3,"limit":4}`, `{"limit":3,"limit":4}`, messages.JobOptions{}},
		{`{"limit" 3}`, `{"limit" 3}`, messages.JobOptions{}},
	} {
		sent := c.body
		options, rest, fault := messages.SplitJobOptions([]byte(c.body))
		if fault != nil || !reflect.DeepEqual(options, c.options) ||
			strings.ReplaceAll(string(rest), " ", "") != strings.ReplaceAll(c.rest, " ", "") {
			t.Errorf("%s: %+v %q %v", c.body, options, rest, fault)
		}
		if len(rest) != len(sent) || c.body != sent {
			t.Errorf("%s: %d bytes became %d", c.body, len(sent), len(rest))
		}
	}
}

func TestWrongJobOptionsAreNamed(t *testing.T) {
	const secret = "somebody@example.com"
	for body, want := range map[string]struct{ path, says string }{
		`{"parallel":"no"}`:                                             {"parallel", "true or false"},
		`{"parallel":0}`:                                                {"parallel", "true or false"},
		`{"encoding":"gzip"}`:                                           {"encoding", "zstd"},
		`{"encoding":"` + secret + `"}`:                                 {"encoding", "zstd"},
		`{"encoding":{"value":"` + secret + `"}}`:                       {"encoding", "zstd"},
		`{"parallel":"` + secret + `"}`:                                 {"parallel", "true or false"},
		`{"parallel":true,"parallel":true}`:                             {"parallel", "twice"},
		`{"encoding":"zstd","limit":1,"encoding":"zstd"}`:               {"encoding", "twice"},
		`{"parallel":null,"p\u0061rallel":true}`:                        {"parallel", "twice"},
		strings.Repeat(`{"a":`, 2000):                                   {"", "nested deeper"},
		`{"` + strings.Repeat("x", 1<<20) + `":1}`:                      {"", "name is longer"},
		`{"parallel":true,}`:                                            {"", "not valid JSON"},
		`{"parallel":true "limit":1}`:                                   {"", "not valid JSON"},
		`{"limit":1,"encoding":"zstd",,"mode":"page"}`:                  {"", "not valid JSON"},
		`{"encoding":"zstd","limit":`:                                   {"", "ends in the middle"},
		`{"encoding":"zstd","a":[` + strings.Repeat("1,", 5000) + `1]}`: {"", "more than 4000 members"},
		`{"a":[],"encoding":true}`:                                      {"encoding", "zstd"},
		`{"a":[{"parallel":true}],"parallel":[true,true]}`:              {"parallel", "true or false"},
	} {
		_, rest, fault := messages.SplitJobOptions([]byte(body))
		if fault == nil || rest != nil || fault.Code != messages.InvalidRequest ||
			fault.Details[0].Path != want.path || !strings.Contains(fault.Message, want.says) {
			t.Errorf("%.60s: %q %v", body, rest, fault)
		}
		if fault != nil && strings.Contains(fault.Message, secret) {
			t.Errorf("%.60s: repeats the value: %v", body, fault)
		}
	}
}

func TestJobOptionsAreJoined(t *testing.T) {
	no := false
	both := messages.JobOptions{Parallel: &no, Encoding: messages.EncodingZstd}
	for _, c := range []struct {
		body, want string
		options    messages.JobOptions
	}{
		{``, ``, messages.JobOptions{}},
		{`{"limit":3}`, `{"limit":3}`, messages.JobOptions{}},
		{``, `{"parallel":false,"encoding":"zstd"}`, both},
		{` { } `, `{"parallel":false,"encoding":"zstd" } `, both},
		{`{"limit":3}`, `{"parallel":false,"encoding":"zstd","limit":3}`, both},
	} {
		joined, fault := messages.JoinJobOptions([]byte(c.body), c.options)
		if fault != nil || string(joined) != c.want {
			t.Errorf("%s: %s %v", c.body, joined, fault)
		}
		if options, _, fault := messages.SplitJobOptions(joined); fault != nil ||
			!reflect.DeepEqual(options, c.options) {
			t.Errorf("%s: read back: %+v %v", joined, options, fault)
		}
	}
	if joined, fault := messages.JoinJobOptions([]byte(`[]`), both); fault == nil || joined != nil {
		t.Errorf("%s %v", joined, fault)
	}
}

// A body with options taken out is refused and read like one that never had any.
func FuzzSplitJobOptions(f *testing.F) {
	for _, body := range []string{`{"parallel":true,"limit":1}`, `{"limit":1,"encoding":"zstd"}`,
		`{"parallel":true,}`, `{,"parallel":true}`, `{"parallel":true "limit":1}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		options, rest, fault := messages.SplitJobOptions([]byte(body))
		if fault != nil {
			return
		}
		if len(rest) != len(body) {
			t.Fatalf("%q became %q", body, rest)
		}
		if options == (messages.JobOptions{}) {
			return
		}
		if !json.Valid(rest) && json.Valid([]byte(body)) || json.Valid(rest) && !json.Valid([]byte(body)) {
			t.Fatalf("%q became %q", body, rest)
		}
		again, same, fault := messages.SplitJobOptions(rest)
		if fault != nil || again != (messages.JobOptions{}) || string(same) != string(rest) {
			t.Fatalf("%q: %q still has %+v %v", body, rest, again, fault)
		}
	})
}
