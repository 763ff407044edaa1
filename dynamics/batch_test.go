package dynamics_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

const partsType = "multipart/mixed; boundary=batchresponse_1f2e"

// batchOf is a batch's answer as Dataverse writes it, with the parts given.
func batchOf(answers ...string) string {
	var b strings.Builder
	for _, a := range answers {
		b.WriteString("--batchresponse_1f2e\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" + a + "\r\n")
	}
	return b.String() + "--batchresponse_1f2e--\r\n"
}

func innerAnswer(status int, body string, headers ...string) string {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json; odata.metadata=minimal; odata.streaming=true\r\nOData-Version: 4.0\r\n", status, http.StatusText(status))
	for _, h := range headers {
		head += h + "\r\n"
	}
	return head + "\r\n" + body
}

// answerBatch answers with a batch of these parts, under the status of the first
// that failed.
func answerBatch(status int, parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", partsType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, batchOf(parts...))
	}
}

// answerAny answers a GET and a batch of one alike.
func answerAny(w http.ResponseWriter, req *http.Request, body string) {
	if req.Method == http.MethodPost {
		answerBatch(200, innerAnswer(200, body))(w, req)
		return
	}
	_, _ = io.WriteString(w, body)
}

// long is a query that needs more than a URL may have.
func long(characters int) dynamics.Query {
	q := nameOnly
	q.Filter = leaf(name, dynamics.Eq, strings.Repeat("x", characters))
	return q
}

func TestALongQueryGoesThroughBatch(t *testing.T) {
	var got []byte
	var r *rig
	next := "/api/data/v9.2/accounts?" + cookie + strings.Repeat("%C3%bc", dynamics.MaxURL/6)
	r = newRig(t, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		got = body
		page := emptyPage
		if !strings.Contains(string(body), "skiptoken") {
			page = `{"@odata.context":"x","value":[` + rowJSON + `],"@odata.nextLink":"` + r.URL + next + `"}`
		}
		answerBatch(200, innerAnswer(200, page))(w, req)
	})
	s := r.open(t)
	q := long(dynamics.MaxURL)
	p, err := firstPage(t.Context(), s, q)
	if err != nil || p.Len() != 1 || p.ID(0) != someID {
		t.Fatal(err)
	}
	req := r.seen[0]
	_, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || !regexp.MustCompile(`^batch_[0-9a-f-]{36}$`).MatchString(params["boundary"]) {
		t.Fatalf("%v %v", req.Header, err)
	}
	want := strings.Join([]string{"--" + params["boundary"], "Content-Type: application/http",
		"Content-Transfer-Encoding: binary", "",
		"GET " + r.URL + "/api/data/v9.2/accounts?$select=name,accountid&$filter=name%20eq%20'" + strings.Repeat("x", dynamics.MaxURL) + "'&$orderby=accountid%20asc HTTP/1.1",
		"Accept: application/json", "OData-Version: 4.0", "OData-MaxVersion: 4.0", "If-None-Match: null", "Prefer: odata.maxpagesize=2", "", "", "--" + params["boundary"] + "--", ""}, "\r\n")
	if string(got) != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for header, value := range map[string]string{"Accept": "application/json", "Authorization": "Bearer " + canaryToken, "Odata-Version": "4.0", "Odata-Maxversion": "4.0", "Prefer": ""} {
		if req.Header.Get(header) != value {
			t.Errorf("%s: %q", header, req.Header.Get(header))
		}
	}
	if req.Method != http.MethodPost || req.RequestURI != "/api/data/v9.2/$batch" ||
		req.ContentLength != int64(len(want)) {
		t.Errorf("%s %s, %d bytes", req.Method, req.RequestURI, req.ContentLength)
	}
	if _, err := nextPage(t.Context(), s, q, p.NextLink()); err != nil {
		t.Fatal(err)
	}
	if line := "\r\nGET " + r.URL + next + " HTTP/1.1\r\n"; !strings.Contains(string(got), line) {
		t.Errorf("the link was changed: %.300s", got)
	}
}

func TestWhereAURLIsTooLong(t *testing.T) {
	size := func(q dynamics.Query) int {
		return len("http://127.0.0.1:") + 5 + len(
			"/api/data/v9.2/accounts?$select=name,accountid&$filter=name%20eq%20''&$orderby=accountid%20asc") + len(q.Filter.(test).Values[0])
	}
	for _, c := range []struct {
		size   int
		method string
	}{{dynamics.MaxURL, "GET"}, {dynamics.MaxURL + 1, "POST"}, {dynamics.MaxBatchURL, "POST"},
		{dynamics.MaxBatchURL + 1, ""}} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) { answerAny(w, req, emptyPage) })
		q := long(c.size - size(long(0)) - len(r.URL) + len("http://127.0.0.1:") + 5)
		_, err := firstPage(t.Context(), r.open(t), q)
		if c.method == "" {
			if kind(t, err, dynamics.TooLarge); !errors.Is(err, dynamics.ErrURLTooLong) || len(r.seen) != 0 ||
				!strings.Contains(err.Error(), "65,536") {
				t.Errorf("%d: %v", c.size, err)
			}
			continue
		}
		if err != nil || r.seen[0].Method != c.method {
			t.Errorf("%d: %v, %v", c.size, r.uris(), err)
		}
	}
	r := newRig(t, answer(200, emptyPage))
	_, err := nextPage(t.Context(), r.open(t), nameOnly, r.URL+"/api/data/v9.2/accounts?"+
		strings.Repeat("x", dynamics.MaxBatchURL))
	if kind(t, err, dynamics.TooLarge); len(r.seen) != 0 {
		t.Error("it was sent")
	}
}

// An environment that takes no $batch leaves nothing to be done but a shorter query.
func TestAnEnvironmentWithoutBatch(t *testing.T) {
	for _, status := range []int{404, 405, 501} {
		r := newRig(t, answer(status, "<html>no</html>"))
		_, err := firstPage(t.Context(), r.open(t), long(dynamics.MaxURL))
		if e := kind(t, err, dynamics.TooLarge); e.Status != status || !strings.Contains(e.Message, "$batch") ||
			len(r.seen) != 1 {
			t.Errorf("%d: %v, asked %d times", status, err, len(r.seen))
		}
	}
}

// TestALongListIsWrittenShorter: rather than refuse, In takes the place of
// comparisons, for lookups too.
func TestALongListIsWrittenShorter(t *testing.T) {
	texts := make([]string, 400)
	for i := range texts {
		texts[i] = fmt.Sprintf("%s%03d", strings.Repeat("y", 120), i)
	}
	wide := column("new_"+strings.Repeat("w", 100), dynamics.Lookup)
	for _, q := range []dynamics.Query{{Filter: leaf(name, dynamics.In, texts...)}, {Filter: leaf(wide, dynamics.In, guids(450)...)}} {
		var body string
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			b, _ := io.ReadAll(req.Body)
			body = string(b) + req.RequestURI
			answerAny(w, req, emptyPage)
		})
		if _, err := firstPage(t.Context(), r.open(t), q); err != nil || !strings.Contains(body, "CRM.In(") {
			t.Errorf("%v: %.200s", err, body)
		}
	}
}

func TestBatchesBecomeTheErrorsOfTheirPart(t *testing.T) {
	form := func(code, message string) string {
		return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)
	}
	value := strings.Repeat("x", dynamics.MaxURL)
	id := "REQ_ID: " + someID + "," + guid(1)
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   dynamics.Kind
		calls  int
		check  func(*dynamics.Error) bool
	}{
		{"unknown column", answerBatch(400, innerAnswer(400, form("0x80060888", "Could not find a property named 'name' on type 'Microsoft.Dynamics.CRM.account'."), id)), dynamics.UnknownColumn, 1,
			func(e *dynamics.Error) bool { return e.Column == "name" && e.Status == 400 && e.RequestID == someID }},
		{"forbidden under 200", answerBatch(200, innerAnswer(403, form("0x80040220", "x, is missing prvReadAccount privilege"))), dynamics.Forbidden, 1,
			func(e *dynamics.Error) bool { return e.Privilege == "prvReadAccount" && e.Code == "0x80040220" }},
		{"a value is repeated", answerBatch(400, innerAnswer(400, form("0x80060888", "near '"+value+"'"))), dynamics.Invalid, 1,
			func(e *dynamics.Error) bool { return strings.Contains(e.Message, "withheld") }},
		{"throttled inside", answerBatch(429, innerAnswer(429, form("0x80072322", "Number of requests exceeded"), "Retry-After: 30")), dynamics.Throttled, 1,
			func(e *dynamics.Error) bool { return e.RetryAfter == 30*time.Second }},
		{"its wait outside", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Retry-After", "31")
			answerBatch(429, innerAnswer(429, form("0x80072322", "x")))(w, req)
		}, dynamics.Throttled, 1, func(e *dynamics.Error) bool { return e.RetryAfter == 31*time.Second }},
		{"unavailable inside", answerBatch(503, innerAnswer(503, "")), dynamics.Unavailable, 3, nil},
		{"a redirect inside", answerBatch(302, innerAnswer(302, "", "Location: https://evil.example/")), dynamics.Upstream, 1, nil},
		{"throttled as a whole", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "32")
			w.WriteHeader(429)
		}, dynamics.Throttled, 1, func(e *dynamics.Error) bool { return e.RetryAfter == 32*time.Second }},
		{"a gateway", answer(502, "<html>"), dynamics.Unavailable, 3, nil},
		{"JSON as a whole", answer(400, form("0x80048d19", "Stream was not readable.")), dynamics.Invalid, 1, func(e *dynamics.Error) bool { return e.Code == "0x80048d19" }},
		{"no multipart", answer(200, emptyPage), dynamics.Upstream, 1, nil},
		{"a failed batch with a good part", answerBatch(500, innerAnswer(200, emptyPage)), dynamics.Upstream, 1, nil},
		{"no part", answerBatch(200), dynamics.Upstream, 1, nil},
		{"two parts", answerBatch(200, innerAnswer(200, emptyPage), innerAnswer(200, emptyPage)), dynamics.Upstream, 1, nil},
		{"no HTTP", answerBatch(200, emptyPage), dynamics.Upstream, 1, nil},
		{"half a page", answerBatch(200, innerAnswer(200, emptyPage[:6])), dynamics.Upstream, 1, nil},
		{"a page and more", answerBatch(200, innerAnswer(200, emptyPage+"x")), dynamics.Upstream, 1, nil},
		{"a longer length", answerBatch(200, innerAnswer(200, emptyPage, "Content-Length: 500")), dynamics.Upstream, 1, nil},
		{"a shorter length", answerBatch(200, innerAnswer(200, emptyPage, "Content-Length: 5")), dynamics.Upstream, 1, nil},
		{"headers without end", answerBatch(200, innerAnswer(200, emptyPage, "X: "+strings.Repeat("x", 1<<17))), dynamics.Upstream, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.answer)
			_, err := firstPage(t.Context(), r.open(t), long(len(value)))
			e := kind(t, err, c.want)
			if len(r.seen) != c.calls || c.check != nil && !c.check(e) || strings.Contains(e.Error(), value[:12]) {
				t.Errorf("%d calls, %v, %+v", len(r.seen), e, *e)
			}
		})
	}
}

func TestTruncatedBatches(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it cuts an answer in many places")
	}
	whole := batchOf(innerAnswer(200, pageOf(rowJSON)))
	end := len(whole) - len("--\r\n") // from here on the last boundary is there
	for cut := 0; cut < end; cut += 9 {
		clean := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", partsType)
			_, _ = io.WriteString(w, whole[:cut])
		})
		_, err := firstPage(t.Context(), clean.open(t), long(dynamics.MaxURL))
		if kind(t, err, dynamics.Upstream); len(clean.seen) != 1 {
			t.Fatalf("cut at %d: asked %d times", cut, len(clean.seen))
		}
		torn := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", partsType)
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = io.WriteString(w, whole[:cut])
		})
		_, err = firstPage(t.Context(), torn.open(t), long(dynamics.MaxURL))
		if kind(t, err, dynamics.Upstream); len(torn.seen) != 3 {
			t.Fatalf("cut at %d: a torn answer was asked for %d times, want 3", cut, len(torn.seen))
		}
	}
}

// A refusal is known by its beginning: a part that goes on without an end must not
// hold it back until the attempt's time is over.
func TestARefusalInABatchIsNotReadToItsEnd(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", partsType)
		w.WriteHeader(403)
		whole := batchOf(innerAnswer(403, strings.Repeat(" ", 1<<20), "Content-Length: 100000000"))
		_, _ = io.WriteString(w, strings.TrimSuffix(whole, "--batchresponse_1f2e--\r\n"))
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := firstPage(ctx, r.open(t), long(dynamics.MaxURL))
	kind(t, err, dynamics.Forbidden)
}

func TestABatchHasABound(t *testing.T) {
	r := newRig(t, answerBatch(200, innerAnswer(200, pageOf(rowJSON, strings.Repeat(" ", 1<<20)))),
		func(c *dynamics.Config) { c.MaxBody = 1 << 19 })
	_, err := firstPage(t.Context(), r.open(t), long(dynamics.MaxURL))
	kind(t, err, dynamics.TooLarge)
	if n := r.calls[0].Bytes; n > 1<<19+1 {
		t.Errorf("%d bytes were read", n)
	}
}

func TestABatchIsRepeatedLikeAGet(t *testing.T) {
	n := 0
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || !strings.HasSuffix(string(body), "--\r\n") {
			t.Errorf("attempt %d: %v, %d bytes", n, err, len(body))
		}
		switch n++; n {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(503)
		default:
			answerBatch(200, innerAnswer(200, pageOf(rowJSON)))(w, req)
		}
	})
	if p, err := firstPage(t.Context(), r.open(t), long(dynamics.MaxURL)); err != nil || p.Len() != 1 || n != 3 {
		t.Errorf("%v after %d", err, n)
	}
}

func TestABatchObeysTheTokenRules(t *testing.T) {
	for name, refusal := range map[string]http.HandlerFunc{
		"as a whole": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="eyJjbGFpbSI"`)
			w.WriteHeader(401)
		},
		"in its part": answerBatch(401, innerAnswer(401, "", `WWW-Authenticate: Bearer error="insufficient_claims", claims="eyJjbGFpbSI"`)),
	} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") != "Bearer good" {
				refusal(w, req)
				return
			}
			answerBatch(200, innerAnswer(200, emptyPage))(w, req)
		})
		r.tokens.renewed = func(a dynamics.Access) (dynamics.Access, error) {
			a.Token = dynamics.NewSecret("good")
			return a, nil
		}
		if _, err := firstPage(t.Context(), r.open(t), long(dynamics.MaxURL)); err != nil || r.tokens.refused != 1 ||
			r.tokens.claims != "eyJjbGFpbSI" {
			t.Errorf("%s: %v, %d refusals, claims %q", name, err, r.tokens.refused, r.tokens.claims)
		}
	}
	spy := httptest.NewServer(http.HandlerFunc(
		func(_ http.ResponseWriter, req *http.Request) { t.Errorf("the redirect was followed: %v", req.Header) }))
	defer spy.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, spy.URL, status) })
		_, err := firstPage(t.Context(), r.open(t), long(dynamics.MaxURL))
		kind(t, err, dynamics.Upstream)
	}
}

// batchCan answers every batch with one body, without a network.
type batchCan struct{ body string }

func (c batchCan) RoundTrip(req *http.Request) (*http.Response, error) {
	_ = req.Body.Close() // a strings.Reader's
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {partsType}},
		Body: io.NopCloser(strings.NewReader(c.body)), Request: req}, nil
}

// FuzzBatch: whatever comes is a page that was whole, or an error of a kind.
func FuzzBatch(f *testing.F) {
	f.Add(batchOf(innerAnswer(200, pageOf(rowJSON))))
	f.Add(batchOf(innerAnswer(400, `{"error":{"code":"0x0","message":"x"}}`)))
	f.Add(batchOf(innerAnswer(200, emptyPage, "Transfer-Encoding: chunked")))
	f.Add("--batchresponse_1f2e\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{\"value\":[]}\r\n--batchresponse_1f2e--")
	hosts, q := policy(f, publicCloud, false), long(dynamics.MaxURL)
	f.Fuzz(func(t *testing.T, body string) {
		source := &tokens{access: dynamics.Access{Tables: told, Environment: "https://o.crm.dynamics.com",
			Token: dynamics.NewSecret("t")}}
		source.renewed = func(a dynamics.Access) (dynamics.Access, error) { return a, nil }
		client, err := dynamics.New(dynamics.Config{Tokens: source, Hosts: hosts, Transport: batchCan{body}, MaxAttempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		session, err := client.Open(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		p, err := firstPage(t.Context(), session, q)
		if err != nil {
			if dynamics.KindOf(err) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		// What is taken is one part and the end, in the eyes of the standard library too.
		parts := multipart.NewReader(strings.NewReader(body), "batchresponse_1f2e")
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatalf("a page of %d rows without a part", p.Len())
		}
		answer, err := http.ReadResponse(bufio.NewReader(part), nil)
		if err != nil || answer.StatusCode != 200 {
			t.Fatalf("a page from %v", err)
		}
		if _, err := parts.NextRawPart(); err != io.EOF {
			t.Fatalf("a page of an answer that goes on: %v", err)
		}
	})
}
