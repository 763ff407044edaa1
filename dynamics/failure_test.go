package dynamics_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

func TestAnswersBecomeKinds(t *testing.T) {
	form := func(code, message string) string {
		return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)
	}
	for _, c := range []struct {
		status int
		body   string
		want   dynamics.Kind
		check  func(*dynamics.Error) bool
	}{
		{404, form("0x80040217", "account With Id = x Does Not Exist"), dynamics.NotFound, nil},
		{404, form("", "gone"), dynamics.NotFound, nil},
		{404, form("0x80060888", "Resource not found for the segment 'acounts'."), dynamics.Upstream, nil},
		{404, form("", "No HTTP resource was found that matches the request URI"), dynamics.Upstream, nil},
		{400, form("0x80095ffc", "x"), dynamics.Forbidden, nil},
		{404, "<html>no</html>", dynamics.Upstream, func(e *dynamics.Error) bool { return e.Message == "" }},
		{403, form("0x80040220", "Principal user (Id=1, type=8), is missing prvReadAccount privilege (Id=2) on OTC=1"), dynamics.Forbidden, func(e *dynamics.Error) bool { return e.Privilege == "prvReadAccount" && e.Code == "0x80040220" }},
		{403, form("0x80040220", "Principal user (Id=1, type=8, roleCount=0), is missing prvReadX privilege for prvOther"), dynamics.Forbidden, func(e *dynamics.Error) bool { return e.Privilege == "prvReadX" }},
		{403, form("0x80040220", "prvFirst is not it: identityUser.SystemUserId=1, identityUser.Privileges.Count=783, identityUser.Roles.Count=0 is missing prvReadmsdyn_Thing_1 privilege (Id=2) on OTC=10725. context.Caller=3"), dynamics.Forbidden, func(e *dynamics.Error) bool { return e.Privilege == "prvReadmsdyn_Thing_1" }},
		{403, form("0x80040220", "SecLib::CheckPrivilege failed. Returned hr = -2147220960, PrivilegeName: prvReadTeam, PrivilegeDepth: Basic"), dynamics.Forbidden, func(e *dynamics.Error) bool { return e.Privilege == "prvReadTeam" }},
		{403, form("0x80048306", "Principal with id 1 does not have ReadAccess right(s) for record with id 2 of entity account"), dynamics.Forbidden, func(e *dynamics.Error) bool { return e.Privilege == "prvReadAccount" }},
		{403, form("0x80048306", "Principal with id 1 does not have ReadAccess right(s) for record with id 2 of entity contact"), dynamics.Forbidden, func(e *dynamics.Error) bool { return e.Privilege == "" }},
		{400, form("0x80042f09", "The user (Id = {0}) has not been assigned any roles. "), dynamics.Forbidden, nil},
		{500, form("0x8004A104", "The Dynamics 365 organization you are attempting to access is currently disabled.  Please contact your system administrator"), dynamics.Forbidden, nil},
		{403, "<html>no</html>", dynamics.Forbidden, func(e *dynamics.Error) bool { return e.Privilege == "" && e.Message == "" }},
		{403, form("0x80072560", "The user is not a member of the organization."), dynamics.Forbidden, nil},
		{400, form("0x80060888", "Could not find a property named 'name' on type 'Microsoft.Dynamics.CRM.account'."), dynamics.UnknownColumn, func(e *dynamics.Error) bool { return e.Column == "name" }},
		{400, form("0x0", "Could not find a property named 'other' on type 'x'."), dynamics.UnknownColumn, func(e *dynamics.Error) bool { return e.Column == "" }},
		{400, form("0x80041103", "The specified attribute does not exist"), dynamics.UnknownColumn, nil},
		{400, `{"Message":"old form"}`, dynamics.Invalid, func(e *dynamics.Error) bool { return e.Message == "old form" }},
		{400, `{"message":"bare form"}`, dynamics.Invalid, func(e *dynamics.Error) bool { return e.Message == "bare form" }},
		{400, `{"error":"text"}`, dynamics.Invalid, nil}, {400, ``, dynamics.Invalid, nil}, {400, `[1,2]`, dynamics.Invalid, nil}, {400, `{"error":{"code":5,"message":{}}}`, dynamics.Invalid, nil},
		{400, form("0x80040203", "two\r\nlines\u2028 "+strings.Repeat("ü", 2000)), dynamics.Invalid, func(e *dynamics.Error) bool {
			return len(e.Message) <= 1024 && strings.HasPrefix(e.Message, "two lines ü")
		}},
		{400, form("0x8\nforged", "x"), dynamics.Invalid, func(e *dynamics.Error) bool { return e.Code == "" }},
		{413, "", dynamics.TooLarge, nil}, {418, "", dynamics.Upstream, nil}, {204, "", dynamics.Upstream, nil}, {500, form("0x80040216", "unexpected"), dynamics.Upstream, nil},
	} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ms-Service-Request-Id", someID+","+guid(1))
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := firstPage(t.Context(), r.open(t), nameOnly)
		e := kind(t, err, c.want)
		if e.Status != c.status || e.RequestID != someID || r.calls[0].RequestID != someID ||
			r.calls[0].Status != c.status || c.check != nil && !c.check(e) {
			t.Errorf("%d %s: %+v", c.status, c.body, *e)
		}
		if n := len(r.uris()); n != 1 {
			t.Errorf("%d %s: asked %d times", c.status, c.body, n)
		}
	}
}

func TestNoMessageRepeatsAValue(t *testing.T) {
	const secret = `O'Brien & Söhne 100% "GmbH"`
	for _, message := range []string{
		"in '" + secret + "'", "in 'O''Brien & Söhne 100% \"GmbH\"'", "IN 'O''BRIEN & SÖHNE 100% \"GMBH\"'", "in O%27%27Brien%20%26%20S%C3%B6hne%20100%25%20%22GmbH%22",
		"in O''Brien+%26+S%c3%b6hne+100%25+%22GmbH%22", "unterminated literal 'O''Brien & Söh", "token " + canaryToken, "or 4711?", "bad id " + someID,
	} {
		body, _ := json.Marshal(map[string]any{"error": map[string]string{"code": "0x80060888", "message": message}})
		r := newRig(t, answer(400, string(body)))
		f := and{leaf(name, dynamics.Eq, secret), leaf(staff, dynamics.Eq, "4711"), leaf(owner, dynamics.Eq, someID)}
		_, err := firstPage(t.Context(), r.open(t), dynamics.Query{Filter: f})
		if e := kind(t, err, dynamics.Invalid); !strings.HasPrefix(e.Message, "(message withheld: it repeats ") ||
			e.Code == "" {
			t.Errorf("%q: %v", message, err)
		}
	}
}

func TestRetries(t *testing.T) {
	sql := `{"error":{"code":"0x80044151","message":"SQL timeout expired."}}`
	for _, c := range []struct {
		status     int
		body       string
		retryAfter string
		want       dynamics.Kind
		attempts   int
	}{
		{408, "", "", dynamics.Unavailable, 3}, {429, "", "", dynamics.Throttled, 3}, {502, "<html>", "", dynamics.Unavailable, 3}, {503, "", "", dynamics.Unavailable, 3}, {504, "", "", dynamics.Unavailable, 3},
		{500, sql, "", dynamics.Unavailable, 3}, {500, "", "", dynamics.Upstream, 1}, {400, "", "", dynamics.Invalid, 1}, {501, "", "", dynamics.Upstream, 1},
		{429, "", "30", dynamics.Throttled, 1}, {503, "", "3600", dynamics.Unavailable, 1}, {429, "", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), dynamics.Throttled, 1},
		{429, "", "0", dynamics.Throttled, 3}, {429, "", "soon", dynamics.Throttled, 3}, {429, "", "Mon, 01 Jan 2001 00:00:00 GMT", dynamics.Throttled, 3},
	} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.retryAfter)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := firstPage(t.Context(), r.open(t), nameOnly)
		e := kind(t, err, c.want)
		if n := len(r.uris()); n != c.attempts || len(r.calls) != n || r.calls[n-1].Attempt != n ||
			r.calls[n-1].Kind != c.want {
			t.Errorf("%d %q: %d attempts, want %d; calls %+v", c.status, c.retryAfter, n, c.attempts, r.calls)
		}
		if (e.RetryAfter > 0) != (c.attempts == 1 && c.retryAfter != "") {
			t.Errorf("%d %q: RetryAfter %v", c.status, c.retryAfter, e.RetryAfter)
		}
	}
}

func TestAnAttemptAfterAFaultSucceeds(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits between attempts")
	}
	for _, fault := range []http.HandlerFunc{
		answer(503, ""),
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, pageOf(rowJSON)[:300])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		},
	} {
		var n atomic.Int32
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if n.Add(1) == 1 {
				fault(w, req)
				return
			}
			_, _ = io.WriteString(w, pageOf(rowJSON))
		})
		begin := time.Now()
		p, err := firstPage(t.Context(), r.open(t), everyType)
		if err != nil || p.Len() != 1 || string(p.Row(0)) != rowWanted {
			t.Errorf("%v", err)
		}
		if r.calls[0].RetryAfter > 0 && time.Since(begin) < r.calls[0].RetryAfter {
			t.Error("Retry-After was not kept")
		}
	}
}

func TestTheCallersEndIsNotAFaultOfDataverse(t *testing.T) {
	stuck := func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		delay   time.Duration
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		is      error
	}{
		{"deadline in a call", stuck, 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 30*time.Millisecond)
		}, context.DeadlineExceeded},
		{"cancelled in a wait", answer(503, ""), time.Second, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
		{"cancelled before", stuck, 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, context.Canceled},
	} {
		r := newRig(t, c.handler, func(config *dynamics.Config) {
			if c.delay > 0 {
				config.RetryDelay = c.delay
			}
		})
		s := r.open(t)
		ctx, cancel := c.ctx(t.Context())
		_, err := firstPage(ctx, s, nameOnly)
		cancel()
		if e := kind(t, err, dynamics.Cancelled); !errors.Is(err, c.is) || e.Op != "accounts.page" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAWaitThatDoesNotFitTheDeadlineIsNotBegun(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(429)
	})
	s := r.open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	begin := time.Now()
	_, err := firstPage(ctx, s, nameOnly)
	if e := kind(t, err, dynamics.Throttled); e.RetryAfter != time.Minute || time.Since(begin) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

func TestAnAttemptHasATimeout(t *testing.T) {
	r := newRig(t, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, func(c *dynamics.Config) { c.AttemptTimeout = 20 * time.Millisecond })
	_, err := r.open(t).WhoAmI(t.Context())
	if kind(t, err, dynamics.Unavailable); errors.Is(err, context.DeadlineExceeded) {
		t.Error("it looks like the caller's deadline")
	}
	if n := len(r.calls); n != 3 { // one that is slow to begin may not reach the server
		t.Errorf("%d attempts", n)
	}
}

func TestAHostThatIsNotThere(t *testing.T) {
	r := newRig(t, answer(200, emptyPage))
	s := r.open(t)
	r.Close()
	_, err := firstPage(t.Context(), s, dynamics.Query{Filter: leaf(name, dynamics.Eq, "geheim")})
	if e := kind(t, err, dynamics.Unavailable); e.Message != "the connection was refused" || e.Err == nil ||
		strings.Contains(fmt.Sprintf("%+v %v", e, e.Err), "geheim") {
		t.Errorf("%v: %v", err, e.Err)
	}
	r.client.Close()
	_, err = s.WhoAmI(t.Context())
	if kind(t, err, dynamics.Unavailable); !errors.Is(err, dynamics.ErrClosed) {
		t.Error(err)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	a := dynamics.Access{Environment: "https://o.crm.dynamics.com", Incarnation: "1",
		Token: dynamics.NewSecret(canaryToken)}
	type wrapped struct{ hidden dynamics.Access }
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "a", a, "t", a.Token, "p", &a)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "a", a, "t", a.Token)
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(raw) + fmt.Sprintf("%v %+v %#v %s %q %x %v", a, a, a, a.Token, a.Token, a.Token, &a) +
		fmt.Sprintf("%+v %#v", wrapped{a}, wrapped{a})
	if strings.Contains(out, canaryToken) || strings.Contains(out, fmt.Sprintf("%x", canaryToken)) ||
		!strings.Contains(out, "redacted") {
		t.Error(out)
	}
	if a.Token.Reveal() != canaryToken || (dynamics.Secret{}).Reveal() != "" {
		t.Error("Reveal")
	}
	e := &dynamics.Error{Kind: dynamics.Unauthorized, Op: "whoami", Claims: canaryToken, Err: errors.New(canaryToken)}
	log.Reset()
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "e", e)
	if text := fmt.Sprintf("%v %+v %#v", e, e, e) + log.String(); strings.Contains(text, canaryToken) {
		t.Error(text)
	}
}

// Whatever Retry-After says, the wait has an end; what it does not say is not made up.
func TestRetryAfterIsBounded(t *testing.T) {
	date := func(in time.Duration) string { return time.Now().Add(in).UTC().Format(http.TimeFormat) }
	const most = dynamics.MaxRetryAfter
	for text, want := range map[string]struct{ least, most time.Duration }{
		"":                               {0, 0},
		"0":                              {0, 0},
		"30":                             {30 * time.Second, 30 * time.Second},
		" 30 ":                           {30 * time.Second, 30 * time.Second},
		"599":                            {599 * time.Second, 599 * time.Second},
		"600":                            {most, most},
		"86400":                          {most, most},
		"4294967295":                     {most, most},
		"4294967296":                     {most, most},
		"9223372036854775808":            {most, most},
		strings.Repeat("9", 400):         {most, most},
		"-5":                             {0, 0},
		"-99999999999999999999":          {0, 0},
		"+5":                             {0, 0},
		"NaN":                            {0, 0},
		"Inf":                            {0, 0},
		"1e9":                            {0, 0},
		"0x10":                           {0, 0},
		"5, 6":                           {0, 0},
		"soon":                           {0, 0},
		date(time.Minute):                {50 * time.Second, time.Minute},
		date(24 * time.Hour):             {most, most},
		date(-time.Minute):               {0, 0},
		"Fri, 31 Dec 9999 23:59:59 GMT":  {most, most},
		"Mon, 01 Jan 0001 00:00:00 GMT":  {0, 0},
		"Thu, 01 Jan 1970 00:00:00 GMT":  {0, 0},
		"Wed, 31 Feb 2029 00:00:00 GMT":  {0, 0},
		"Monday, 01-Jan-99 00:00:00 GMT": {0, 0},
	} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", text)
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"error":{"code":"0x80072322","message":"Number of requests exceeded"}}`)
		}, func(c *dynamics.Config) { c.MaxAttempts = 1 })
		_, err := firstPage(t.Context(), r.open(t), nameOnly)
		if e := kind(t, err, dynamics.Throttled); e.RetryAfter < want.least || e.RetryAfter > want.most ||
			e.Limit != dynamics.LimitRequests {
			t.Errorf("%q: %s for %s, want %s to %s", text, e.RetryAfter, e.Limit, want.least, want.most)
		} else if r.calls[0].RetryAfter != e.RetryAfter {
			t.Errorf("%q: the observer is told %s, not %s", text, r.calls[0].RetryAfter, e.RetryAfter)
		}
	}
}

// A wait of more than the configured bound is reported, not made.
func TestNoWaitIsLongerThanItsBound(t *testing.T) {
	for after, attempts := range map[string]int64{"9": 2, "11": 1} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			client, _ := virtual(t, func(*http.Request) (*http.Response, error) {
				if asked.Add(1) == 1 {
					return said(503, "", "Retry-After", after)
				}
				return said(200, oneRow)
			}, func(c *dynamics.Config) { c.MaxRetryWait = 10 * time.Second })
			err := ask(t, client, 1, 0)
			if (err == nil) != (attempts == 2) || asked.Load() != attempts {
				t.Errorf("Retry-After %s: %v after %d attempts", after, err, asked.Load())
			}
		})
	}
}
