package messages_test

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/crmbridge/crmbridge/messages"
)

// contractCodes are the codes and numbers of README.md#errors, and
// whether the same request may succeed later.
const contractCodes = `
| invalid_request | 400 | no |
| invalid_state | 400 | no |
| reauthorization_required | 401 | no |
| permission_denied | 403 | no |
| consent_required | 403 | no |
| connection_not_found, not_found | 404 | no |
| connection_exists, identity_mismatch | 409 | no |
| cursor_expired | 410 | no |
| too_large | 413 | no |
| not_supported | 422 | no |
| throttled | 429 | yes |
| cancelled | 499 | no |
| configuration_error | 500 | no |
| internal | 500 | no |
| upstream_error | 502 | yes |
| overloaded | 503 | yes |
| unavailable | 503 | yes |
| deadline_exceeded | 504 | yes |
`

type known struct {
	Number    string
	Retryable bool
}

func TestCodes(t *testing.T) {
	want := map[messages.Code]known{}
	for line := range strings.Lines(strings.TrimSpace(contractCodes)) {
		cells := strings.Split(line, "|")
		for code := range strings.SplitSeq(cells[1], ",") {
			want[messages.Code(strings.TrimSpace(code))] = known{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3]) == "yes"}
		}
	}
	got := map[messages.Code]known{}
	for _, code := range messages.Codes() {
		if sentence := code.Sentence(); len(sentence) < 10 || sentence == messages.Code("other").Sentence() {
			t.Errorf("%s has the sentence %q", code, sentence)
		}
		number, _ := json.Marshal(code.Number())
		got[code] = known{string(number), code.Retryable()}
		if err := messages.Errorf(code, "x"); err.Retryable != code.Retryable() {
			t.Errorf("Errorf(%s) is retryable: %v", code, err.Retryable)
		}
		if !regexp.MustCompile(`^[a-z_]+$`).MatchString(string(code)) {
			t.Errorf("code %q", code)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if messages.Code("newer").Number() != 500 || messages.Code("newer").Retryable() {
		t.Error("an unknown code is no internal error")
	}
}

func TestErrorJSON(t *testing.T) {
	full := messages.Errorf(messages.Throttled, "wait").After(1500 * time.Millisecond).Because(io.ErrClosedPipe)
	full.Details = []messages.Detail{{Path: "a", Message: "b"}}
	full.AdminConsentURL = "https://login.example/consent"
	full.Dynamics = &messages.DynamicsError{Status: 429, Code: "0x80072322", Message: "slow", RequestID: "r"}
	for _, test := range []struct {
		err  *messages.Error
		want string
	}{
		{messages.Errorf(messages.NotFound, "no %s", "account"), `{"code":"not_found","message":"no account","retryable":false}`},
		{messages.Invalid("where.op", "is %s", "missing"), `{"code":"invalid_request","message":"where.op: is missing","retryable":false,"details":[{"path":"where.op","message":"is missing"}]}`},
		{messages.Invalid("", "no object"), `{"code":"invalid_request","message":"no object","retryable":false,"details":[{"path":"","message":"no object"}]}`},
		{full, `{"code":"throttled","message":"wait","retryable":true,"retry_after_ms":1500,"details":[{"path":"a","message":"b"}],` +
			`"admin_consent_url":"https://login.example/consent","dynamics":{"status":429,"code":"0x80072322","message":"slow","request_id":"r"}}`},
	} {
		reply := messages.ErrorReply{Error: test.err}
		reply.SetHead("r1", "acme")
		got, err := jsonv2.Marshal(&reply)
		if want := `{"request_id":"r1","connection":"acme","error":` + test.want + `}`; err != nil || string(got) != want {
			t.Errorf("%s, %v\nwant %s", got, err, want)
		}
		plain, err := json.Marshal(test.err)
		if err != nil || string(plain) != test.want {
			t.Errorf("encoding/json writes %s, %v", plain, err)
		}
	}
}

// An error that could not be encoded could not be answered.
func TestErrorsAreAlwaysUTF8(t *testing.T) {
	for _, err := range []*messages.Error{messages.Errorf(messages.Internal, "a\xff"), messages.Invalid("p\xff", "b\xfe")} {
		if _, fault := jsonv2.Marshal(err); fault != nil {
			t.Error(fault)
		}
	}
}

func TestErrorValues(t *testing.T) {
	cause := errors.New("dial tcp")
	err := messages.Errorf(messages.Unavailable, "Redis cannot be reached").Because(cause)
	if !errors.Is(err, cause) || err.Error() != "unavailable: Redis cannot be reached" {
		t.Errorf("%v, cause %v", err, err.Unwrap())
	}
	var found *messages.Error
	if !errors.As(errors.Join(io.EOF, err), &found) || found != err {
		t.Error("not found among joined errors")
	}
	for ms, want := range map[int64]time.Duration{0: 0, 250: 250 * time.Millisecond, -5: 0, math.MaxInt64: math.MaxInt64 / time.Millisecond * time.Millisecond} {
		if got := (&messages.Error{RetryAfterMS: ms}).RetryAfter(); got != want {
			t.Errorf("%d ms: %s, want %s", ms, got, want)
		}
	}
	if got := messages.Errorf(messages.Overloaded, "full").After(time.Nanosecond).RetryAfterMS; got != 1 {
		t.Errorf("a short wait became %d ms", got)
	}
}
