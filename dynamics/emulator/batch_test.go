package emulator_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

const batchType = `multipart/mixed; boundary="batch_x"`

// get is a part of a batch; headers follow the URL.
func get(target string, header ...string) string {
	return "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET " + target + " HTTP/1.1\r\n" +
		strings.Join(append(header, ""), "\r\n") + "\r\n"
}

func batchOf(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--batch_x\r\n" + p + "\r\n")
	}
	return b.String() + "--batch_x--\r\n"
}

func changeSet(ops ...string) string {
	b := "Content-Type: multipart/mixed; boundary=cs\r\n\r\n"
	for i, op := range ops {
		b += fmt.Sprintf("--cs\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: %d\r\n\r\n%s HTTP/1.1\r\nContent-Type: application/json; type=entry\r\n\r\n{\n}\r\n", i+1, op)
	}
	return b + "--cs--\r\n"
}

func (g *rig) batch(token, body string, header ...string) reply {
	g.Helper()
	return g.do("POST", "/api/data/v9.2/$batch", token, strings.NewReader(body),
		append([]string{"Content-Type", batchType}, header...)...)
}

// answers reads a batch's answer with the standard library, which is not this package.
func answers(t *testing.T, r reply) []reply {
	t.Helper()
	kind, params, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" ||
		!regexp.MustCompile(`^batchresponse_[0-9a-f-]{36}$`).MatchString(params["boundary"]) {
		t.Fatalf("Content-Type %q, body %s", r.header.Get("Content-Type"), r.body)
	}
	return partsOf(t, strings.NewReader(r.body), params["boundary"])
}

func partsOf(t *testing.T, body io.Reader, boundary string) []reply {
	t.Helper()
	var out []reply
	for m := multipart.NewReader(body, boundary); ; {
		p, err := m.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if kind, params, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); kind == "multipart/mixed" {
			out = append(out, partsOf(t, bytes.NewReader(b), params["boundary"])...)
			continue
		}
		if p.Header.Get("Content-Type") != "application/http" || p.Header.Get("Content-Transfer-Encoding") != "binary" {
			t.Errorf("part headers %v", p.Header)
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
			t.Fatalf("%v in %q", err, b)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Header.Set("Content-ID", p.Header.Get("Content-ID"))
		out = append(out, reply{res.StatusCode, res.Header, string(text)})
	}
}

func TestBatchesThatAreNotRead(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 20})
	tok := g.signIn("").AccessToken
	good := batchOf(get("accounts?$select=name&$top=1"))
	const unreadable = "Stream was not readable."
	for name, c := range map[string]struct{ kind, body, code, text string }{
		"no type":                 {"", good, "0x80048d19", `must have a "Content-Type" header`},
		"JSON":                    {"application/json", "{}", "0x80048d19", "must have 'multipart/mixed' as the media type"},
		"no boundary":             {"multipart/mixed", good, "0x80048d19", "must have a boundary specification"},
		"empty":                   {batchType, "", "0x80048d19", unreadable},
		"line feeds":              {batchType, strings.ReplaceAll(good, "\r\n", "\n"), "0x80048d19", unreadable},
		"a line feed in a header": {batchType, strings.Replace(good, "http\r\n", "http\n", 1), "0x80048d19", unreadable},
		"a line feed at the line": {batchType, strings.Replace(good, "HTTP/1.1\r\n", "HTTP/1.1\n", 1), "0x80048d19", unreadable},
		"not ended":               {batchType, strings.TrimSuffix(good, "--batch_x--\r\n"), "0x80048d19", unreadable},
		"ended as a part":         {batchType, strings.Replace(good, "--batch_x--", "--batch_x", 1), "0x80048d19", unreadable},
		"another boundary":        {`multipart/mixed; boundary=batch_y`, good, "0x80048d19", unreadable},
		"a longer boundary":       {batchType, strings.ReplaceAll(good, "batch_x", "batch_xx"), "0x80048d19", unreadable},
		"no empty line":           {batchType, strings.Replace(good, "HTTP/1.1\r\n\r\n", "HTTP/1.1", 1), "0x80048d19", unreadable},
		"no part type":            {batchType, strings.Replace(good, "Content-Type: application/http\r\n", "", 1), "0x80048d19", "'Content-Type' header is missing"},
		"another part type":       {batchType, strings.Replace(good, "application/http", "application/json", 1), "0x80048d19", "must be 'application/http' and 'binary'"},
		"no encoding":             {batchType, strings.Replace(good, "Content-Transfer-Encoding: binary\r\n", "", 1), "0x80048d19", "must be 'application/http' and 'binary'"},
		"no header":               {batchType, strings.Replace(good, "HTTP/1.1\r\n", "HTTP/1.1\r\nnonsense\r\n", 1), "0x80048d19", "The message header 'nonsense' is invalid."},
		"no version":              {batchType, strings.Replace(good, " HTTP/1.1", "", 1), "0x80048d19", "The request line 'GET accounts?$select=name&$top=1' is invalid."},
		"another version":         {batchType, strings.Replace(good, "HTTP/1.1", "HTTP/2", 1), "0x80048d19", "The HTTP version 'HTTP/2' used in a batch operation"},
		"too long":                {batchType, batchOf(get("accounts?$select=" + strings.Repeat("name,", 13200) + "name")), "0x80048d19", "Invalid URI: The Uri string is too long."},
		"1001 operations":         {batchType, batchOf(strings.Split(strings.Repeat(get("WhoAmI")+"|", 1001), "|")[:1001]...), "0x80048d19", "contains too many parts"},
		"1001 in a change set":    {batchType, batchOf(changeSet(strings.Split(strings.Repeat("POST accounts|", 1001), "|")[:1001]...)), "0x80048d19", "contains too many parts"},
		"GET in a change set":     {batchType, batchOf(changeSet("GET accounts")), "0x80048d19", "An invalid HTTP method 'GET' was detected for a request in a change set."},
		"no Content-ID":           {batchType, strings.Replace(batchOf(changeSet("POST accounts")), "Content-ID: 1\r\n", "", 1), "0x80060888", "Content-ID"},
		"the same Content-ID":     {batchType, strings.Replace(batchOf(changeSet("POST accounts", "POST accounts")), "Content-ID: 2", "Content-ID: 1", 1), "0x80060888", "more than once in the same change set"},
		"nested change sets":      {batchType, batchOf("Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + changeSet("POST accounts") + "\r\n--o--"), "0x80048d19", "Nested change sets in a batch payload are not supported."},
	} {
		r := g.do("POST", "/api/data/v9.2/$batch", tok, strings.NewReader(c.body), "Content-Type", c.kind)
		if r.status != 400 || !strings.Contains(r.body, `{"error":{"code":"`+c.code+`","message":`) ||
			!strings.Contains(message(t, r), c.text) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if r := g.api(tok, "$batch"); r.status != 405 {
		t.Errorf("GET: %d %s", r.status, r.body)
	}
	if r := g.batch("", good); r.status != 401 {
		t.Errorf("without a token: %d", r.status)
	}
	if r := g.batch(g.signIn("no.roles@contoso.example").AccessToken, good); r.status != 403 ||
		!strings.Contains(r.body, "0x80042f09") {
		t.Errorf("without a role: %d %s", r.status, r.body)
	}
	g.s.Control().Fail(emulator.Fault{Route: "$batch", Kind: emulator.KindThrottle, RetryAfter: 3})
	if r := g.batch(tok, good); r.status != 429 || r.header.Get("Retry-After") != "3" {
		t.Errorf("throttled: %d", r.status)
	}
}

func TestBatchStopsAtTheFirstFailure(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 20})
	tok := g.signIn("").AccessToken
	for name, c := range map[string]struct {
		part   string
		status int
		body   string
	}{
		"an unknown set":       {get("acounts"), 404, `{"error":{"code":"0x80060888","message":"Resource not found for the segment 'acounts'."}}`},
		"an unknown column":    {get("accounts?$select=nix"), 400, `{"error":{"code":"0x80060888","message":"Could not find a property named 'nix' on type 'Microsoft.Dynamics.CRM.account'."}}`},
		"another environment":  {get("https://evil.example/api/data/v9.2/accounts"), 400, `{"error":{"code":"0x80060888","message":"The URI 'https://evil.example/api/data/v9.2/accounts' is not valid because it is not based on '` + g.url + `/api/data/v9.2/'."}}`},
		"another scheme":       {get(strings.Replace(g.url, "http:", "https:", 1) + "/api/data/v9.2/accounts"), 400, "is not based on"},
		"another version":      {get("/api/data/v9.1/accounts"), 400, "is not based on"},
		"beside the service":   {get("/_emulator/counts"), 400, "is not based on"},
		"above the service":    {get("../../../_emulator/counts"), 400, "Error in query syntax."},
		"a batch in a batch":   {get("$batch"), 405, ""},
		"a batch by POST":      {strings.Replace(get("$batch"), "GET", "POST", 1), 400, "A batch request cannot contain other batch requests."},
		"a write":              {strings.Replace(get("accounts"), "GET", "POST", 1), 405, "The requested resource does not support http method 'POST'."},
		"a change set":         {changeSet("POST accounts", "POST /api/data/v9.2/accounts"), 405, "The requested resource does not support http method 'POST'."},
		"an unknown reference": {changeSet("PATCH $1", "POST accounts"), 400, "Content-ID Reference: '$1' does not exist in the batch context."},
	} {
		body := batchOf(get("WhoAmI"), c.part, get("WhoAmI"))
		r := g.batch(tok, body)
		list := answers(t, r)
		if r.status != c.status || len(list) != 2 || list[0].status != 200 || list[1].status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
			continue
		}
		if h := list[1].header; !strings.Contains(list[1].body, c.body) || len(h.Get("REQ_ID")) != 36 ||
			h.Get("Content-Type") != "application/json; odata.metadata=minimal" || h.Get("OData-Version") != "4.0" {
			t.Errorf("%s: %+v", name, list[1])
		}
		r = g.batch(tok, body, "Prefer", "respond-async, odata.continue-on-error")
		if list := answers(t, r); r.status != 200 || len(list) != 3 || list[1].status != c.status || list[2].status != 200 {
			t.Errorf("%s, going on: %d %s", name, r.status, r.body)
		}
	}
	if list := answers(t, g.batch(tok, batchOf(changeSet("POST accounts")))); list[0].header.Get("Content-ID") != "1" {
		t.Errorf("a change set's answer: %+v", list)
	}
	r := g.batch(g.signIn("no.accounts@contoso.example").AccessToken, batchOf(get("accounts")))
	if list := answers(t, r); r.status != 403 || !strings.Contains(list[0].body, "prvReadAccount") {
		t.Errorf("without the privilege: %d %s", r.status, r.body)
	}
}

func TestBatchOnTheWire(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 50})
	c, tok := g.s.Control(), g.signIn("").AccessToken
	c.ResetCounts()
	r := g.batch(tok, batchOf(get("accounts?$select=name&$filter="+url.QueryEscape("name eq 'Umlaut GmbH'")),
		get("acounts")), "Prefer", `odata.continue-on-error,odata.maxpagesize=1`)
	id := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	got := strings.ReplaceAll(id.ReplaceAllString(r.body, "GUID"), g.url, "[org]")
	want := "--batchresponse_GUID\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nContent-Type: application/json; odata.metadata=minimal; odata.streaming=true\r\nOData-Version: 4.0\r\n\r\n" +
		`{"@odata.context":"[org]/api/data/v9.2/$metadata#accounts(name)","value":[]}` + "\r\n" +
		"--batchresponse_GUID\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
		"HTTP/1.1 404 Not Found\r\nREQ_ID: GUID\r\nContent-Type: application/json; odata.metadata=minimal\r\nOData-Version: 4.0\r\n\r\n" +
		`{"error":{"code":"0x80060888","message":"Resource not found for the segment 'acounts'."}}` + "\r\n--batchresponse_GUID--\r\n"
	if got != want || r.header.Get("Preference-Applied") != "" ||
		strings.Contains(r.header.Get("Content-Type"), "batch_x") {
		t.Errorf("%v\ngot  %q\nwant %q", r.header, got, want)
	}
	if n := c.Counts().Data; n["$batch"] != 1 || n["accounts"] != 1 || n["acounts"] != 1 {
		t.Errorf("counts: %v", n)
	}
}

// Each operation has its own headers, and every form of URL that OData allows.
func TestBatchOperations(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 300})
	tok := g.signIn("").AccessToken
	var ids []string
	for a := range g.s.Control().Accounts() {
		if ids = append(ids, a.ID); len(ids) == 300 {
			break
		}
	}
	single := "accounts(" + ids[0] + ")?$select=name"
	etag := g.api(tok, single).header.Get("ETag")
	long := "accounts?$select=name&$filter=" +
		url.QueryEscape(`Microsoft.Dynamics.CRM.In(PropertyName='accountid',PropertyValues=["`+
			strings.Join(append(ids, strings.Split(strings.Repeat(ids[0]+"|", 1100), "|")[:1100]...), `","`)+`"])`)
	if len(long) < 50_000 || len(long) > 65_000 {
		t.Fatalf("the URL has %d characters", len(long))
	}
	r := g.batch(tok, batchOf(
		get("accounts?$select=name", "Prefer: odata.maxpagesize=2", `prefer: odata.include-annotations="*"`),
		get(g.url+"/api/data/v9.2/accounts?$select=name&$top=1"),
		get("/api/data/v9.2/accounts/$count"),
		get(single, "If-None-Match: "+etag),
		get("accounts?$select=name&$filter=name eq 'no such name'"),
		get(long),
		get("accounts?$select=name", "Prefer: odata.track-changes", "Accept: application/json;odata.metadata=full"),
		get("WhoAmI()"),
	))
	list := answers(t, r)
	if r.status != 200 || len(list) != 8 {
		t.Fatalf("%d %.2000s", r.status, r.body)
	}
	for i, c := range []struct {
		status int
		text   string
		rows   int
	}{{200, `@odata.nextLink":"` + g.url + `/api/data/v9.2/accounts?$select=name&$skiptoken=`, 2}, {200, "", 1},
		{200, "\ufeff300", 0}, {304, "", 0}, {200, `"value":[]`, 0}, {200, "", 300},
		{200, `"@odata.deltaLink":"`, 300}, {200, "UserId", 0}} {
		if list[i].status != c.status || !strings.Contains(list[i].body, c.text) ||
			strings.Count(list[i].body, "@odata.etag") != c.rows {
			t.Errorf("operation %d: %d %.500s", i, list[i].status, list[i].body)
		}
	}
	if got := list[0].header.Values("Preference-Applied"); len(got) != 2 || got[0] != "odata.maxpagesize=2" {
		t.Errorf("Preference-Applied: %q", got)
	}
	if list[2].header.Get("Content-Type") != "text/plain" ||
		list[6].header.Get("Content-Type") != "application/json; odata.metadata=full; odata.streaming=true" {
		t.Errorf("types: %v %v", list[2].header, list[6].header)
	}
	if r := g.do("GET", "/api/data/v9.2/"+long, tok, nil); r.status != 404 || strings.HasPrefix(r.body, "{") {
		t.Errorf("the long URL outside of a batch: %d", r.status)
	}
	if list := answers(t, g.batch(tok, batchOf(strings.Split(strings.Repeat(get("WhoAmI")+"|", 1000), "|")[:1000]...))); len(list) != 1000 {
		t.Errorf("1000 operations: %d answers", len(list))
	}
}

func TestURLLimits(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 1})
	tok := g.signIn("").AccessToken
	fill := func(n int) string {
		path := "/api/data/v9.2/accounts?$top=1&x="
		return path + strings.Repeat("x", n-len(g.url)-len(path))
	}
	if r := g.do("GET", fill(32768), tok, nil); r.status != 200 {
		t.Errorf("32,768 characters: %d", r.status)
	}
	if r := g.do("GET", fill(32769), tok, nil); r.status != 404 ||
		!strings.Contains(r.body, "404 - File or directory not found.") || r.header.Get("Content-Type") != "text/html" {
		t.Errorf("32,769 characters: %d %s", r.status, r.body)
	}
	segment := strings.Repeat("x", 261)
	if r := g.api(tok, segment); r.status != 400 || !strings.Contains(r.body, "Bad Request - Invalid URL") {
		t.Errorf("a long segment: %d %s", r.status, r.body)
	}
	if r := g.api(tok, segment[1:]); r.status != 404 || !strings.Contains(r.body, "Resource not found") {
		t.Errorf("260 characters: %d %s", r.status, r.body)
	}
	if list := answers(t, g.batch(tok, batchOf(get(segment)))); list[0].status != 404 {
		t.Errorf("a long segment in a batch: %+v", list)
	}
}
